"""Refused handshakes of websockets get the security headers of every other answer.

A server that offers ``websocket.http.response`` lets an application answer a handshake itself
(uvicorn does, daphne does not and sends its own bare 403).
"""

from __future__ import annotations

from typing import Any

from aii_site.headers import HEADERS, POLICY_WITHOUT_PAGE

_RAW = [
    (name.lower().encode(), value.encode())
    for name, value in {**HEADERS, "Content-Security-Policy": POLICY_WITHOUT_PAGE}.items()
]


class RefusedHandshakes:
    """An ASGI application around another; answers where that closes before it accepts."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass on; turn an early close into an answer."""
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await self._app(scope, receive, send)
            return
        is_accepted = False

        async def answer(message: dict[str, Any]) -> None:
            nonlocal is_accepted
            is_accepted = is_accepted or message["type"] == "websocket.accept"
            if is_accepted or message["type"] != "websocket.close":
                await send(message)
                return
            start = {"type": "websocket.http.response.start", "status": 403, "headers": _RAW}
            await send(start)
            await send({"type": "websocket.http.response.body", "body": b""})

        await self._app(scope, receive, answer)
