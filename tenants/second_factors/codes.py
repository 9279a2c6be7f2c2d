"""One-time codes by the clock (RFC 6238), each good once."""

from __future__ import annotations

import secrets
import time
from base64 import b32encode

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.mfa.utils import decrypt
from django.db import connection
from django.utils.crypto import constant_time_compare

STEP_S = 30
# A clock that is half a minute off, and a code typed as the step ends.
STEPS_OFF = 1


def new_secret() -> str:
    """Return a secret of 160 bits, as authenticator apps take it."""
    return b32encode(secrets.token_bytes(20)).decode()


def code_at(secret: str, at_s: float) -> str:
    """Return the code of a time."""
    return format_hotp_value(hotp_value(secret, int(at_s) // STEP_S))


def find_step(secret: str, code: str) -> int | None:
    """Return the step whose code this is, among those that are good now."""
    if not secret:
        return None
    given = "".join(code.split())
    now = int(time.time()) // STEP_S
    for step in range(now - STEPS_OFF, now + STEPS_OFF + 1):
        if constant_time_compare(given, format_hotp_value(hotp_value(secret, step))):
            return step
    return None


def spend_code(factor: Authenticator, code: str) -> bool:
    """Take a code: true once, and never again for this step or an earlier one.

    allauth remembers used codes in the cache for 30 s, for each tenant apart: with a tolerance a
    code lives for 90 s, and a person belongs to several tenants. One conditional UPDATE has
    neither gap.
    """
    step = find_step(decrypt(factor.data["secret"]), code)
    return step is not None and mark_step(factor.pk, step)


def mark_step(factor_id: int, step: int) -> bool:
    """Note the step as used; false where it, or a later one, was used already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE mfa_authenticator"
            " SET data = data || jsonb_build_object('used_step', %s::bigint)"
            " WHERE id = %s AND coalesce((data->>'used_step')::bigint, -1) < %s",
            [step, factor_id, step],
        )
        return cursor.rowcount == 1
