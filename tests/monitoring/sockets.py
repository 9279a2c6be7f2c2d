"""Pages without a browser: sockets against the real ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json

from channels.testing import WebsocketCommunicator
from django.conf import settings

from tests.cast import host


@contextlib.asynccontextmanager
async def page(session_key: str, *, on: str = "acme", origin: str | None = None, cookies: str = ""):
    """Open ``/ws/live/`` as a browser with this session does; leaves it closed."""
    from aii_site.asgi import application

    headers = [
        (b"host", host(on).encode()),
        (b"origin", (origin or f"http://{host(on)}").encode()),
        (b"cookie", f"{cookies}{settings.SESSION_COOKIE_NAME}={session_key}".encode()),
    ]
    socket = WebsocketCommunicator(application, "/ws/live/", headers=headers)
    socket.accepted, _ = await socket.connect(timeout=5)
    try:
        yield socket
    finally:
        await socket.disconnect()


async def frame_of(socket, timeout=5) -> dict:
    """Return the next frame, decoded."""
    output = await socket.receive_output(timeout)
    assert output["type"] == "websocket.send", output
    return json.loads(output["text"])


async def close_code_of(socket, timeout=5) -> int:
    output = await socket.receive_output(timeout)
    assert output["type"] == "websocket.close", output
    return output["code"]


async def frame_where(socket, wanted, timeout=5) -> dict:
    """Return the next frame for which ``wanted`` holds, leaving out those before it."""
    async with asyncio.timeout(timeout):
        while True:
            frame = await frame_of(socket, timeout)
            if wanted(frame):
                return frame
