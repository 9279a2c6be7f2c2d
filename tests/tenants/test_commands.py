"""The commands that operators type."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command

from tenants.selectors import list_schemas

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def manage(*arguments: str) -> Done:
    """Run a command as manage.py does, in this process: a new one takes 2 s to start."""
    out, err = StringIO(), StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=err)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


class TestProvisionTenant:
    def test_prints_one_object_and_the_owner_can_sign_in(self, client_for):
        done = manage(
            "provision_tenant",
            "initech",
            "--name",
            "Initech",
            "--owner",
            "Bill@initech.example",
            "--json",
        )
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["host"] == "initech.localhost"
        client = client_for(None, "initech")
        response = client.post(
            "/accounts/login/", {"login": "bill@initech.example", "password": answer["password"]}
        )
        assert response.status_code == 302
        # Next time the person exists: no password is made or shown.
        again = manage(
            "provision_tenant",
            "hooli",
            "--name",
            "Hooli",
            "--owner",
            "bill@initech.example",
            "--json",
        )
        assert json.loads(again.stdout)["password"] is None

    @pytest.mark.parametrize(
        "arguments",
        [
            ["acme", "--name", "Acme", "--owner", "a@b.example"],
            ["Bad Slug", "--name", "X", "--owner", "a@b.example"],
            ["initech", "--name", "X", "--owner", "nobody"],
            ["initech", "--name", "", "--owner", "a@b.example"],
            ["initech", "--name", "X" * 101, "--owner", "a@b.example"],
            ["initech", "--name", "X", "--owner", "a@b.example", "--host", "a b"],
        ],
    )
    def test_says_in_one_sentence_why_not_and_exits_with_2(self, arguments):
        done = manage("provision_tenant", *arguments, "--json")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.strip().endswith((".", "…"))
        assert "Traceback" not in done.stderr
        assert list_schemas() == ["acme", "globex"]


def test_migrate_finds_a_schema_that_lags_behind_and_only_that(acme):
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("DELETE FROM acme.django_migrations WHERE app = 'people_sessions'")
        owner.execute("DROP TABLE acme.person_session")
    try:
        check = manage("migrate", "--check", "--json")
        assert check.returncode == 1
        assert json.loads(check.stdout) == {"stale": ["acme"]}
    finally:
        done = manage("migrate", "--json")
    assert done.returncode == 0, done.stderr
    assert manage("migrate", "--check").returncode == 0
