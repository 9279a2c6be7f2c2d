"""What allauth asks us about second factors: above all, to keep their secrets sealed."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter

from tenants.second_factors.sealing import open_secret, seal_secret


class MFAAdapter(DefaultMFAAdapter):
    """See the module."""

    error_messages: ClassVar = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "This code is not correct, or it was used already. Take the next one.",
    }

    def encrypt(self, text: str) -> str:
        """Seal a secret for the person who signs in or is signed in."""
        return seal_secret(UUID(str(context.request.user.pk)), text)

    def decrypt(self, encrypted_text: str) -> str:
        """Open what ``encrypt`` sealed."""
        return open_secret(encrypted_text)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Bind passkeys to the host: a browser shows one to no other."""
        request = context.request
        return {
            "id": request.get_host().partition(":")[0].lower(),
            "name": request.tenant.name,
        }

    def generate_authenticator_name(self, user: Any, type: Any) -> str:
        """Return a name for a new passkey."""
        return "Passkey"
