"""PostgreSQL and Valkey from wheels: the whole platform on one machine, without containers.

``Services`` runs both for one home; ``services_for_command`` lends them to a single command. No
Django here: the settings read what this package writes (``runtime_environment``).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import psutil

from aii_site.embedded import account as accounts
from aii_site.embedded import processes
from aii_site.embedded.home import (
    Home,
    ServiceError,
    default_home,
    file_errors_as_sentences,
    runtime_environment,
)
from aii_site.embedded.postgresql import APPLICATION, DATABASE, OWNER, PostgreSQL, bin_dir
from aii_site.embedded.valkey import Valkey
from aii_site.environment import is_given

__all__ = [
    "ServiceError",
    "Services",
    "bin_dir",
    "default_home",
    "runtime_environment",
    "services_for_command",
]


def _say_nothing(message: str) -> None:
    """Take a progress line and drop it."""


class Services:
    """The two servers of one home, for as long as this process lives.

    Start it from a thread that lives as long (the kernel ends the servers with the thread that
    started them). ``environment`` holds DATABASE_URL (the application's role), DATABASE_OWNER_URL
    (migrations), REDIS_URL, SECRET_KEY, AII_HOME and NUMBA_CACHE_DIR. With ``durable=False``
    (tests) nothing is flushed to disk.
    """

    environment: dict[str, str]

    def __init__(
        self, home: Path, *, durable: bool = True, report: Callable[[str], None] = _say_nothing
    ) -> None:
        self.home = Home(home)
        self.environment = {}
        self._durable = durable
        self._report = report
        self._servers: dict[str, PostgreSQL | Valkey] = {}

    @property
    def postgres(self) -> subprocess.Popen[bytes]:
        """The postmaster now running; another one after a restart."""
        return self._process("postgres")

    @property
    def valkey(self) -> subprocess.Popen[bytes]:
        """The Valkey now running; another one after a restart."""
        return self._process("valkey")

    def _process(self, name: str) -> subprocess.Popen[bytes]:
        process = self._servers[name].process
        if process is None:
            raise ServiceError(f"{name} has not been started.")
        return process

    def start(self, lock_wait_s: float = 0.0) -> None:
        """Start both and wait until they answer.

        Raises ``ServiceError``, and then nothing is left running.
        """
        self.home.create()
        self.home.lock(lock_wait_s)
        try:
            with file_errors_as_sentences(self.home.path):
                self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        layout = self.home.read_json("layout.json")
        place, account = self._place(layout.get("place"))
        postgres = PostgreSQL(self.home, place, account, durable=self._durable, report=self._report)
        valkey = Valkey(self.home, place, account, durable=self._durable)
        self._servers = {"postgres": postgres, "valkey": valkey}

        secrets = self.home.secrets(postgres.data if postgres.exists else None)
        self.home.ensure_kek()
        postgres.prepare(secrets)
        valkey.prepare(secrets["valkey_password"])
        self._report("Starting PostgreSQL")
        self._start_on_a_free_port(postgres, layout.get("postgres_port"), avoid=[])
        postgres.bootstrap()
        self._report("Starting Valkey")
        self._start_on_a_free_port(valkey, layout.get("valkey_port"), avoid=[postgres.port])

        self.home.write_json(
            "layout.json",
            {"place": str(place), "postgres_port": postgres.port, "valkey_port": valkey.port},
        )
        self.environment = self._environment(secrets, postgres.port, valkey.port)
        self.home.write_json(
            "runtime.json",
            {
                "pid": os.getpid(),
                "process_started_s": psutil.Process().create_time(),
                "environment": {
                    name: self.environment[name]
                    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "SECRET_KEY")
                },
            },
        )

    def _place(self, kept: str | None) -> tuple[Path, accounts.Account | None]:
        """Return where the data lies and whose it is; once chosen, both stay."""
        account = accounts.find_account(Path(kept) / "postgres" if kept else None)
        place = (
            Path(kept)
            if kept
            else accounts.choose_place(self.home.path, account, durable=self._durable)
        )
        if place != self.home.path:
            accounts.make_folder(place, account, mode=0o711)
        if not accounts.can_enter(account, place):
            who = account.name if account else "you"
            raise ServiceError(
                f"The database's files lie in {place}, which {who} may not enter. Give the folder "
                "back its "
                "permissions, or start anew in another home: AII_HOME=/path/to/folder."
            )
        return place, account

    @staticmethod
    def _start_on_a_free_port(
        server: PostgreSQL | Valkey, kept: int | None, *, avoid: list[int]
    ) -> None:
        """Start on the port of last time if it is free, else on another."""
        for attempt in range(3):
            port = processes.choose_port(kept if attempt == 0 else None, avoid)
            try:
                return server.start(port)
            except ServiceError:
                server.stop()
                if attempt == 2 or processes.is_port_free(port):
                    raise
        return None

    def _environment(
        self, secrets: dict[str, str], postgres_port: int, valkey_port: int
    ) -> dict[str, str]:
        def database_url(role: str) -> str:
            return f"postgresql://{role}:{secrets[f'{role}_password']}@127.0.0.1:{postgres_port}/{DATABASE}"

        return {
            "DATABASE_URL": database_url(APPLICATION),
            "DATABASE_OWNER_URL": database_url(OWNER),
            "REDIS_URL": f"redis://:{secrets['valkey_password']}@127.0.0.1:{valkey_port}/0",
            "SECRET_KEY": secrets["secret_key"],
            "AII_HOME": str(self.home.path),
            "NUMBA_CACHE_DIR": str(self.home.path / "numba"),
        }

    @property
    def superuser_url(self) -> str:
        """The address of the cluster's superuser: for tests, and for whoever mends a cluster."""
        password = self.home.secrets(None)["postgres_password"]
        port = self._servers["postgres"].port
        return f"postgresql://postgres:{password}@127.0.0.1:{port}/{DATABASE}"

    def list_names(self) -> list[str]:
        """Return the names of what runs: ``postgres`` and ``valkey``."""
        return list(self._servers)

    def list_dead(self) -> list[str]:
        """Return which of ``postgres`` and ``valkey`` have ended by themselves."""
        return [
            name
            for name, server in self._servers.items()
            if server.process is not None and server.process.poll() is not None
        ]

    def restart(self, name: str) -> None:
        """Start a server that ended, on the same port with the same data."""
        server = self._servers[name]
        try:
            server.start(server.port)
        except ServiceError:
            server.stop()
            raise

    def log(self, name: str) -> Path:
        """Return the log of ``postgres`` or ``valkey``."""
        return self._servers[name].log

    def stop(self) -> None:
        """Stop both, in reverse order, and give the home back. Does nothing when nothing runs."""
        if self.environment:
            self.home.remove("runtime.json")
        for server in reversed(self._servers.values()):
            server.stop()
            if not self._durable and server.data.parent != self.home.path:
                shutil.rmtree(server.data.parent, ignore_errors=True)
        self._servers = {}
        self.environment = {}
        self.home.unlock()

    def __enter__(self) -> Services:
        """Start both."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop both."""
        self.stop()


@contextlib.contextmanager
def services_for_command(home: Path | None = None) -> Iterator[dict[str, str]]:
    """Lend a database and a Redis to one command: those that run, or ones started for its duration.

    Yields the environment to use; an empty one when DATABASE_URL or its file is set, where the
    command needs nothing from us. A command that started them waits at its end for other commands
    that came to use them meanwhile.
    """
    if is_given("DATABASE_URL"):
        yield {}
        return
    place = home or default_home()
    Home(place).create()
    with file_errors_as_sentences(place):
        users = os.open(place / "users", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Shared: "I am using what runs". The starter takes it exclusively before it stops the
        # services.
        fcntl.flock(users, fcntl.LOCK_SH)
        running = runtime_environment(place)
        if running:
            yield {**running, "AII_HOME": str(place), "NUMBA_CACHE_DIR": str(place / "numba")}
            return
        services = Services(place)
        try:
            services.start()
        except ServiceError:
            # Somebody else may be starting them at this moment.
            if not processes.wait_until(
                lambda: bool(runtime_environment(place)), seconds=10, pause_s=0.1
            ):
                raise
            yield {
                **runtime_environment(place),
                "AII_HOME": str(place),
                "NUMBA_CACHE_DIR": str(place / "numba"),
            }
            return
        try:
            yield services.environment
        finally:
            fcntl.flock(users, fcntl.LOCK_EX)
            services.stop()
    finally:
        os.close(users)
