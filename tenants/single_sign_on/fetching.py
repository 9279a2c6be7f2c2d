"""Asking identity providers that a tenant's owner named: over TLS, in the open, briefly.

The addresses come from people, so a server that fetches them could be made to look into its own
network. Each host is resolved once and connected to by that very address, so a name that changes
its mind between check and connection gains nothing. No redirects, no proxies of the environment.
"""

from __future__ import annotations

import socket
import time
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util.connection import create_connection

ANSWER_BYTES_MAX = 1_000_000
CONNECT_S, READ_S, WHOLE_S = 3.0, 5.0, 10.0
_NAT64 = IPv6Network("64:ff9b::/96")


class FetchRefused(requests.RequestException):
    """The address may not be asked, or its answer is not one that is read."""


def check_address(url: str) -> None:
    """Raise ``FetchRefused`` for an address that is not https, or not plainly a host's."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FetchRefused("This is not an address.") from None
    if not host or not url.isascii() or not url.isprintable() or set(url) & set(" \"'<>\\;,"):
        raise FetchRefused("This is not an address.")
    if parts.username is not None or parts.password is not None:
        raise FetchRefused("An address holds no name and no password.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_inner(host)):
        raise FetchRefused("The address has to begin with https://.")


def is_public(address: str) -> bool:
    """Tell whether an IP address lies in the open internet, however it is written."""
    ip: Any = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip.sixtofour or ip.teredo or ip in _NAT64:
            return False  # They carry an IPv4 address to wherever it leads.
    return bool(ip.is_global and not ip.is_multicast)


def fetch(url: str) -> requests.Response:
    """Return the answer to GET. Raises ``requests.RequestException``."""
    with GuardedSession() as session:
        response = session.get(url)
        response.raise_for_status()
        return response


class GuardedSession(requests.Session):
    """See the module; takes the place of a plain session, in allauth's client too."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        # What is counted is what came: no answer grows while it is unpacked.
        self.headers["Accept-Encoding"] = "identity"
        for scheme in ("http://", "https://"):
            self.mount(scheme, _GuardedAdapter(max_retries=0))

    def request(  # type: ignore[override]
        self, method: str, url: str, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Ask, and read the whole answer within the limits."""
        check_address(url)
        kwargs.update(timeout=(CONNECT_S, READ_S), allow_redirects=False, stream=True)
        response: requests.Response = super().request(method, url, *args, **kwargs)
        with response:
            if response.is_redirect:
                raise FetchRefused("It answers with another address. Enter that one.")
            response._content = _read(response)
        return response


def _read(response: requests.Response) -> bytes:
    end_s = time.monotonic() + WHOLE_S
    content = bytearray()
    try:
        while chunk := response.raw.read1(65536, decode_content=True):
            content += chunk
            if len(content) > ANSWER_BYTES_MAX:
                raise FetchRefused("The answer is too long.")
            if time.monotonic() > end_s:
                raise FetchRefused("The answer takes too long.")
    except HTTPError as error:
        raise FetchRefused("The answer broke off.") from error
    return bytes(content)


def _is_inner(host: str) -> bool:
    return host.lower() in settings.AII_INNER_IDP_HOSTS


def _address_of(host: str, port: int) -> str:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in found]
    if not _is_inner(host) and not all(is_public(each) for each in addresses):
        raise OSError("not a public address")
    return addresses[0]


class _GuardedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        try:
            address = _address_of(self.host, self.port or self.default_port)
            return create_connection(
                (address, self.port or self.default_port),
                self.timeout,
                socket_options=self.socket_options,
            )
        except (OSError, UnicodeError) as error:
            # The same words for all: what stands in our network is nobody's business.
            raise NewConnectionError(self, "not reached") from error


class _GuardedTlsConnection(_GuardedConnection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection


class _GuardedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make every connection one that looks where it leads."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
