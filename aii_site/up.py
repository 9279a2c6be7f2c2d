"""``make up``: the whole platform on one machine, from an empty folder to a page, until Ctrl-C.

Services, migrations, demo tenants, then the platform's processes. Whatever goes wrong is one
sentence on standard error, exit code 1, and nothing left running.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

from aii_site.embedded import ServiceError, Services, default_home, processes
from aii_site.embedded.home import CHECKOUT, Home
from aii_site.environment import is_given, read_secret
from aii_site.kernels import KernelCompiler
from aii_site.supervisor import Child, Supervisor

READY_S_MAX = 90.0
STARTED_S = time.monotonic()


class Stopped(BaseException):
    """Somebody pressed Ctrl-C or sent SIGTERM: stop, and that is all."""


def report(message: str) -> None:
    """Print a progress line with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED_S:6.1f} s] {message}", flush=True)


def main() -> int:
    """Run until stopped, and return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop_once)
    try:
        port = read_port(os.environ.get("AII_PORT", "8000"))
        refuse_taken_port(port)
        run(port)
    except Stopped:
        report("Stopped")
        return 0
    except ServiceError as error:
        print(f"AII: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _stop_once(number: int, frame: FrameType | None) -> None:
    """Stop in order; pressing again does not make an orderly stop shorter."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


def read_port(text: str) -> int:
    """Return the port that AII_PORT names."""
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise ServiceError(f"AII_PORT is {text!r}; it must be a number from 1 to 65535.")
    return int(text)


def refuse_taken_port(port: int) -> None:
    """Raise where the web server could not listen, before anything has been started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise ServiceError(
                f"This account may not listen on port {port}. Choose one above 1023: "
                "AII_PORT=8001 make up"
            ) from error
        except OSError as error:
            raise ServiceError(
                f"Port {port} is taken by another program. Stop it, or choose another port: "
                "AII_PORT=8001 make up"
            ) from error


def run(port: int) -> None:
    """Start everything, say where it is, and keep it running."""
    home = Home(default_home())
    external = external_environment(home)
    services = None if external else Services(home.path, report=report)
    supervisor = Supervisor(services, [], report)
    kernels: KernelCompiler | None = None
    try:
        if services:
            services.start()
        given = external or (services.environment if services else {})
        environment = {**os.environ, **given, "AII_PORT": str(port), "PYTHONUNBUFFERED": "1"}
        environment.setdefault("DJANGO_SETTINGS_MODULE", "aii_site.settings.development")

        supervisor = Supervisor(services, make_children(home, environment, port), report)
        demo = start_platform(home, environment, supervisor)
        wait_until_ready(supervisor, port)
        home.write_json("started.json", {"schema": schema_digest(environment)})
        print(welcome(json.loads(demo), port, home), flush=True)
        # After the first page, which it would only delay.
        kernels = KernelCompiler(home, environment, report)
        kernels.start()
        supervisor.watch()
    except Stopped:
        report("Stopping")
        raise
    finally:
        if kernels:
            kernels.stop()
        supervisor.stop()
        if services:
            services.stop()


def start_platform(home: Home, environment: Mapping[str, str], supervisor: Supervisor) -> str:
    """Bring the database up to date, start the processes, and return the demo's description."""
    # Starting Django is what takes the time. In a database that this very code made ready before,
    # the migrations have nothing to do, and the demo tenants are looked after beside the start.
    is_known = home.read_json("started.json").get("schema") == schema_digest(environment)
    demo = ""
    if not is_known:
        report("Bringing the database up to date")
        run_command(home, environment, "migrate")
        report("Making the demo tenants")
        demo = run_command(home, environment, "provision_demo", "--json")
    report("Starting web server, task workers and the platform's other processes")
    supervisor.start()
    return demo or run_command(home, environment, "provision_demo", "--json")


def schema_digest(environment: Mapping[str, str]) -> str:
    """Return a digest of all that decides what the database looks like, and of which it is."""
    where = environment.get("DATABASE_URL") or read_secret("DATABASE_URL")
    digest = hashlib.sha256(where.encode())
    sources = [
        *CHECKOUT.glob("*/migrations/*.py"),
        *CHECKOUT.glob("*/*/migrations/*.py"),
        *CHECKOUT.glob("tenants/**/*.py"),
        CHECKOUT / "audit" / "fences.py",
    ]
    for path in [CHECKOUT / "requirements.lock", *sorted(set(sources))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def external_environment(home: Home) -> dict[str, str]:
    """Return what replaces the embedded services where their URLs are set, else {}."""
    names = [name for name in ("DATABASE_URL", "REDIS_URL") if is_given(name)]
    if not names:
        return {}
    if len(names) == 1:
        raise ServiceError(
            f"{names[0]} is set alone. Set DATABASE_URL and REDIS_URL both (servers of your own) "
            "or neither (embedded)."
        )
    home.create()
    home.lock()
    given = {} if is_given("SECRET_KEY") else {"SECRET_KEY": home.secrets(None)["secret_key"]}
    home.ensure_kek()
    return {
        "AII_HOME": str(home.path),
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR") or str(home.path / "numba"),
        **given,
    }


def run_command(home: Home, environment: Mapping[str, str], *arguments: str) -> str:
    """Run a ``manage.py`` command as the database's owner and return what it printed."""
    log = home.logs / f"{arguments[0]}.log"
    start = processes.size(log)
    child = processes.spawn(
        [sys.executable, "manage.py", *arguments],
        log=log,
        environment={**environment, "AII_PROCESS": "command"},
        directory=CHECKOUT,
        death_signal=signal.SIGKILL,  # Each migration is a transaction.
        capture=True,
    )
    try:
        output = child.communicate()[0].decode(errors="replace")
    finally:
        processes.stop(child, [(signal.SIGTERM, 3)])
    if child.returncode != 0:
        complaint = "\n".join(processes.tail(log, start, 1)) or "it said nothing"
        raise ServiceError(f"manage.py {arguments[0]} failed: {complaint} (log: {log})")
    return output


def make_children(home: Home, environment: Mapping[str, str], port: int) -> list[Child]:
    """Return the platform's processes; none of them is given the owner's key to the database."""
    python = [sys.executable, "-m"]
    manage = [sys.executable, "manage.py"]
    celery = [*python, "celery", "-A", "aii_site"]
    schedule = str(home.path / "schedule")
    owners = ("DATABASE_OWNER_URL", "DATABASE_OWNER_URL_FILE")
    given = {name: value for name, value in environment.items() if name not in owners}

    def child(name: str, arguments: list[str], **options: Any) -> Child:
        log = home.logs / f"{name}.log"
        return Child(name, arguments, {**given, "AII_PROCESS": name}, log, **options)

    web = ["daphne", "-b", "127.0.0.1", "-p", str(port), "aii_site.asgi:application"]
    return [
        child("web", [*python, *web]),
        child(
            "worker",
            [
                *[*celery, "worker", "--hostname", "worker@%h", "--concurrency", "2"],
                *["--exclude-queues", "platform", "--loglevel", "INFO", "--without-mingle"],
            ],
            has_pool=True,
            # Simulations take every core that they get; pages and the collector come first.
            niceness=5,
        ),
        # Beat, and a worker of its own for the short tasks that it sends: behind long runs they
        # would wait.
        child(
            "scheduler",
            [
                *[*celery, "worker", "--beat", "--schedule", schedule, "--pool", "solo"],
                *["--hostname", "scheduler@%h", "--queues", "platform", "--without-mingle"],
                *["--loglevel", "INFO"],
            ],
            has_pool=True,
        ),
        child("collector", [*manage, "collect"]),
        child("reporter", [*manage, "report_nodes"]),
        child("sequencer", [*manage, "sequence_log"]),
    ]


def wait_until_ready(supervisor: Supervisor, port: int) -> None:
    """Wait until the platform says that it is ready, or raise."""
    deadline = time.monotonic() + READY_S_MAX
    answer = "no answer"
    while True:
        supervisor.refuse_deaths()
        status, answer = ask_ready(port)
        if status == 200:
            return
        if time.monotonic() > deadline:
            raise ServiceError(f"AII was not ready after {READY_S_MAX:.0f} s: {answer}")
        time.sleep(0.1)


def ask_ready(port: int) -> tuple[int, str]:
    """Return the status and body of ``/readyz``, (0, why) where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz", headers={"Host": "localhost"})
        response = connection.getresponse()
        return response.status, response.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, f"the web server does not answer ({error})"
    finally:
        connection.close()


def welcome(demo: Mapping[str, Any], port: int, home: Home) -> str:
    """Return where to go and how to sign in."""
    lines = ["", f"AII is ready after {time.monotonic() - STARTED_S:.1f} s."]
    for tenant in demo["tenants"]:
        lines += ["", f"  {tenant['name']}: {tenant['address']}"]
        lines += [f"    {person['email']:<32} {person['role']}" for person in tenant["people"]]
    lines += ["", f"  The password of all of them: {demo['password']}"]
    lines += ["  A one-time code: .venv/bin/python manage.py demo_code owner@acme.example"]
    lines += [f"  Logs: {home.logs}   Stop: Ctrl-C", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
