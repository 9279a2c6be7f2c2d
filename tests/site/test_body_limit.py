"""A body that is too long is refused unread, whatever it says about its length."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from aii_site.body_limit import BodyLimit
from aii_site.headers import HEADERS

KIBIBYTE = b"x" * 1024


def ask(*parts: bytes, path: str = "/", **headers: str) -> tuple[dict, int]:
    """Send a body in parts to an application that reads it all; return answer and bytes read."""
    read = 0

    async def application(scope, receive, send):
        nonlocal read
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return  # As Django: the visitor is gone.
            read += len(message["body"])
            if not message["more_body"]:
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    async def talk() -> dict:
        messages = [
            {"type": "http.request", "body": part, "more_body": i < len(parts)}
            for i, part in enumerate(parts, 1)
        ]
        heard = {}

        async def receive():
            return messages.pop(0)

        async def send(message):
            heard.update(message)

        raw = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        scope = {"type": "http", "path": path, "headers": raw}
        await BodyLimit(application, 4096)(scope, receive, send)
        return heard

    # In a thread of its own: a browser's loop may run in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, talk()).result(), read


def test_a_body_that_fits_passes():
    assert ask(KIBIBYTE, KIBIBYTE, KIBIBYTE, KIBIBYTE)[0]["status"] == 200
    assert ask(b"", content_length="4096")[0]["status"] == 200


@pytest.mark.parametrize("length", ["4097", "99999999999999999999", "-1", "1e3", "", "4096, 1"])
def test_a_body_that_says_it_is_too_long_is_not_read(length):
    answer, read = ask(KIBIBYTE, content_length=length)
    assert (answer["status"], read) == (413, 0)


def test_a_body_without_a_length_is_cut_off():
    answer, read = ask(*[KIBIBYTE] * 100)
    assert answer["status"] == 413
    assert read == 4096


def test_the_refusal_has_every_header_and_a_form_for_programs():
    page, _ = ask(content_length="5000")
    names = {name.decode() for name, _ in page["headers"]}
    assert {name.lower() for name in HEADERS} | {"content-security-policy"} <= names
    assert b"at most 4096 bytes" in page["body"]
    problem, _ = ask(content_length="5000", accept="application/json")
    assert json.loads(problem["body"])["code"] == "too_large"


@pytest.mark.django_db(transaction=True)
def test_the_site_cuts_a_strangers_endless_body_off(settings):
    from channels.testing import ApplicationCommunicator

    from aii_site.asgi import application

    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    headers = [(b"host", b"acme.localhost"), (b"content-type", b"application/octet-stream")]
    scope = {"type": "http", "method": "POST", "path": "/accounts/login/", "headers": headers}
    scope |= {"query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""}

    async def pour() -> dict:
        site = ApplicationCommunicator(application, scope)
        for _ in range(settings.AII_BODY_BYTES_MAX // 2**20 + 1):
            part = {"type": "http.request", "body": b"x" * 2**20, "more_body": True}
            await site.send_input(part)
        answer = await site.receive_output(30)
        await site.wait(30)
        return answer

    assert asyncio.run(pour())["status"] == 413
