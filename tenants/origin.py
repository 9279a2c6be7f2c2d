"""From where a request comes."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str:
    """Return the address of the client, as far as it can be believed."""
    forwarded = request.headers.get("X-Forwarded-For", "")
    return believed_ip(forwarded, request.META.get("REMOTE_ADDR", ""))


def believed_ip(forwarded: str, peer: str) -> str:
    """Return the client's address from X-Forwarded-For and the address that is connected.

    Each trusted proxy appends the address that it saw, so the entry counted from the right is the
    client's; what stands left of it anybody may have written.
    """
    hops = forwarded.split(",")
    trusted = settings.AII_TRUSTED_PROXIES
    candidates = [hops[-trusted].strip()] if 0 < trusted <= len(hops) else []
    for candidate in (*candidates, peer):
        try:
            return str(ip_address(candidate))
        except ValueError:
            continue
    # A server that listens on a Unix socket names no address.
    return "0.0.0.0"  # noqa: S104  # nosec B104
