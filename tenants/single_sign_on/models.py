"""Identity providers, and which of their accounts is which member. In the tenant's schema: what one
tenant trusts, no other does.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from audit.encryption.fields import EncryptedTextField
from tenants.models import Membership

# What a person may become who enters for the first time by a provider's word alone.
JOIN_ROLES = (Membership.Role.VIEWER, Membership.Role.OPERATOR)


class IdentityProvider(models.Model):
    """Somebody whose word about who a person is this tenant takes.

    Named first, because a provider wants to know our addresses before it tells its own; without an
    issuer it is not set up.
    """

    class Kind(models.TextChoices):
        """The protocol that it speaks."""

        OIDC = "OIDC", "OpenID Connect"
        SAML = "SAML", "SAML 2.0"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=40, unique=True)
    is_enabled = models.BooleanField(default=False)
    # SAML calls it entity id.
    issuer = models.CharField(max_length=500, blank=True)
    client_id = models.CharField(max_length=191, blank=True)
    client_secret = EncryptedTextField(subject="id", kind="identity_provider", blank=True)
    sso_url = models.CharField(max_length=500, blank=True)
    # Certificates in base64; more than one while a provider changes its key.
    certificates = models.JSONField(default=list)
    # Empty: the usual names, then the NameID.
    email_attribute = models.CharField(max_length=200, blank=True)
    # Whether its word that a second factor was used takes the place of ours.
    factor_counts = models.BooleanField(default=False)
    # Empty: only members enter.
    join_role = models.CharField(max_length=16, blank=True)
    join_domains = models.JSONField(default=list)
    created_at = models.DateTimeField()
    # When somebody last came through as it is set up now.
    tested_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(join_role__in=["", *JOIN_ROLES]), name="provider_join_role_low"
            ),
            models.CheckConstraint(
                condition=models.Q(is_enabled=False) | ~models.Q(issuer=""),
                name="provider_enabled_is_set_up",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_set_up(self) -> bool:
        """Whether it can be asked."""
        return bool(self.issuer)

    @property
    def is_saml(self) -> bool:
        """Whether it speaks SAML."""
        return self.kind == self.Kind.SAML


class Link(models.Model):
    """The account at a provider that a member entered with first; no other one opens theirs.

    An e-mail address may be given to somebody else one day, an account's subject is not.
    """

    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="links")
    # A subject may be a name or an address; comparing needs no more than this.
    subject_sha256 = models.CharField(max_length=64)
    # No foreign key: the person lies in the shared schema.
    user_id = models.UUIDField()
    linked_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "subject_sha256"], name="link_subject"),
            models.UniqueConstraint(fields=["provider", "user_id"], name="link_member"),
        ]

    def __str__(self) -> str:
        return f"an account at {self.provider}"
