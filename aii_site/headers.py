"""Security headers on every answer: pages, files, probes, refusals and errors.

The outermost middleware, so that whatever answers below it is covered. HSTS, nosniff, the referrer
and the opener policy are Django's (``SecurityMiddleware``) where it runs; the content policy of
pages is django-csp's. What they do not reach gets its headers here.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

# Passkeys, the full screen and the copy button are ours; nothing else that a browser offers.
_OFF = (
    *("accelerometer", "autoplay", "browsing-topics", "camera", "display-capture"),
    *("encrypted-media", "gamepad", "geolocation", "gyroscope", "hid", "idle-detection"),
    *("local-fonts", "magnetometer", "microphone", "midi", "payment", "picture-in-picture"),
    *("screen-wake-lock", "serial", "storage-access", "usb", "window-management"),
    "xr-spatial-tracking",
)
_OWN = (
    "clipboard-write",
    "fullscreen",
    "publickey-credentials-create",
    "publickey-credentials-get",
)
HEADERS = {
    "Permissions-Policy": ", ".join(
        [*(f"{name}=()" for name in _OFF), *(f"{name}=(self)" for name in _OWN)]
    ),
    # Pages take everything from their own host, so all three may be as strict as they can be.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Files say themselves for how long they may be kept.
    "Cache-Control": "no-store",
}
# For what no page is: a file or a probe that somebody opens by itself runs and loads nothing.
POLICY_WITHOUT_PAGE = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class HeadersMiddleware:
    """Adds each header that the answer does not have yet."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, with the headers."""
        response = self.get_response(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        # Django's own error pages of a developer need their inline styles.
        if not (settings.DEBUG and response.status_code in (404, 500)):
            response.headers.setdefault("Content-Security-Policy", POLICY_WITHOUT_PAGE)
        if request.is_secure() and settings.SECURE_HSTS_SECONDS:
            response.headers.setdefault("Strict-Transport-Security", _hsts())
        return response


def _hsts() -> str:
    parts = [f"max-age={settings.SECURE_HSTS_SECONDS}"]
    if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS:
        parts.append("includeSubDomains")
    if settings.SECURE_HSTS_PRELOAD:
        parts.append("preload")
    return "; ".join(parts)
