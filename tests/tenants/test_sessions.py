"""Sessions: whose, from where, and when they end."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from django.utils import timezone

from aii_site.celery import app
from audit.models import Entry
from tenants.context import tenant_context
from tenants.models import Tenant
from tenants.sessions.models import PersonSession
from tenants.sessions.tasks import delete_expired_sessions
from tests.cast import PASSWORD, host
from tests.conftest import session_for
from tests.tenants.test_passwords import attempt, lock

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


class TestOnesOwn:
    def sessions(self, user, slug="acme"):
        with tenant_context(slug):
            return list(PersonSession.objects.filter(user_id=user.pk))

    def test_the_page_lists_devices_and_marks_this_one_and_shows_no_key(self, client_for, viewer):
        here, there = client_for(viewer, "acme"), client_for(viewer, "acme")
        page = here.get("/accounts/sessions/").content.decode()
        assert "in 2 places" in page
        assert page.count("this one") == 1
        for client in (here, there):
            assert client.cookies[settings.SESSION_COOKIE_NAME].value not in page

    def test_one_is_ended(self, client_for, viewer):
        here, there = client_for(viewer, "acme"), client_for(viewer, "acme")
        other = next(
            row
            for row in self.sessions(viewer)
            if row.pk == there.cookies[settings.SESSION_COOKIE_NAME].value
        )
        answer = here.post(f"/accounts/sessions/{other.public_id}/end/")
        assert answer.status_code == 302
        assert there.get("/").status_code == 302
        assert here.get("/").status_code == 200
        with tenant_context("acme"):
            entry = Entry.objects.get(action="session.revoked")
        assert (entry.who_id, entry.subject_id) == (str(viewer.pk), str(other.public_id))

    def test_that_of_somebody_else_is_not_there(self, client_for, viewer, operator):
        client_for(operator, "acme")
        (theirs,) = self.sessions(operator)
        answer = client_for(viewer, "acme").post(f"/accounts/sessions/{theirs.public_id}/end/")
        assert answer.status_code == 404
        assert self.sessions(operator) == [theirs]

    def test_nor_is_one_in_another_tenant(self, client_for, consultant):
        client_for(consultant, "globex")
        (there,) = self.sessions(consultant, "globex")
        client = client_for(consultant, "acme")
        assert client.post(f"/accounts/sessions/{there.public_id}/end/").status_code == 404
        assert self.sessions(consultant, "globex") == [there]

    def test_all_others_end_in_every_tenant_and_this_one_goes_on(self, client_for, consultant):
        here, there = client_for(consultant, "acme"), client_for(consultant, "acme")
        elsewhere = client_for(consultant, "globex")
        assert here.post("/accounts/sessions/end-others/").status_code == 302
        assert here.get("/").status_code == 200
        assert there.get("/").status_code == 302
        assert elsewhere.get("/").status_code == 302

    def test_strangers_are_sent_to_sign_in(self, acme):
        client = Client(headers={"host": host("acme")})
        assert client.get("/accounts/sessions/")["Location"].startswith("/accounts/login/")
        assert client.post("/accounts/sessions/end-others/").status_code == 302


class TestAMembers:
    def test_an_owner_ends_them_in_this_tenant_alone(self, client_for, owner, consultant):
        here, elsewhere = client_for(consultant, "acme"), client_for(consultant, "globex")
        client = client_for(owner, "acme")
        page = client.get(f"/members/{consultant.pk}/sessions/").content.decode()
        assert "in 1 place<" in page
        answer = client.post(f"/members/{consultant.pk}/sessions/end/")
        assert answer.status_code == 302
        assert here.get("/").status_code == 302
        assert elsewhere.get("/").status_code == 200
        with tenant_context("acme"):
            entry = Entry.objects.get(action="session.all_revoked")
        assert (entry.who_id, entry.subject_id) == (str(owner.pk), str(consultant.pk))

    def test_it_wants_a_fresh_proof(self, client_for, owner, viewer):
        there = client_for(viewer, "acme")
        answer = client_for(owner, "acme", proved_s_ago=700).post(
            f"/members/{viewer.pk}/sessions/end/"
        )
        assert "/reauthenticate/" in answer["Location"]
        assert there.get("/").status_code == 200


class TestRules:
    PATH = "/settings/sign-in/"

    def test_an_owner_asks_a_second_factor_of_everybody_and_the_log_says_so(
        self, client_for, owner, acme
    ):
        client = client_for(owner, acme)
        assert client.get(self.PATH).status_code == 200
        for value, form in ((True, {"second_factor_for_all": "on"}), (False, {})):
            assert client.post(self.PATH, form).status_code == 302
            with tenant_context("acme"):
                assert Tenant.objects.get(pk=acme.pk).second_factor_for_all is value
        client.post(self.PATH, {})  # Nothing changes, and nothing is said.
        with tenant_context("acme"):
            assert Entry.objects.filter(action="tenant.sign_in_changed").count() == 2

    def test_an_owner_unlocks(self, client_for, owner, viewer, acme):
        lock(viewer.email)
        client = client_for(owner, acme)
        page = client.get(f"/members/{viewer.pk}/sessions/").content.decode()
        assert "Locked out at 192.0.2.1" in page
        form = {"email": viewer.email}
        assert client.post(f"{self.PATH}unlock/", form).status_code == 302
        assert attempt(viewer.email, PASSWORD).status_code == 302
        assert client.post(f"{self.PATH}unlock/", form).status_code == 409
        assert client.post(f"{self.PATH}unlock/", {"email": "no address"}).status_code == 422
        with tenant_context("acme"):
            assert Entry.objects.filter(action="sign_in.unlocked").count() == 1


class TestTheLog:
    def entries(self):
        with tenant_context("acme"):
            rows = Entry.objects.order_by("number")
            return [(row.action, row.who_id, row.subject_type, row.subject_id) for row in rows]

    def test_a_sign_in_and_a_sign_out(self, viewer):
        client = Client(headers={"host": host("acme")})
        client.post("/accounts/login/", {"login": viewer.email, "password": PASSWORD})
        client.post("/accounts/logout/")
        who = str(viewer.pk)
        opened, closed = self.entries()
        assert opened == ("session.opened", who, "person", who)
        assert closed[:3] == ("session.closed", who, "session")

    def test_a_wrong_password_and_the_lock(self, viewer):
        lock(viewer.email)
        actions = [(action, subject) for action, _, _, subject in self.entries()]
        assert actions.count(("sign_in.refused", str(viewer.pk))) == 5
        assert ("sign_in.locked_out", str(viewer.pk)) in actions

    def test_what_a_stranger_typed_as_a_name_stays_out(self, viewer):
        attempt("typed-by-mistake@unknown.example", "x")
        ((action, who, kind, subject),) = self.entries()
        assert (action, who, kind, subject) == ("sign_in.refused", "", "sign_in", "")

    def test_an_idle_session(self, client_for, owner, acme):
        with time_machine.travel(T0, tick=False) as clock:
            client = client_for(owner, acme)
            clock.shift(HALF_AN_HOUR_s + 1)
            client.get("/")
        assert [entry[0] for entry in self.entries()] == ["session.closed"]


def test_what_nobody_can_use_any_more_is_deleted_in_every_tenant(viewer, outsider, acme):
    keys = {"acme": session_for(viewer, "acme"), "globex": session_for(outsider, "globex")}
    for slug in keys:
        kept = session_for(viewer if slug == "acme" else outsider, slug)
        with tenant_context(slug):
            PersonSession.objects.filter(pk=keys[slug]).update(
                expire_date=timezone.now() - timedelta(seconds=1)
            )
        keys[slug] = kept
    for _ in range(2):
        delete_expired_sessions.run()
    for slug, kept in keys.items():
        with tenant_context(slug):
            assert list(PersonSession.objects.values_list("pk", flat=True)) == [kept]
            assert Entry.objects.filter(action="sessions.expired").count() == 1
    assert app.conf.beat_schedule["tenants.delete_expired_sessions"]["task"] in app.tasks
