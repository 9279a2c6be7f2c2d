"""The second step of a sign-in."""

from __future__ import annotations

from allauth.mfa.stages import AuthenticateStage
from django.http import HttpRequest

from tenants.second_factors.policy import PROVIDERS_FACTOR, records_of


class FactorStage(AuthenticateStage):
    """allauth's, left out where an identity provider's factor was just used and counts here."""

    def _should_handle(self, request: HttpRequest) -> bool:
        user = self.login.user
        if user and any(
            record.get("type") == PROVIDERS_FACTOR
            for record in records_of(request.session, user.pk)
        ):
            return False
        return bool(super()._should_handle(request))
