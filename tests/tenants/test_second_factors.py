"""Second factors: enrolled, used, refused, removed; who needs one, and what is said if not."""

from __future__ import annotations

import json
import re

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.test import Client

from audit.models import Entry
from simulation.models import Run
from tenants.context import tenant_context
from tenants.models import Tenant
from tenants.second_factors.codes import code_at, new_secret
from tenants.second_factors.sealing import seal_secret
from tenants.sessions.models import PersonSession
from tests.cast import PASSWORD, host
from tests.conftest import session_for

pytestmark = pytest.mark.django_db
T0_s = 1_772_366_400  # 2026-03-01 12:00:00 UTC
INDEX = "/accounts/second-factor/"


@pytest.fixture
def clock():
    with time_machine.travel(T0_s, tick=False) as traveller:
        yield traveller


def give_app(user, slug="acme") -> str:
    secret = new_secret()
    with tenant_context(slug):
        Authenticator.objects.create(
            user=user, type="totp", data={"secret": seal_secret(user.pk, secret)}
        )
    return secret


def sign_in(user, *, slug="acme", code=None, client=None):
    client = client or Client(headers={"host": host(slug)})
    answer = client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    if code is not None:
        assert answer["Location"] == f"{INDEX}authenticate/"
        answer = client.post(answer["Location"], {"code": code})
    return client, answer


def is_in(client) -> bool:
    return client.get("/runs/").status_code == 200


class TestCodes:
    def test_password_and_code_sign_in_and_the_password_alone_does_not(self, viewer, clock):
        secret = give_app(viewer)
        client, answer = sign_in(viewer)
        assert not is_in(client)
        page = client.get(answer["Location"]).content.decode()
        assert 'autocomplete="one-time-code"' in page
        assert "last sign-in" in page
        client, answer = sign_in(viewer, code=code_at(secret, T0_s))
        assert answer.status_code == 302
        assert is_in(client)

    def test_a_code_with_spaces_as_apps_show_it(self, viewer, clock):
        code = code_at(give_app(viewer), T0_s)
        assert is_in(sign_in(viewer, code=f" {code[:3]} {code[3:]} ")[0])

    @pytest.mark.parametrize("off_s", [-30, 30])
    def test_a_clock_may_be_one_step_off(self, viewer, clock, off_s):
        assert is_in(sign_in(viewer, code=code_at(give_app(viewer), T0_s + off_s))[0])

    @pytest.mark.parametrize("off_s", [-60, 60])
    def test_and_no_further(self, viewer, clock, off_s):
        client, answer = sign_in(viewer, code=code_at(give_app(viewer), T0_s + off_s))
        assert "not correct" in answer.content.decode()
        assert not is_in(client)

    @pytest.mark.parametrize("code", ["", "000000x", "0" * 41, "١٢٣٤٥٦", "\0"])
    def test_what_is_no_code(self, viewer, clock, code):
        give_app(viewer)
        client, answer = sign_in(viewer, code=code)
        assert answer.status_code == 200
        assert not is_in(client)

    def test_a_code_is_good_once_on_every_host_for_as_long_as_it_lives(self, consultant, clock):
        secret = give_app(consultant)
        code = code_at(secret, T0_s)
        assert is_in(sign_in(consultant, code=code)[0])
        clock.shift(29)
        for slug in ("acme", "globex"):
            assert not is_in(sign_in(consultant, slug=slug, code=code)[0])
        # Nor does an earlier one count after a later one.
        earlier = code_at(secret, T0_s - 30)
        assert not is_in(sign_in(consultant, code=earlier)[0])
        clock.shift(1)
        assert is_in(sign_in(consultant, slug="globex", code=code_at(secret, T0_s + 30))[0])

    def test_guessing_is_slowed_down(self, viewer, clock, settings):
        settings.ACCOUNT_RATE_LIMITS = {"login_failed": "5/300s/key"}
        secret = give_app(viewer)
        client, _ = sign_in(viewer)
        for _ in range(5):
            client.post(f"{INDEX}authenticate/", {"code": "000000"})
        answer = client.post(f"{INDEX}authenticate/", {"code": code_at(secret, T0_s)})
        assert "Too many" in answer.content.decode()
        assert not is_in(client)


class TestEnrolment:
    def enrol(self, client):
        page = client.get(f"{INDEX}totp/activate/").content.decode()
        secret = re.search(r'value="([A-Z2-7]{32})"', page)[1]
        now = code_at(secret, T0_s)
        return secret, client.post(f"{INDEX}totp/activate/", {"code": now})

    @pytest.mark.django_db(transaction=True)
    def test_an_operator_is_led_to_it_and_back_and_may_go_on(self, operator, clock):
        try:
            client, _ = sign_in(operator)
            answer = client.get("/runs/new/?scenario=kepler")
            assert answer["Location"].startswith(f"{INDEX}?next=%2Fruns%2Fnew%2F")
            assert "Set one up first" in client.get(answer["Location"]).content.decode()
            secret, answer = self.enrol(client)
            codes = client.get(answer["Location"]).content.decode()
            assert 'href="/runs/new/?scenario=kepler"' in codes
            assert client.get("/runs/new/").status_code == 200
            # The code that enrolled is spent; a recovery code signs in, once.
            assert not is_in(sign_in(operator, code=code_at(secret, T0_s))[0])
            code = re.findall(r"<li>(\d{8})</li>", codes)[0]
            assert is_in(sign_in(operator, code=code)[0])
            assert not is_in(sign_in(operator, code=code)[0])
            # They are shown this once.
            assert code not in client.get(f"{INDEX}recovery-codes/").content.decode()
        finally:
            with tenant_context("acme"):
                Authenticator.objects.filter(user=operator).delete()

    def test_no_secret_lies_open_in_the_database(self, client_for, viewer, acme, clock):
        client = client_for(viewer, acme)
        secret, _ = self.enrol(client)
        with tenant_context("acme"), connection.cursor() as cursor:
            cursor.execute("SELECT string_agg(data::text, ' ') FROM mfa_authenticator")
            kept = cursor.fetchone()[0]
        assert secret not in kept

    def test_nor_does_a_secret_that_waits_for_its_first_code(self, client_for, viewer, acme):
        client = client_for(viewer, acme)
        page = client.get(f"{INDEX}totp/activate/").content.decode()
        secret = re.search(r'value="([A-Z2-7]{32})"', page)[1]
        with tenant_context("acme"):
            key = client.cookies[settings.SESSION_COOKIE_NAME].value
            data = PersonSession.objects.get(pk=key).get_decoded()
        assert secret not in json.dumps(data)

    def test_a_password_is_no_way_to_replace_a_factor(self, client_for, viewer, acme):
        give_app(viewer)
        # A session from before the enrolment: the password was shown, the factor never.
        client = client_for(viewer, acme, proved_s_ago=None)
        with tenant_context("acme"):
            before = list(Authenticator.objects.values_list("pk", "data"))
        for path in ("totp/deactivate/", "webauthn/add/", "recovery-codes/generate/"):
            answer = client.post(INDEX + path, {})
            assert answer.status_code == 302
            assert answer["Location"].startswith(f"{INDEX}reauthenticate/")
        answer = client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        assert answer["Location"].startswith(f"{INDEX}reauthenticate/")
        with tenant_context("acme"):
            assert list(Authenticator.objects.values_list("pk", "data")) == before

    def test_removing_it_ends_the_other_sessions_everywhere(self, client_for, consultant, clock):
        give_app(consultant)
        here, there = client_for(consultant, "acme"), client_for(consultant, "acme")
        elsewhere = client_for(consultant, "globex")
        assert here.post(f"{INDEX}totp/deactivate/", {}).status_code == 302
        assert is_in(here)
        assert not is_in(there)
        assert not is_in(elsewhere)


class TestWhoNeedsOne:
    @pytest.mark.parametrize("role", ["owner", "auditor"])
    @pytest.mark.parametrize("path", ["/", "/runs/", "/members/"])
    def test_owners_and_auditors_always(self, client_for, request, acme, role, path):
        person = request.getfixturevalue(role)
        answer = client_for(person, acme, proved_s_ago=None).get(path)
        assert answer["Location"].startswith(f"{INDEX}?next=")
        give_app(person)
        answer = client_for(person, acme, proved_s_ago=None).get(path)
        assert answer["Location"].startswith(f"{INDEX}reauthenticate/?next=")
        assert client_for(person, acme).get(path).status_code == 200

    @pytest.mark.parametrize("path", ["/", "/runs/", "/alerts/"])
    def test_an_operator_may_look_without(self, client_for, operator, acme, path):
        assert client_for(operator, acme, proved_s_ago=None).get(path).status_code == 200

    def test_and_starts_nothing_without(self, client_for, operator, acme):
        client = client_for(operator, acme, proved_s_ago=None)
        answer = client.post("/runs/new/", {"scenario": "kepler", "steps": "100"})
        assert answer.status_code == 302
        assert answer["Location"].startswith(INDEX)
        with tenant_context("acme"):
            assert not Run.objects.exists()

    def test_a_tenant_may_ask_it_of_everybody(self, client_for, viewer, acme):
        client = client_for(viewer, acme, proved_s_ago=None)
        assert is_in(client)
        with tenant_context("acme"):
            Tenant.objects.filter(pk=acme.pk).update(second_factor_for_all=True)
        assert client.get("/runs/")["Location"].startswith(INDEX)
        # The page where it is set up stays open.
        assert client.get(INDEX).status_code == 200

    def test_programs_get_a_code(self, client_for, owner, acme):
        client = client_for(owner, acme, proved_s_ago=None)
        answer = client.get("/live/snapshot.json")
        assert (answer.status_code, answer.json()["code"]) == (403, "second_factor_needed")
        answer = client.get("/runs/", headers={"hx-request": "true"})
        assert (answer.status_code, answer.content) == (403, b"second_factor_needed")
        assert answer["HX-Redirect"].startswith(INDEX)

    @pytest.mark.django_db(transaction=True)
    def test_so_does_a_socket(self, acme, owner):
        from tests.flows.test_isolation import open_socket

        key = session_for(owner, "acme", proved_s_ago=None)
        accepted, frame = open_socket("/ws/live/", on="acme", key=key)
        assert accepted and frame == {"type": "bye", "reason": "second_factor_needed"}

    def test_the_records_of_somebody_else_do_not_count(self, client_for, owner, auditor, acme):
        client = client_for(owner, acme)
        with tenant_context("acme"):
            session = client.session
            session["account_authentication_methods_user"] = str(auditor.pk)
            session.save()
        assert client.get("/")["Location"].startswith(INDEX)


class TestStepUp:
    def test_ten_minutes_after_the_proof_it_is_asked_for_again(self, client_for, owner, acme):
        give_app(owner)
        fresh, stale = (client_for(owner, acme, proved_s_ago=s) for s in (590, 610))
        path = "/accounts/password/change/"
        assert fresh.get(path).status_code == 200
        assert stale.get(path)["Location"] == (
            f"{INDEX}reauthenticate/?next=%2Faccounts%2Fpassword%2Fchange%2F"
        )

    def test_a_password_change_on_an_old_proof_changes_nothing(self, client_for, owner, acme):
        give_app(owner)
        new = "a quite different horse"
        form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
        client = client_for(owner, acme, proved_s_ago=3600)
        assert client.post("/accounts/password/change/", form).status_code == 302
        with tenant_context("acme"):
            owner.refresh_from_db()
        assert owner.check_password(PASSWORD)

    def test_a_code_is_a_fresh_proof_and_leads_back(self, client_for, owner, acme, clock):
        secret = give_app(owner)
        client = client_for(owner, acme, proved_s_ago=3600)
        answer = client.get("/accounts/password/change/")
        address = answer["Location"]
        answer = client.post(
            address.split("?")[0],
            {"code": code_at(secret, T0_s), "next": "/accounts/password/change/"},
        )
        assert answer["Location"] == "/accounts/password/change/"
        assert client.get("/accounts/password/change/").status_code == 200

    @pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:1"])
    def test_the_way_back_leads_nowhere_else(self, client_for, owner, acme, clock, target):
        secret = give_app(owner)
        client = client_for(owner, acme, proved_s_ago=3600)
        form = {"code": code_at(secret, T0_s), "next": target}
        assert client.post(f"{INDEX}reauthenticate/", form)["Location"] == "/"


class TestFences:
    def test_a_tenants_role_sees_the_factors_of_its_own_members_alone(self, viewer, outsider):
        give_app(viewer)
        give_app(outsider, "globex")
        for slug, person in (("acme", viewer), ("globex", outsider)):
            with tenant_context(slug):
                assert [f.user_id for f in Authenticator.objects.all()] == [person.pk]
        with tenant_context("acme"):
            assert not Authenticator.objects.filter(user_id=outsider.pk).delete()[0]
            assert not Authenticator.objects.filter(user_id=outsider.pk).update(type="x")


class TestCommands:
    def test_demo_code_prints_the_code_that_is_good_now(self, tmp_path, settings, capsys, clock):
        secret = new_secret()
        (tmp_path / "demo.json").write_text(
            json.dumps({"password": "x", "secrets": {"owner@acme.example": secret}})
        )
        settings.AII_HOME, settings.AII_HAS_DEMO = tmp_path, True
        call_command("demo_code", "owner@acme.example")
        assert capsys.readouterr().out.strip() == code_at(secret, T0_s)
        call_command("demo_code")
        assert capsys.readouterr().out.split() == [code_at(secret, T0_s), "owner@acme.example"]

    @pytest.mark.parametrize(("has_demo", "email"), [(False, None), (True, "a@b.example")])
    def test_and_refuses_elsewhere(self, tmp_path, settings, capsys, has_demo, email):
        (tmp_path / "demo.json").write_text(json.dumps({"password": "x", "secrets": {"c@d": "A"}}))
        settings.AII_HOME, settings.AII_HAS_DEMO = tmp_path, has_demo
        with pytest.raises(SystemExit) as ended:
            call_command("demo_code", *([email] if email else []))
        assert ended.value.code == 2
        assert capsys.readouterr().out == ""

    def test_there_is_no_demo_in_production(self):
        import aii_site.settings.base as base

        assert base.AII_HAS_DEMO is False


class TestTheLog:
    @pytest.mark.django_db(transaction=True)
    def test_factors_added_used_refused_and_removed(self, viewer, clock):
        client, _ = sign_in(viewer)
        page = client.get(f"{INDEX}totp/activate/").content.decode()
        secret = re.search(r'value="([A-Z2-7]{32})"', page)[1]
        client.post(f"{INDEX}totp/activate/", {"code": code_at(secret, T0_s)})
        sign_in(viewer, code="000000")
        clock.shift(60)
        client, _ = sign_in(viewer, code=code_at(secret, T0_s + 60))
        client.post(f"{INDEX}totp/deactivate/", {})
        with tenant_context("acme"):
            said = [entry.action for entry in Entry.objects.order_by("number")]
        assert [each for each in said if each.startswith("second_factor")] == [
            "second_factor.added",  # the app,
            "second_factor.added",  # its recovery codes,
            "second_factor.refused",
            "second_factor.removed",
            "second_factor.removed",
        ]
        assert said.count("session.opened") == 2


@pytest.mark.django_db(transaction=True)
def test_whoever_gets_or_loses_a_factor_is_told_by_mail(viewer, clock, settings, acme):
    settings.AII_SENDS_MAIL = True
    client, _ = sign_in(viewer)
    TestEnrolment().enrol(client)
    client.post(f"{INDEX}recovery-codes/generate/", {})
    client.post(f"{INDEX}totp/deactivate/", {})
    assert {address for sent in mail.outbox for address in sent.to} == {viewer.email}
    said = [sent.body.split(" your account")[0] for sent in mail.outbox]
    assert said[:2] == [
        "An authenticator app was added to",
        "A set of recovery codes was added to",
    ]
    assert said[2] == "A set of recovery codes was made anew for"
    assert "An authenticator app was removed from" in said[3:]
    assert "acme.localhost" in mail.outbox[0].body and "12:00 UTC" in mail.outbox[0].body


@pytest.mark.django_db(transaction=True)
def test_without_a_mail_server_nobody_is_told_and_the_factor_is_there(viewer, clock, acme):
    client, _ = sign_in(viewer)
    TestEnrolment().enrol(client)
    assert mail.outbox == []
    with tenant_context("acme"):
        assert Authenticator.objects.filter(user=viewer, type="totp").exists()


@pytest.mark.parametrize(
    "credential", ["[" * 50_000, '{"a":' * 20_000, "[" * 17 + "]" * 17, '"' + "x" * 70_000 + '"']
)
@pytest.mark.parametrize("page", ["login/", "reauthenticate/"])
def test_what_a_passkey_says_is_bounded(page, credential, client_for, operator, acme):
    client = client_for(operator, acme)
    answer = client.post(
        f"{INDEX}webauthn/{page}",
        {"credential": credential},
        headers={"Accept": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "json_refused")
