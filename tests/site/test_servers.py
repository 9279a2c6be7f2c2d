"""One ASGI application under both servers: daphne for development, uvicorn for production."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import websockets
from django.conf import settings

from aii_site.headers import HEADERS
from monitoring import live
from tests.cast import host
from tests.conftest import session_for
from tests.real_site import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
APPLICATION = "aii_site.asgi:application"
SERVERS = {
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "{port}", APPLICATION],
    "uvicorn": [
        *["uvicorn", APPLICATION, "--host", "127.0.0.1", "--port", "{port}"],
        *["--ws", "websockets-sansio"],
    ],
}
pytestmark = pytest.mark.django_db(transaction=True)


def get(port: int, path: str, name: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": name, **headers})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture(params=SERVERS)
def server(request):
    """The name of a server."""
    return request.param


@pytest.fixture
def port(server, tmp_path):
    """The port of a server on this test's database and Redis."""
    port = free_port()
    command = [part.format(port=port) for part in SERVERS[server]]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env={
                **os.environ,
                "AII_PROCESS": "web",
                "DJANGO_SETTINGS_MODULE": "aii_site.settings.test",
            },
            stdout=log,
            stderr=log,
        )
    try:
        deadline_s = time.monotonic() + 60
        while True:
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            try:
                if get(port, "/healthz", "localhost")[0] == 200:
                    break
            except OSError:
                assert time.monotonic() < deadline_s, (tmp_path / "server.log").read_text()
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def test_pages_probes_and_files(port, viewer):
    key = session_for(viewer, "acme")
    cookie = f"{settings.SESSION_COOKIE_NAME}={key}"
    assert get(port, "/readyz", "10.0.0.7")[0] == 200
    assert get(port, "/", host("nobody"))[0] == 404
    assert get(port, "/", host("acme"))[0] == 302
    status, page = get(port, "/", host("acme"), Cookie=cookie)
    assert status == 200
    assert b"Acme Robotics" in page
    assert get(port, "/", host("globex"), Cookie=cookie)[0] == 302
    status, script = get(port, "/static/js/live.js", host("acme"))
    assert status == 200
    assert b"snapshot" in script


def test_the_live_stream(port, server, viewer):
    key = session_for(viewer, "acme")

    def connect(origin: str):
        return websockets.connect(
            f"ws://{host('acme')}:{port}/ws/live/",
            host="127.0.0.1",
            port=port,
            origin=origin,
            additional_headers={"Cookie": f"{settings.SESSION_COOKIE_NAME}={key}"},
            proxy=None,
        )

    async def listen() -> None:
        async with connect(f"http://{host('acme')}:{port}") as socket:
            snapshot = json.loads(await asyncio.wait_for(socket.recv(), 10))
            assert snapshot["type"] == "snapshot"
            await asyncio.to_thread(live.publish, "globex", {"perf": {"queue": 1}})
            await asyncio.to_thread(live.publish, "acme", {"perf": {"queue": 7}})
            delta = json.loads(await asyncio.wait_for(socket.recv(), 10))
            # The first frame is ours: the other tenant's was not sent here.
            assert delta["changes"] == {"perf": {"queue": 7}}
            assert delta["seq"] == snapshot["seq"] + 1
            await socket.send("[" * 100)
            # A sentence that says what was wrong, then the end.
            assert json.loads(await asyncio.wait_for(socket.recv(), 10))["type"] == "error"
            await asyncio.wait_for(socket.wait_closed(), 10)
            assert socket.close_code == 4400
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect("http://evil.example"):
                pass
        assert refused.value.response.status_code == 403
        assert "Set-Cookie" not in refused.value.response.headers
        if server == "uvicorn":
            for name, value in HEADERS.items():
                assert refused.value.response.headers[name] == value

    asyncio.run(listen())
