"""Cuts a request's body off at the door.

Django spools a whole body to disk before a view or a limit of its own sees it, so a stranger could
fill the disk. Here a body that says it is too long is refused unread, and one that lies is cut off.
"""

from __future__ import annotations

import json
from typing import Any

from aii_site.headers import HEADERS, POLICY_WITHOUT_PAGE


class BodyLimit:
    """An ASGI application around another; answers 413 past ``bytes_max``."""

    def __init__(self, app: Any, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass the request on, counted."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._bytes_max:
            await self._refuse(scope, send)
            return
        count, is_over, has_answered = 0, False, False

        async def counted() -> dict[str, Any]:
            nonlocal count, is_over
            message: dict[str, Any] = await receive()
            count += len(message.get("body", b""))
            if count > self._bytes_max:
                is_over = True
                # For Django the visitor is gone: it throws away what it had and answers nothing.
                return {"type": "http.disconnect"}
            return message

        async def noted(message: dict[str, Any]) -> None:
            nonlocal has_answered
            has_answered = True
            await send(message)

        await self._app(scope, counted, noted)
        if is_over and not has_answered:
            await self._refuse(scope, send)

    async def _refuse(self, scope: dict[str, Any], send: Any) -> None:
        sentence = f"A request holds at most {self._bytes_max} bytes. Nothing was changed."
        accept = dict(scope["headers"]).get(b"accept", b"")
        if b"json" in accept or scope["path"].startswith("/api/"):
            kind = "application/problem+json"
            problem = {"type": "about:blank", "title": "Content Too Large", "status": 413}
            body = json.dumps({**problem, "detail": sentence, "code": "too_large"})
        else:
            kind, body = "text/plain; charset=utf-8", sentence
        headers = {
            **HEADERS,
            "Content-Security-Policy": POLICY_WITHOUT_PAGE,
            "Content-Type": kind,
            "Content-Length": str(len(body.encode())),
            # What is still on its way is not read.
            "Connection": "close",
        }
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 413, "headers": raw})
        await send({"type": "http.response.body", "body": body.encode()})
