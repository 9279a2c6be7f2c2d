"""Wrong, weak and breached passwords."""

from __future__ import annotations

import hashlib

import pytest
import time_machine
from axes.models import AccessAttempt
from django.contrib.auth.hashers import check_password, identify_hasher, make_password
from django.contrib.auth.password_validation import validate_password
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.test import Client, override_settings

from tenants.context import tenant_context
from tests.cast import PASSWORD, host

pytestmark = pytest.mark.django_db
HASHERS = ["tenants.passwords.Argon2", "django.contrib.auth.hashers.ScryptPasswordHasher"]


def attempt(email: str, password: str, *, slug: str = "acme", ip: str = "192.0.2.1"):
    client = Client(headers={"host": host(slug)}, REMOTE_ADDR=ip)
    return client.post("/accounts/login/", {"login": email, "password": password})


def lock(email: str, **where) -> None:
    for _ in range(5):
        attempt(email, "wrong", **where)


class TestHashes:
    @override_settings(PASSWORD_HASHERS=HASHERS)
    def test_argon2_hashes(self):
        assert make_password(PASSWORD).startswith("argon2$argon2id$v=19$m=65536,t=3,p=4$")

    @override_settings(PASSWORD_HASHERS=HASHERS)
    def test_an_old_hash_verifies_and_is_made_anew_at_the_next_sign_in(self, viewer):
        with tenant_context("acme"):
            viewer.password = make_password(PASSWORD, hasher="scrypt")
            viewer.save(update_fields=["password"])
        assert attempt(viewer.email, PASSWORD).status_code == 302
        with tenant_context("acme"):
            viewer.refresh_from_db()
        assert identify_hasher(viewer.password).algorithm == "argon2"
        assert check_password(PASSWORD, viewer.password)

    def test_a_name_that_nobody_has_costs_a_hash_too(self, monkeypatch, viewer):
        from django.contrib.auth.hashers import MD5PasswordHasher

        made = []
        encode = MD5PasswordHasher.encode
        monkeypatch.setattr(
            MD5PasswordHasher, "encode", lambda *a, **k: made.append(1) or encode(*a, **k)
        )
        attempt(viewer.email, "wrong")
        known, made = len(made), made.clear() or made
        attempt("nobody@acme.example", "wrong")
        assert len(made) == known > 0


class TestRefused:
    @pytest.mark.parametrize(
        ("password", "why"),
        [
            ("short", "too short"),
            ("password1234", "too common"),
            ("owner@acme.example", "too similar"),
        ],
    )
    def test_weak_passwords(self, owner, password, why):
        with pytest.raises(ValidationError, match=why):
            validate_password(password, owner)

    def test_a_breached_password_is_refused_where_a_list_is_given(self, tmp_path, settings):
        digest = hashlib.sha1(PASSWORD.encode()).hexdigest().upper()
        (tmp_path / digest[:5]).write_text(f"{'0' * 35}:7\n{digest[5:]}:12\n")
        validate_password(PASSWORD)  # No list, no refusal.
        settings.AII_BREACHED_PASSWORDS = str(tmp_path)
        with pytest.raises(ValidationError, match="known from a breach"):
            validate_password(PASSWORD)
        validate_password("another horse battery")

    def test_padding_is_no_breach(self, tmp_path, settings):
        digest = hashlib.sha1(PASSWORD.encode()).hexdigest().upper()
        (tmp_path / f"{digest[:5]}.txt").write_text(f"{digest[5:]}:0\n")
        settings.AII_BREACHED_PASSWORDS = str(tmp_path)
        validate_password(PASSWORD)

    def test_a_list_that_is_away_refuses_nobody_and_says_so(self, tmp_path, settings, caplog):
        settings.AII_BREACHED_PASSWORDS = str(tmp_path / "gone")
        validate_password(PASSWORD)
        assert "does not answer" in caplog.text
        assert PASSWORD not in caplog.text


class TestLockOut:
    def test_five_wrong_passwords_lock_the_right_one_out_with_a_sentence_and_a_time(self, viewer):
        with time_machine.travel("2026-03-01 12:00:00Z", tick=False):
            for _ in range(4):
                assert attempt(viewer.email, "wrong").status_code in (200, 422)
            fifth = attempt(viewer.email, "wrong")
            answer = attempt(viewer.email, PASSWORD)
        for each in (fifth, answer):
            assert each.status_code == 429
            assert "12:15:00 UTC on 01 March 2026" in each.content.decode()
        assert answer["Retry-After"] == "Sun, 01 Mar 2026 12:15:00 GMT"

    def test_it_ends_by_itself_and_trying_does_not_prolong_it(self, viewer):
        with time_machine.travel("2026-03-01 12:00:00Z", tick=False) as clock:
            lock(viewer.email)
            clock.shift(14 * 60)
            assert attempt(viewer.email, PASSWORD).status_code == 429
            clock.shift(62)
            assert attempt(viewer.email, PASSWORD).status_code == 302

    def test_it_holds_for_one_name_from_one_address_on_one_tenants_host(
        self, viewer, operator, consultant
    ):
        lock(consultant.email)
        assert attempt(consultant.email, PASSWORD).status_code == 429
        assert attempt(consultant.email, PASSWORD, ip="192.0.2.2").status_code == 302
        assert attempt(consultant.email, PASSWORD, slug="globex").status_code == 302
        assert attempt(viewer.email, PASSWORD).status_code == 302

    def test_the_case_of_the_name_does_not_matter(self, viewer):
        lock(viewer.email.upper())
        assert attempt(viewer.email, PASSWORD).status_code == 429

    def test_a_name_that_nobody_has_is_answered_alike(self, viewer):
        with time_machine.travel("2026-03-01 12:00:00Z", tick=False):
            pages = []
            for email in (viewer.email, "nobody@acme.example"):
                lock(email)
                pages.append(attempt(email, PASSWORD).content)
        assert pages[0] == pages[1]

    def test_no_password_is_kept(self, viewer):
        attempt(viewer.email, "not my real secret")
        with tenant_context("acme"):
            row = AccessAttempt.objects.get()
        assert "not my real secret" not in row.post_data

    def test_a_forged_forwarding_header_does_not_help(self, viewer):
        for number in range(5):
            client = Client(
                headers={"host": host("acme"), "x-forwarded-for": f"198.51.100.{number}"}
            )
            client.post("/accounts/login/", {"login": viewer.email, "password": "wrong"})
        assert client.post(
            "/accounts/login/", {"login": viewer.email, "password": PASSWORD}
        ).status_code == 429  # fmt: skip

    def test_behind_a_trusted_proxy_the_clients_address_counts(self, viewer, settings):
        settings.AII_TRUSTED_PROXIES = 1
        for number in range(5):
            client = Client(
                headers={"host": host("acme"), "x-forwarded-for": f"8.8.8.8, 198.51.100.{number}"}
            )
            client.post("/accounts/login/", {"login": viewer.email, "password": "wrong"})
        answer = client.post("/accounts/login/", {"login": viewer.email, "password": PASSWORD})
        assert answer.status_code == 302

    def test_the_command_ends_it(self, viewer, capsys):
        lock(viewer.email)
        call_command("unlock", viewer.email, tenant="acme")
        assert attempt(viewer.email, PASSWORD).status_code == 302
        for arguments in ((viewer.email, "acme"), (viewer.email, "nowhere")):
            with pytest.raises(SystemExit) as ended:
                call_command("unlock", arguments[0], tenant=arguments[1])
            assert ended.value.code == 2


def test_asking_for_a_new_password_answers_alike_for_known_and_unknown(viewer):
    pages = []
    for email in (viewer.email, "nobody@acme.example"):
        client = Client(headers={"host": host("acme")})
        answer = client.post("/accounts/password/reset/", {"email": email}, follow=True)
        pages.append((answer.redirect_chain, answer.content))
    assert pages[0] == pages[1]
    # Both cost a message: how long the answer takes tells nothing either.
    assert [message.to for message in mail.outbox] == [[viewer.email], ["nobody@acme.example"]]
    assert "sign up" not in mail.outbox[1].body
