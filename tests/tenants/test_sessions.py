"""Sessions: whose, from where, and when they end."""

from __future__ import annotations

import pytest
import time_machine
from django.conf import settings
from django.test import Client

from tenants.context import tenant_context
from tenants.sessions.models import PersonSession
from tests.cast import PASSWORD, host

pytestmark = pytest.mark.django_db
T0 = "2026-03-01 12:00:00Z"
HALF_AN_HOUR_s = 30 * 60


def is_in(client: Client) -> bool:
    return client.get("/members/", headers={"sec-fetch-mode": "cors"}).status_code != 302


class TestIdle:
    def test_an_owner_is_signed_out_after_half_an_hour_and_told_why(self, client_for, owner, acme):
        with time_machine.travel(T0, tick=False) as clock:
            client = client_for(owner, acme)
            clock.shift(HALF_AN_HOUR_s + 1)
            answer = client.get("/")
            assert answer.status_code == 302
            assert "signed out after 30 minutes" in client.get(answer["Location"]).content.decode()
            clock.shift(1)
            assert client.get("/").status_code == 302
        with tenant_context("acme"):
            assert not PersonSession.objects.filter(user_id=owner.pk).exists()

    def test_a_program_is_told_with_a_code(self, client_for, owner, acme):
        with time_machine.travel(T0, tick=False) as clock:
            client = client_for(owner, acme)
            clock.shift(HALF_AN_HOUR_s + 1)
            answer = client.get("/live/snapshot.json")
        assert (answer.status_code, answer.json()["code"]) == (401, "signed_out_idle")

    def test_what_a_person_does_keeps_the_session(self, client_for, owner, acme):
        with time_machine.travel(T0, tick=False) as clock:
            client = client_for(owner, acme)
            for _ in range(3):
                clock.shift(HALF_AN_HOUR_s - 10)
                assert client.get("/").status_code == 200

    @pytest.mark.parametrize(
        "headers",
        [{"sec-fetch-mode": "cors"}, {"hx-request": "true"}, {"accept": "application/json"}],
    )
    def test_what_a_page_asks_by_itself_does_not(self, client_for, owner, acme, headers):
        with time_machine.travel(T0, tick=False) as clock:
            client = client_for(owner, acme)
            for _ in range(3):
                clock.shift(HALF_AN_HOUR_s / 3)
                assert client.get("/runs/", headers=headers).status_code == 200
            clock.shift(1)
            assert client.get("/runs/").status_code == 302

    def test_a_viewer_may_leave_the_dashboard_on_the_wall(self, client_for, viewer, acme):
        with time_machine.travel(T0, tick=False) as clock:
            client = client_for(viewer, acme)
            clock.shift(24 * 3600)
            assert client.get("/").status_code == 200


def test_a_sign_in_notes_from_where(viewer):
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    client = Client(headers={"host": host("acme"), "user-agent": agent}, REMOTE_ADDR="192.0.2.9")
    client.post("/accounts/login/", {"login": viewer.email, "password": PASSWORD})
    with tenant_context("acme"):
        row = PersonSession.objects.get(pk=client.cookies[settings.SESSION_COOKIE_NAME].value)
    assert (row.user_id, row.ip, row.user_agent) == (viewer.pk, "192.0.2.9", agent)
    assert row.signed_in_at is not None and row.seen_at is not None
