"""How often somebody may ask: one token bucket for each person, API key or address and class.

``settings.RATE_LIMITS`` is the table: class → how many at once, how many a minute, and what to do
while Redis does not answer ("open": let through; "closed": refuse). The bucket is one number in
Redis, the time at which it will be full again (GCRA), read and moved by one script, so that two
server processes cannot both take the last token. Files and probes are answered before this runs.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import cache
from ipaddress import IPv6Address, ip_address
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tenants.context import current_schema
from tenants.errors import DomainError, Unavailable
from tenants.origin import client_ip
from tenants.redis import tenant_key

logger = logging.getLogger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
# Where passwords, codes and tokens are tried; whoever wants to leave may leave.
SIGN_IN_PATHS = ("/accounts/",)
SIGN_OUT_PATH = "/accounts/logout/"
# A Redis that hangs must not make each page wait: it is asked again after this.
PAUSE_S = 2.0

_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local each, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local after = full + each
local over = after - now - each * burst
if over > 0 then return {0, math.ceil(over), math.ceil(full - now)} end
redis.call('SET', KEYS[1], string.format('%.3f', after), 'PX', math.ceil(after - now))
return {1, math.floor((each * burst - (after - now)) / each), math.ceil(after - now)}
"""


class Limit(NamedTuple):
    """A row of ``settings.RATE_LIMITS``."""

    burst: int
    a_minute: int
    without_redis: str


class TooManyRequests(DomainError):
    """This person, key or address asked too often."""

    code = "too_many_requests"
    status = 429

    def __init__(self, name: str, retry_after_s: int) -> None:
        super().__init__(f"Too many requests. Wait {retry_after_s} s.")
        self.name, self.retry_after_s = name, retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer."""
        return {
            "Retry-After": str(self.retry_after_s),
            **limit_headers(self.name, 0, self.retry_after_s),
        }


class LimitUnknown(Unavailable):
    """Redis is away, and what was asked for is not allowed uncounted."""

    code = "limit_unknown"


class Grant(NamedTuple):
    """A taken token: how many are left, and when the bucket is full again."""

    name: str
    left: int
    full_in_s: int


def take(name: str, whom: str) -> Grant | None:
    """Take one token of the current tenant's bucket; ``None`` where nobody could count.

    Raises ``TooManyRequests``, or ``LimitUnknown`` for a closed class while Redis is away.
    """
    limit = Limit(*settings.RATE_LIMITS[name])
    answer = _ask(tenant_key(current_schema(), "limit", name, whom), limit)
    if answer is None:
        if limit.without_redis == "closed":
            raise LimitUnknown("Sign-in needs Redis, which does not answer now.")
        return None
    is_granted, left_or_wait_ms, full_in_ms = answer
    if not is_granted:
        raise TooManyRequests(name, math.ceil(left_or_wait_ms / 1000))
    return Grant(name, left_or_wait_ms, math.ceil(full_in_ms / 1000))


def limit_headers(name: str, left: int, seconds: int) -> dict[str, str]:
    """Return the two headers of the IETF draft on rate limits."""
    limit = Limit(*settings.RATE_LIMITS[name])
    window_s = math.ceil(60 * limit.burst / limit.a_minute)
    return {
        "RateLimit-Policy": f'"{name}";q={limit.burst};w={window_s}',
        "RateLimit": f'"{name}";r={left};t={seconds}',
    }


_asked_again_at_s = 0.0


def _ask(key: str, limit: Limit) -> list[int] | None:
    global _asked_again_at_s
    if time.monotonic() < _asked_again_at_s:
        return None
    try:
        answer: Any = _client().eval(_TAKE, 1, key, repr(60_000 / limit.a_minute), str(limit.burst))
    except (RedisError, OSError) as error:
        logger.warning("requests are not counted for %s s: %s", PAUSE_S, error)
        _asked_again_at_s = time.monotonic() + PAUSE_S
        return None
    return [int(number) for number in answer]


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=settings.RATE_LIMIT_ANSWER_S,
        socket_connect_timeout=settings.RATE_LIMIT_ANSWER_S,
        retry=Retry(NoBackoff(), 1),
    )


# --- HTTP ----------------------------------------------------------------------------------------


def name_address(text: str) -> str:
    """Return the name of a stranger's bucket: the address, of IPv6 the network of one line."""
    try:
        address = ip_address(text)
    except ValueError:
        return "address:unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return f"address:{address.ipv4_mapped}"
        return f"address:{IPv6Address(int(address) >> 64 << 64)}/64"
    return f"address:{address}"


def class_of(request: HttpRequest) -> str:
    """Return the row that a request counts for: the view's own, else by who asks and how."""
    is_safe = request.method in SAFE_METHODS
    path = request.path_info
    if not is_safe and path.startswith(SIGN_IN_PATHS) and path != SIGN_OUT_PATH:
        return "sign_in"
    if getattr(request, "api_key", None) is not None:
        return "api"
    if getattr(request, "membership", None) is None:
        return "stranger"
    try:
        view = resolve(path).func
    except Resolver404:
        return "read"
    return str(getattr(view, "rate_class", "read" if is_safe else "write"))


def whose(request: HttpRequest) -> str:
    """Return the name of the bucket: the API key's, the member's, or the address's."""
    key = getattr(request, "api_key", None)
    if key is not None:
        return f"key:{key.pk}"
    if getattr(request, "membership", None) is not None:
        return f"person:{request.user.pk}"
    return name_address(client_ip(request))


def rate_class(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Count a view for a class of its own."""

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        view.rate_class = name  # type: ignore[attr-defined]
        return view

    return mark


class RateLimitMiddleware:
    """Takes a token for each request; without one the answer is 429 and no view runs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer, or refuse."""
        from tenants.middleware import refusal_response

        try:
            grant = take(class_of(request), whose(request))
        except TooManyRequests as refusal:
            response = refusal_response(request, refusal)
            for name, value in refusal.headers.items():
                response[name] = value
            return response
        except LimitUnknown as refusal:
            return refusal_response(request, refusal)
        response = self.get_response(request)
        if grant is not None:
            for name, value in limit_headers(*grant).items():
                response[name] = value
        return response
