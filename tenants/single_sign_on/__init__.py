"""Single sign-on: a tenant's identity providers (OIDC, SAML), and who may enter by them."""
