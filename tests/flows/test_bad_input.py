"""Hostile input on every route, found by introspection: a sentence, and nothing written."""

from __future__ import annotations

import asyncio
import json

import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings

from tenants.context import tenant_context
from tests import objects
from tests.cast import host
from tests.conftest import session_for
from tests.flows.test_isolation import OWN_ROUTES, fill, holder_of, ids, unknown_values

NASTY = [
    "",
    "-1",
    "0",
    "1e400",
    "nan",
    "-inf",
    "99999999999999999999999",
    "١٢٣",
    "\x00",
    "' OR 1=1; --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "x" * 5000,
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
]
# Every name that a query or form of ours knows.
NAMES = [
    *["page", "state", "scenario", "window", "quantity", "series", "next", "note", "confirmation"],
    *["kind", "issuer", "client_id", "metadata_xml", "join_domains", "ticket", "SAMLResponse"],
    *["author", "prepared_for", "note_summary", "scenario_version", "risk-0-title"],
    *["amount", "first_month", "last_month", "source", "corrects", "correct"],
    *["title", "owner", "due_on", "starts_on", "ends_on", "VERIFIED_RUNS", "DRILLS_CAUGHT"],
    *["tab", "reason", "active_max", "seen_sha256", "role", "email", "code", "name"],
    *[
        "bodies_file",
        "units",
        "search",
        "sort",
        "with",
        "version",
        "from",
        "to",
        "days",
        "trials",
        "industry",
        "act",
    ],
    *["bodies", "steps", "dt_tu", "seed", "fault_kind", "fault_step", "fault_body"],
    *[
        "fault_quantity",
        "fault_size",
        "fault_reason",
        "integrator",
        "force",
        "accuracy",
        "softening",
    ],
]
FINE = {200, 204, 302, 400, 404, 405, 409, 415, 422}
# To open an entry of the log or to take a run's files away is itself recorded, and only that.
READ_ON_RECORD = {
    *(f"roi/<uuid:scenario_id>/{file}" for file in objects.SCENARIO_FILES),
    *("roadmap/roadmap.csv", "roadmap/roadmap.json"),
    *("audit/<int:number>/", "runs/bodies/<uuid:file_id>/bodies.csv"),
    *(f"cases/<uuid:case_id>/{file}" for file in objects.CASE_FILES),
    *(f"runs/<uuid:run_id>/{file}" for file in ("summary.json", "state.npz", "state.csv")),
}


def address_of(route, person) -> str:
    """Return the route's address, with an object that is there where it takes one."""
    path, _, converters = route
    make = objects.FOR_ROUTE.get(path)
    if make is None:
        return fill(path, unknown_values(converters))
    with tenant_context("acme"):
        return fill(path, make(person))


def check(response, address: str) -> None:
    text = response.content.decode("utf-8", "replace") if not response.streaming else ""
    # A test has no keys of the log, so no proof, and that is said.
    is_keyless = response.status_code == 503 and b"log_keys_missing" in response.content
    assert response.status_code in FINE or is_keyless, (address, response.status_code)
    assert "Traceback" not in text
    if response.headers.get("Content-Type", "").startswith("text/html"):
        assert "<script>alert" not in text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("route", OWN_ROUTES, ids=ids)
def test_hostile_queries_and_methods_are_answered_and_write_nothing(
    route, acme, request, client_for
):
    person = request.getfixturevalue(holder_of(route))
    client = client_for(person, acme)
    address = address_of(route, person)
    before = objects.fingerprint("acme")
    for value in NASTY:
        check(client.get(address, dict.fromkeys(NAMES, value)), address)
    for method in ("head", "options", "put", "patch", "delete"):
        check(getattr(client, method)(address), address)
    after = objects.fingerprint("acme")
    if route[0] in READ_ON_RECORD:
        assert after.pop("audit_entry") != before.pop("audit_entry")
        # The first entry about somebody brings the key that seals it.
        del after["encryption_datakey"], before["encryption_datakey"]
    assert after == before


# Digits of other scripts are digits, and 0 is a seed, a body and a softening.
GOOD = {("seed", "0"), ("fault_body", "0"), ("softening", "0")}
# Any text is a reason, but not one without end or with what no database keeps.
GOOD |= {("fault_reason", value) for value in NASTY if value != "\x00" and len(value) <= 500}
BAD_FIELDS = {
    name: [
        value
        for value in NASTY[1:]
        if (name, value) not in GOOD and not (value.isdecimal() and not value.isascii())
    ]
    for name in NAMES[NAMES.index("bodies") :]
}


@pytest.mark.django_db
@pytest.mark.parametrize("name", BAD_FIELDS)
def test_one_bad_field_of_the_run_form_is_named_and_nothing_is_written(
    name, acme, operator, client_for
):
    form = {
        "scenario": "plummer",
        "bodies": "64",
        "steps": "100",
        "dt_tu": "0.0078125",
        "seed": "0",
        "fault_kind": "momentum" if name != "fault_quantity" else "reading",
        "fault_step": "10",
        "fault_body": "1",
        "fault_quantity": "energy",
        "fault_size": "0.001",
        "fault_reason": "The yearly drill.",
    }
    client = client_for(operator, acme)
    before = objects.fingerprint("acme")
    for value in BAD_FIELDS[name]:
        response = client.post("/runs/new/", {**form, name: value})
        assert response.status_code == 422, (value, response.status_code)
        assert b"field-error" in response.content or b"error" in response.content, value
    assert objects.fingerprint("acme") == before


HOSTILE_FRAMES = [
    b"\x00\x01",
    " ",
    "nonsense",
    "[]",
    "null",
    "1",
    '{"type": 7}',
    '{"type": "subscribe", "tenant": "globex"}',
    '{"type": "rendered", "seq": "x"}',
    '{"type": "rendered", "seq": 1, "t": 1, "latency_ms": 1e400}',
    '{"type": "snapshot?", "pad": "' + "x" * 100_000 + '"}',
    "[" * 400,
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("frame", HOSTILE_FRAMES, ids=lambda frame: ascii(frame[:14]))
def test_a_hostile_frame_ends_the_socket_with_a_word_and_nothing_else(frame, acme, viewer):
    from aii_site.asgi import application

    key = session_for(viewer, "acme")
    headers = [
        (b"host", host("acme").encode()),
        (b"origin", f"http://{host('acme')}".encode()),
        (b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode()),
    ]

    async def talk() -> list[dict]:
        socket = WebsocketCommunicator(application, "/ws/live/", headers=headers)
        accepted, _ = await socket.connect(timeout=5)
        assert accepted
        assert json.loads((await socket.receive_output(5))["text"])["type"] == "snapshot"
        if isinstance(frame, bytes):
            await socket.send_to(bytes_data=frame)
        else:
            await socket.send_to(text_data=frame)
        heard = [await socket.receive_output(5)]
        while heard[-1]["type"] != "websocket.close":
            heard.append(await socket.receive_output(5))
        await socket.disconnect()
        return heard

    before = objects.fingerprint("acme")
    heard = asyncio.run(talk())
    assert heard[-1]["code"] == 4400
    assert objects.fingerprint("acme") == before
