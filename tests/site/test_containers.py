"""The scripts that run inside the containers, on real servers (no container engine is needed)."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
import redis

from aii_site import embedded
from aii_site.embedded import account, processes
from aii_site.embedded.home import CHECKOUT, Home
from aii_site.embedded.postgresql import PostgreSQL
from aii_site.embedded.valkey import Valkey


@pytest.fixture(scope="module")
def home():
    folder = Path(tempfile.mkdtemp(prefix="aii-containers-"))
    home = Home(folder)
    home.create()
    yield home
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def bare_postgres(home):
    """A cluster as its image's first start leaves it: the superuser and nothing of ours."""
    cluster = PostgreSQL(
        home, home.path, account.find_account(), durable=False, report=lambda message: None
    )
    cluster.prepare({"postgres_password": "superuser"})
    cluster.start(processes.choose_port(None))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def valkey(home):
    server = Valkey(home, home.path, account.find_account(), durable=False)
    server.prepare("secret")
    server.start(processes.choose_port(None))
    yield f"redis://:secret@127.0.0.1:{server.port}/0"
    server.stop()


def initialise(cluster: PostgreSQL, **passwords: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["docker/postgres-init.sh"],
        cwd=CHECKOUT,
        env={
            "PATH": f"{embedded.bin_dir()}:{os.environ['PATH']}",
            "AII_FENCE": "audit/fence.sql",
            "POSTGRES_USER": "postgres",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(cluster.port),
            "PGPASSWORD": "superuser",
            **passwords,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_database_gets_the_roles_of_the_embedded_one(bare_postgres, tmp_path):
    refused = initialise(bare_postgres)
    assert refused.returncode != 0
    assert "Set AII_OWNER_PASSWORD" in refused.stderr

    # A quote in a password must not end the statement.
    (tmp_path / "owner").write_text("o'wner\n")
    paths = {"AII_OWNER_PASSWORD_FILE": str(tmp_path / "owner")}
    refused = initialise(bare_postgres, **paths, AII_OWNER_PASSWORD="x", AII_APP_PASSWORD="app")
    assert refused.returncode != 0
    assert "Set AII_OWNER_PASSWORD or AII_OWNER_PASSWORD_FILE, not both." in refused.stderr
    result = initialise(bare_postgres, **paths, AII_APP_PASSWORD="app")
    assert result.returncode == 0, result.stderr
    address = f"host=127.0.0.1 port={bare_postgres.port} dbname=aii"
    with psycopg.connect(address, user="aii_owner", password="o'wner") as connection:
        connection.execute("CREATE TABLE public.mine ()")
        connection.execute("CREATE ROLE t_acme NOLOGIN")
        connection.execute("GRANT t_acme TO aii_app WITH INHERIT FALSE, SET TRUE")
    with psycopg.connect(address, user="aii_app", password="app") as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("CREATE TABLE public.intruder ()")
        connection.execute("SET ROLE t_acme")


def check_heartbeat(url: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "docker/check_heartbeat.py"],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], "REDIS_URL": url, "AII_PROCESS": "worker"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_container_is_well_while_its_process_reports_itself(valkey, tmp_path):
    def report(seconds_ago: float) -> None:
        line = json.dumps({"kind": "worker", "t": round((time.time() - seconds_ago) * 1000)})
        with redis.Redis.from_url(valkey) as client:
            client.hset("aii:nodes", f"worker@{socket.gethostname()}", line)

    never = check_heartbeat(valkey)
    assert never.returncode == 1
    assert "has never reported itself" in never.stderr
    report(seconds_ago=0)
    assert check_heartbeat(valkey).returncode == 0
    file = tmp_path / "redis_url"
    file.write_text(f"{valkey}\n")
    assert check_heartbeat("", REDIS_URL_FILE=str(file)).returncode == 0
    report(seconds_ago=30)
    late = check_heartbeat(valkey)
    assert late.returncode == 1
    assert re.search(r"was last heard of 3\d s ago", late.stderr)
    assert check_heartbeat("redis://127.0.0.1:1/0").returncode == 1
