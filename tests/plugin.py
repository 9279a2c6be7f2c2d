"""Starts an embedded PostgreSQL and Valkey for the test run, before Django reads its settings.

The controller starts them in a temporary home and migrates one template database with two tenants;
each xdist worker works on a clone of its own. With DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL
set, those servers are used instead; AII_TEST_SUPERUSER_URL then names their superuser, who alone
can empty the log.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
SUPERUSER = "AII_TEST_SUPERUSER_URL"
_cleanup = contextlib.ExitStack()


def pytest_load_initial_conftests(early_config, parser, args):
    """Run first: pytest-django reads the settings in the same hook."""
    if any(option in args for option in ("--help", "-h", "--version", "--markers", "--fixtures")):
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aii_site.settings.test")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        _start_services()
        _make_template()
        worker = "main"
    _clone_template(worker)


pytest_load_initial_conftests = pytest.hookimpl(tryfirst=True)(pytest_load_initial_conftests)


def pytest_unconfigure(config):
    _cleanup.close()


# The tests of these go to one worker: they share a site, or runs of some seconds.
TOGETHER = ("tests/browser/", "tests/case_studies/test_studies.py")


class Scheduling(LoadScopeScheduling):
    """Hand out test by test, but some together, the most numerous first.

    xdist's own groups do nothing under pytest 9.2, which no longer reads the names that it sets.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((place for place in TOGETHER if nodeid.startswith(place)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return Scheduling(config, log)


def _start_services() -> None:
    given = [name for name in NAMES if os.environ.get(name)]
    if given and (len(given) < len(NAMES) or SUPERUSER not in os.environ):
        names = ", ".join([*NAMES, SUPERUSER])
        sys.exit(f"Set all of {names} to test on your own servers, or none of them.")
    home = Path(tempfile.mkdtemp(prefix="aii-test-"))
    _cleanup.callback(shutil.rmtree, home, ignore_errors=True)
    os.environ["AII_HOME"] = str(home)
    os.environ["SECRET_KEY"] = "only-for-tests"
    if given:
        os.environ["AII_TEST_OWN_SERVERS"] = "1"
        from aii_site.embedded.home import Home

        Home(home).ensure_kek()
    else:
        from aii_site import embedded

        services = embedded.Services(home, durable=False)
        services.start()
        _cleanup.callback(services.stop)
        os.environ.update(services.environment)
        os.environ[SUPERUSER] = services.superuser_url
    # Compiled kernels may be kept between runs: they depend on the code and the processor alone.
    os.environ["NUMBA_CACHE_DIR"] = str(ROOT / ".aii" / "numba")
    os.environ["AII_TEST_RUN"] = secrets.token_hex(4)


def _template_name() -> str:
    return f"aii_test_{os.environ['AII_TEST_RUN']}"


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _owner(database: str | None = None) -> psycopg.Connection:
    url = os.environ["AII_TEST_OWNER_URL"]
    return psycopg.connect(_with_database(url, database) if database else url, autocommit=True)


def _make_template() -> None:
    os.environ["AII_TEST_OWNER_URL"] = os.environ["DATABASE_OWNER_URL"]
    os.environ["AII_TEST_APP_URL"] = os.environ["DATABASE_URL"]
    name = _template_name()
    with _owner() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(_with_database(os.environ[SUPERUSER], name), autocommit=True) as superuser:
        superuser.execute((ROOT / "audit" / "fence.sql").read_text())
    _cleanup.callback(_drop, name)
    environment = {
        **os.environ,
        "DATABASE_URL": _with_database(os.environ["AII_TEST_APP_URL"], name),
        "DATABASE_OWNER_URL": _with_database(os.environ["AII_TEST_OWNER_URL"], name),
    }
    made = subprocess.run(
        [sys.executable, "-m", "tests.template"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        sys.exit(f"The template database could not be made:\n{made.stderr}")
    _empty_logs(name)


def _empty_logs(name: str) -> None:
    """Begin each test without the entries that tell of how its cast came to be."""
    with psycopg.connect(_with_database(os.environ[SUPERUSER], name), autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        tables = superuser.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE tablename ~ '^(audit|encryption)_'"
        ).fetchall()
        superuser.execute("TRUNCATE " + ", ".join(row[0] for row in tables) + " RESTART IDENTITY")


def _clone_template(worker: str) -> None:
    name = f"{_template_name()}_{worker}"
    with _owner() as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(_template_name())
            )
        )
        # As in production; a clone does not inherit who may do what with the database.
        app = sql.Identifier(urlsplit(os.environ["AII_TEST_APP_URL"]).username or "")
        connection.execute(
            sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name))
        )
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(name), app)
        )
    _cleanup.callback(_drop, name)
    os.environ["DATABASE_URL"] = _with_database(os.environ["AII_TEST_APP_URL"], name)
    os.environ["DATABASE_OWNER_URL"] = _with_database(os.environ["AII_TEST_OWNER_URL"], name)
    os.environ[SUPERUSER] = _with_database(os.environ[SUPERUSER], name)
    # Each worker has a Redis database of its own, too.
    number = 1 + int(worker.removeprefix("gw")) if worker.startswith("gw") else 0
    base = os.environ.setdefault("AII_TEST_REDIS_URL", os.environ["REDIS_URL"])
    os.environ["REDIS_URL"] = _with_database(base, str(number))


def _drop(name: str) -> None:
    if "AII_TEST_OWN_SERVERS" not in os.environ:
        return  # The embedded servers go as a whole.
    from django.db import connections

    connections.close_all()
    with _owner() as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )
