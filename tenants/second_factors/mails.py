"""Mail to a person whose second factors changed: whoever did it with a stolen session is noticed.

Sent after the commit, and only where a mail server is configured. One that does not answer keeps
nobody from changing a factor: the audit log has it anyway.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from tenants.models import User

logger = logging.getLogger(__name__)

_NAMES = {
    Authenticator.Type.TOTP: "An authenticator app",
    Authenticator.Type.WEBAUTHN: "A passkey",
    Authenticator.Type.RECOVERY_CODES: "A set of recovery codes",
}


def _tell(user: User, sentence: str, place: str) -> None:
    try:
        send_mail(
            "Your second factors changed",
            f"{sentence} {timezone.now():%Y-%m-%d %H:%M} UTC, at {place}.\n\n"
            "If this was not you: sign in, open Security, remove what you do not know, change your "
            "password, and tell an owner of your tenant.\n",
            None,
            [user.email],
        )
    except OSError as problem:
        logger.warning("a mail about a second factor could not be sent: %s", type(problem).__name__)


def _teller(done: str) -> Callable[..., None]:
    def listen(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
        if settings.AII_SENDS_MAIL:
            sentence = f"{_NAMES[authenticator.type]} was {done}"
            transaction.on_commit(partial(_tell, user, sentence, request.get_host()))

    return listen


def connect() -> None:
    """Listen to allauth; called once by the app's ``ready``."""
    for name, (signal, done) in {
        "added": (authenticator_added, "added to your account on"),
        "removed": (authenticator_removed, "removed from your account on"),
        "reset": (authenticator_reset, "made anew for your account on"),
    }.items():
        signal.connect(_teller(done), weak=False, dispatch_uid=f"tenants.factor_mail.{name}")
