"""OpenID Connect: allauth's authorization code flow with PKCE and state, and what it leaves open.

allauth skips the signature of a token that came over TLS and knows no nonce. Here every ID token is
verified with the provider's published keys: algorithm, signature, issuer, audience, expiry, nonce.
"""

from __future__ import annotations

import hmac
from typing import Any

import jwt
from allauth.socialaccount.models import SocialApp, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tenants.single_sign_on.admission import AnswerRefused, Assertion
from tenants.single_sign_on.fetching import FetchRefused, check_address, fetch
from tenants.single_sign_on.login import MemberLogin, refuse
from tenants.single_sign_on.models import IdentityProvider

WELL_KNOWN = "/.well-known/openid-configuration"
KEPT_S = 600
SKEW_S = 60
SUBJECT_MAX = 255
# Signatures by keys that only the provider has: no "none", and no HS256, whose key we hold as well.
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
# Authentication methods (RFC 8176) that are more than a password.
FACTORS = frozenset({"mfa", "otp", "hwk"})
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_TRUE = (True, "true")


def discover(issuer: str, *, anew: bool = False) -> dict[str, Any]:
    """Return the provider's own description, kept for ten minutes.

    Raises ``requests.RequestException``: not reached, not its own, or without what is needed.
    """
    found = None if anew else cache.get(f"oidc:{issuer}")
    if found is None:
        found = _json(issuer.removesuffix("/") + WELL_KNOWN)
        if found.get("issuer") != issuer:
            raise FetchRefused("It names another issuer than the one that was entered.")
        for name in _ENDPOINTS:
            if not isinstance(found.get(name), str):
                raise FetchRefused(f"Its description has no {name}.")
            check_address(found[name])
        cache.set(f"oidc:{issuer}", found, KEPT_S)
    return dict(found)


def fetch_keys(jwks_uri: str, *, anew: bool = False) -> list[dict[str, Any]]:
    """Return the keys that the provider signs with, kept for ten minutes."""
    keys = None if anew else cache.get(f"jwks:{jwks_uri}")
    if keys is None:
        keys = _json(jwks_uri).get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise FetchRefused("It publishes no keys.")
        keys = [key for key in keys if key.get("use", "sig") == "sig"]
        cache.set(f"jwks:{jwks_uri}", keys, KEPT_S)
    return list(keys)


def _json(url: str) -> dict[str, Any]:
    found = fetch(url).json()
    if not isinstance(found, dict):
        raise FetchRefused("The answer is not what it should be.")
    return found


def read_id_token(
    token: str, *, provider: IdentityProvider, config: dict[str, Any], nonce: str
) -> dict[str, Any]:
    """Return the claims of a genuine token for this very sign-in. Raises ``AnswerRefused``."""
    try:
        header = jwt.get_unverified_header(token)
        claims: dict[str, Any] = jwt.decode(
            token,
            key=_key_of(header, config["jwks_uri"]),
            algorithms=[header["alg"]],
            audience=provider.client_id,
            issuer=provider.issuer,
            leeway=SKEW_S,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise AnswerRefused(f"The ID token is not good: {error}.") from error
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()) or not nonce:
        raise AnswerRefused("The ID token was made for another sign-in (nonce).")
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if claims.get("azp", provider.client_id if len(audience) == 1 else None) != provider.client_id:
        raise AnswerRefused("The ID token was made for another client (azp).")
    if not 0 < len(claims["sub"]) <= SUBJECT_MAX:
        raise AnswerRefused("The ID token names nobody (sub).")
    return claims


def _key_of(header: dict[str, Any], jwks_uri: str) -> jwt.PyJWK:
    algorithm, name = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise AnswerRefused(f"The ID token is signed by {algorithm!s:.20}, which is not accepted.")
    for anew in (False, True):
        keys = fetch_keys(jwks_uri, anew=anew)
        fitting = [key for key in keys if key.get("kid") == name] if name else keys
        if len(fitting) == 1:
            if fitting[0].get("alg", algorithm) != algorithm:
                raise AnswerRefused("The ID token is signed by another algorithm than its key's.")
            return jwt.PyJWK(fitting[0], algorithm=algorithm)
    raise AnswerRefused("The ID token is signed by a key that the provider does not publish.")


def read_claims(claims: dict[str, Any]) -> Assertion:
    """Return what verified claims say."""
    methods = claims.get("amr")
    proved_at = claims.get("auth_time")
    return Assertion(
        subject=claims["sub"],
        email=str(claims.get("email") or ""),
        # Microsoft says in a claim of its own that the address's domain is the organisation's.
        is_email_verified=claims.get("email_verified") in _TRUE or claims.get("xms_edov") in _TRUE,
        name=str(claims.get("name") or "").replace("\0", ""),
        used_second_factor=isinstance(methods, list) and bool(FACTORS & set(map(str, methods))),
        proved_at_s=float(proved_at) if isinstance(proved_at, int | float) else None,
    )


class OIDCProvider(OpenIDConnectProvider):
    """A provider of the tenant, as allauth wants it."""

    def __init__(self, request: HttpRequest, row: IdentityProvider) -> None:
        self.row = row
        app = SocialApp(
            provider=self.id,
            provider_id=str(row.pk),
            name=row.name,
            client_id=row.client_id,
            secret=str(row.client_secret),
            settings={"server_url": row.issuer, "oauth_pkce_enabled": True},
        )
        super().__init__(request, app=app)

    def get_oauth2_adapter(self, request: HttpRequest) -> OIDCAdapter:
        """Return the half that talks to the provider's server."""
        return OIDCAdapter(request, self.row)


class OIDCAdapter(OpenIDConnectOAuth2Adapter):
    """The half that talks to the provider's server."""

    nonce = ""

    def __init__(self, request: HttpRequest, row: IdentityProvider) -> None:
        self.row = row
        super().__init__(request, str(row.pk))

    def get_provider(self) -> OIDCProvider:
        """Return the other half; there is no other provider to look up."""
        return OIDCProvider(self.request, self.row)

    @property
    def openid_config(self) -> dict[str, Any]:
        """The provider's own description."""
        return discover(self.row.issuer)

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        """Return where the provider sends people back to: on this tenant's host."""
        return callback_url(request, self.row)

    def get_access_token_data(self, *args: Any, **kwargs: Any) -> Any:
        """Trade the code; whatever else comes than an answer in form is refused."""
        try:
            return super().get_access_token_data(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise OAuth2Error("the token endpoint's answer is out of form") from error

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> MemberLogin:
        """Return what the ID token says, and of the address what the user endpoint adds."""
        config = self.openid_config
        id_token = kwargs["response"].get("id_token")
        if not isinstance(id_token, str):
            raise AnswerRefused("The provider sent no ID token.")
        claims = read_id_token(id_token, provider=self.row, config=config, nonce=self.nonce)
        if "email" not in claims and isinstance(config.get("userinfo_endpoint"), str):
            told = self._fetch_user_info(token.token)
            # The same person, or it proves nothing (OpenID Connect Core 5.3.2).
            if not isinstance(told, dict) or told.get("sub") != claims["sub"]:
                raise AnswerRefused("The user endpoint speaks of somebody else.")
            claims = {**told, **claims}
        return MemberLogin(self.get_provider(), self.row, read_claims(claims))


class OIDCCallback(OAuth2CallbackView):
    """Where the provider sends people back to."""

    adapter: OIDCAdapter

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer; a refused answer is told like allauth's own errors."""
        try:
            return super().dispatch(request, *args, **kwargs)
        except AnswerRefused as refusal:
            return refuse(request, self.adapter.row, refusal, state=self.state)

    def _get_state(self, request: HttpRequest, provider: Any) -> Any:
        self.state, response = super()._get_state(request, provider)
        self.adapter.nonce = str((self.state or {}).get("nonce", ""))
        return self.state, response


def callback_url(request: HttpRequest, row: IdentityProvider) -> str:
    """Return the redirect URI to register at the provider."""
    return request.build_absolute_uri(reverse("single_sign_on_callback", args=[row.pk]))
