"""A member of one tenant gets nothing from another: every route, socket and task, found by
introspection. Who may do what inside a tenant is crawled by ``test_crawl``.

A new route, socket or task is walked by these tests without anybody naming it here; one that takes
an object's id must be given an object in ``OBJECTS``, or the suite fails.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from celery import current_app
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from aii_site.routing import websocket_urlpatterns
from tenants.context import NoTenantChosen, tenant_context
from tenants.models import Membership
from tenants.permissions import ALL_PERMISSIONS, find_permission
from tenants.tasks import PlatformTask, TenantTask
from tests import objects
from tests.cast import host
from tests.conftest import session_for

# Pages that a stranger needs: signing in, joining, asking for a new password, and being told that
# sign-up is closed.
PUBLIC_PREFIXES = ("accounts/", "join/")


def routes() -> list[tuple[str, Callable[..., Any], dict[str, type]]]:
    """Return (path template, view, parameter types) of every route."""

    def walk(resolver: URLResolver, prefix: str, converters: dict[str, Any]):
        for entry in resolver.url_patterns:
            path = prefix + str(entry.pattern)
            known = {**converters, **entry.pattern.converters}
            if isinstance(entry, URLResolver):
                yield from walk(entry, path, known)
            else:
                assert isinstance(entry, URLPattern)
                yield path, entry.callback, known

    return list(walk(get_resolver(), "", {}))


ROUTES = routes()
OWN_ROUTES = [route for route in ROUTES if not route[0].startswith(PUBLIC_PREFIXES)]


def fill(path: str, values: dict[str, Any]) -> str:
    for name, value in values.items():
        for form in (f"<uuid:{name}>", f"<int:{name}>", f"<str:{name}>", f"<slug:{name}>"):
            path = path.replace(form, str(value))
    assert "<" not in path, f"no value for a parameter of {path}"
    return "/" + path


def unknown_values(converters: dict[str, Any]) -> dict[str, Any]:
    by_type = {"UUIDConverter": uuid.uuid4(), "IntConverter": 999_999}
    return {name: by_type.get(type(c).__name__, "unknown") for name, c in converters.items()}


def ids(route) -> str:
    return route[0] or "/"


def permission_of(view: Callable[..., Any]) -> str | None:
    guarded = inspect.unwrap(view, stop=lambda f: hasattr(f, "required_permission"))
    return getattr(guarded, "required_permission", None)


def holder_of(route) -> str:
    """Return the first person of the cast whose role includes what a route needs."""
    roles = find_permission(permission_of(route[1]) or "").roles
    return next(role.lower() for role in Membership.Role.values if role in roles)


def test_the_walk_finds_the_routes_that_we_know():
    paths = {path for path, _, _ in ROUTES}
    assert {"", "members/", "runs/", "accounts/login/"} <= paths


@pytest.mark.parametrize("route", OWN_ROUTES, ids=ids)
def test_every_view_names_the_permission_that_it_needs(route):
    path, view, _ = route
    permission = permission_of(view)
    assert permission in ALL_PERMISSIONS, f"{path} is not guarded by require_permission"


# The library's script under its version: the same for everybody, and no tenant's object.
NO_OBJECTS = {"runs/plotly-<str:version>.min.js"}
OBJECT_ROUTES = [route for route in OWN_ROUTES if route[2] and route[0] not in NO_OBJECTS]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("route", OBJECT_ROUTES, ids=ids)
def test_an_object_of_one_tenant_is_not_found_on_another(
    route, method, acme, globex, client_for, request, consultant
):
    path = route[0]
    member = request.getfixturevalue(holder_of(route))
    make = objects.FOR_ROUTE.get(path)
    assert make, f"tell tests/objects.py how to make what {path} shows"
    with tenant_context("globex"):
        values = make(consultant)
        before = objects.fingerprint("globex")
    address = fill(path, values)
    # It is there for its own people (whatever the answer is: not 404) ...
    own = client_for(consultant, globex).get(address)
    assert own.status_code != 404, address
    # ... and for a member of the other tenant there is no such thing, and nothing changes.
    before = objects.fingerprint("globex")
    answer = getattr(client_for(member, acme), method)(address, {})
    assert answer.status_code in (404, 405), address
    assert objects.fingerprint("globex") == before


# --- sockets -----------------------------------------------------------------------------------

SOCKETS = ["/" + str(pattern.pattern) for pattern in websocket_urlpatterns]


def open_socket(path: str, *, on: str, key: str, origin: str | None = None) -> tuple[bool, Any]:
    """Try to connect; return whether the handshake was accepted, and the first frame."""
    from aii_site.asgi import application

    headers = [
        (b"host", host(on).encode()),
        (b"cookie", f"{settings.SESSION_COOKIE_NAME}={key}".encode()),
    ]
    if origin != "":
        headers.append((b"origin", (origin or f"http://{host(on)}").encode()))

    async def attempt():
        socket = WebsocketCommunicator(application, path, headers=headers)
        accepted, detail = await socket.connect(timeout=5)
        frame = None
        if accepted:
            message = await socket.receive_output(timeout=5)
            frame = json.loads(message["text"]) if message["type"] == "websocket.send" else message
        await socket.disconnect()
        return accepted, frame if accepted else detail

    return asyncio.run(attempt())


def test_there_are_sockets():
    assert "/ws/live/" in SOCKETS


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", SOCKETS)
def test_a_member_hears_and_nobody_else_does(path, acme, viewer, outsider):
    accepted, frame = open_socket(path, on="acme", key=session_for(viewer, "acme"))
    assert accepted
    assert frame["type"] == "snapshot"
    refused = [
        {"on": "acme", "key": ""},
        {"on": "acme", "key": "x" * 32},
        {"on": "acme", "key": session_for(outsider, "globex")},
        {"on": "acme", "key": session_for(outsider, "acme")},
        {"on": "globex", "key": session_for(viewer, "acme")},
        {"on": "nobody", "key": session_for(viewer, "acme")},
        {"on": "acme", "key": session_for(viewer, "acme"), "origin": "http://evil.example"},
        {"on": "acme", "key": session_for(viewer, "acme"), "origin": f"http://{host('globex')}"},
        {"on": "acme", "key": session_for(viewer, "acme"), "origin": ""},
    ]
    for attempt in refused:
        accepted, frame = open_socket(path, **attempt)
        # Either the handshake is refused, or the only word is good-bye.
        assert not accepted or frame.get("type") in ("bye", "websocket.close"), attempt


# --- tasks -------------------------------------------------------------------------------------


def own_tasks() -> list[str]:
    current_app.loader.import_default_modules()
    return sorted(name for name in current_app.tasks if not name.startswith(("celery.", "tests.")))


@pytest.mark.parametrize("name", own_tasks())
def test_every_task_has_a_base_that_knows_about_tenants(name):
    assert isinstance(current_app.tasks[name], PlatformTask)


def parameters_of(name: str) -> set[str]:
    """Return the arguments that a task's payload has to carry."""
    parameters = inspect.signature(current_app.tasks[name].run).parameters
    return {key for key, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


TENANT_TASKS = [name for name in own_tasks() if isinstance(current_app.tasks[name], TenantTask)]


def test_the_walk_finds_the_tasks_that_we_know():
    assert "simulation.execute_run" in TENANT_TASKS
    assert "simulation.reap_runs" in own_tasks()


@pytest.mark.django_db
@pytest.mark.parametrize("name", TENANT_TASKS)
def test_a_tenants_task_does_not_run_without_a_tenant_that_exists(name):
    for schema in ("", "public", "nobody"):
        with pytest.raises(NoTenantChosen):
            current_app.tasks[name](tenant_schema=schema)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", [name for name in TENANT_TASKS if parameters_of(name)])
def test_a_task_sent_for_one_tenant_with_ids_of_another_changes_nothing(
    name, acme, globex, consultant
):
    make = objects.FOR_TASK.get(name)
    assert make, f"tell tests/objects.py what {name} works on"
    with tenant_context("globex"):
        values = make(consultant)
    before = objects.fingerprint("globex")
    current_app.tasks[name](tenant_schema="acme", **values)
    assert objects.fingerprint("globex") == before
