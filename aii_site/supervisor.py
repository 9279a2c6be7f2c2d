"""The processes of the platform under one parent: started, restarted, stopped in order.

Limit: one machine. A cluster has its own supervisor and starts each process by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from aii_site.embedded import ServiceError, Services, processes
from aii_site.embedded.home import CHECKOUT

DEATHS_MAX = 5
DEATHS_WINDOW_S = 60.0
BACK_OFF_S_MAX = 8.0
POLL_S = 0.2


class Deaths:
    """When one process died lately: how long to wait before the next start, and when to give up."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=DEATHS_MAX + 1)

    def record(self, now_s: float) -> float:
        """Note a death and return the seconds to wait: none after the first, doubling from 0.5."""
        while self._times_s and now_s - self._times_s[0] > DEATHS_WINDOW_S:
            self._times_s.popleft()
        self._times_s.append(now_s)
        count = len(self._times_s)
        return 0.0 if count == 1 else min(0.5 * 2 ** (count - 2), BACK_OFF_S_MAX)

    @property
    def are_too_many(self) -> bool:
        """Tell whether it died more than five times within a minute."""
        return len(self._times_s) > DEATHS_MAX


@dataclasses.dataclass
class Child:
    """One process of the platform: how it is started, what stops it, and how it has fared."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    # How long it may take to end after SIGTERM.
    patience_s: float = 4.0
    # It forked a pool for its tasks. A pool that is still busy then is killed: its master, seeing
    # that, hands the tasks back to the queue at once (measured: 1.7 s; a SIGQUIT to the master
    # waits for tasks that do not listen).
    has_pool: bool = False
    niceness: int = 0
    process: subprocess.Popen[bytes] | None = None
    deaths: Deaths = dataclasses.field(default_factory=Deaths)
    start_at_s: float = 0.0

    def start(self) -> None:
        """Start it."""
        self.process = processes.spawn(
            self.arguments,
            log=self.log,
            environment=self.environment,
            directory=CHECKOUT,
            death_signal=signal.SIGKILL,  # All that they keep is in the services.
            niceness=self.niceness,
        )

    def stop(self, patience_s: float) -> None:
        """Wait for its end after a SIGTERM, then kill its pool, then itself."""
        process = self.process
        if process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
        if self.has_pool and process.poll() is None:
            with contextlib.suppress(psutil.Error):
                for member in psutil.Process(process.pid).children():
                    member.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(4.0)
        processes.stop(process, [])
        self.bury()

    def has_died(self) -> bool:
        """Tell whether it was started and ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def bury(self) -> str:
        """Forget the dead process, end what it left in its group, and say how it ended."""
        process = self.process
        if process is None:
            return "was not running"
        self.process = None
        # A task worker that is killed leaves the children that it forked.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return processes.describe_end(process.returncode)


class Supervisor:
    """Keeps services and children running until told to stop."""

    def __init__(
        self, services: Services | None, children: Sequence[Child], report: Callable[[str], None]
    ) -> None:
        self._services = services
        self._children = list(children)
        self._report = report
        self._service_deaths: dict[str, Deaths] = {}
        self._guardian: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start all children at once."""
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", str(CHECKOUT / "aii_site" / "guardian.py")],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        for child in self._children:
            self._start(child)

    def _start(self, child: Child) -> None:
        child.start()
        if child.process is not None:
            self._tell_guardian(child.process.pid)

    def _bury(self, child: Child) -> str:
        if child.process is not None:
            self._tell_guardian(-child.process.pid)
        return child.bury()

    def _tell_guardian(self, number: int) -> None:
        # Without one, the kernel still ends the children, if not theirs.
        if self._guardian is not None and self._guardian.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._guardian.stdin.write(b"%d\n" % number)
                self._guardian.stdin.flush()

    def refuse_deaths(self) -> None:
        """Raise when anything has died: before all is ready, that is a failure to start."""
        for name in self._services.list_dead() if self._services else []:
            raise ServiceError(f"{name} ended while AII was starting (log: {self._log(name)}).")
        for child in self._children:
            if child.has_died():
                how = self._bury(child)
                complaint = last_complaint(child.log)
                raise ServiceError(
                    f"{child.name} {how} while AII was starting: {complaint} (log: {child.log})."
                )

    def watch(self) -> None:
        """Restart what dies, for ever; raises ``ServiceError`` when something keeps dying."""
        trimmed_s = time.monotonic()
        while True:
            self._revive_services()
            for child in self._children:
                self._revive(child)
            if time.monotonic() - trimmed_s > 60:
                trimmed_s = time.monotonic()
                self._trim_logs()
            time.sleep(POLL_S)

    def _revive_services(self) -> None:
        services = self._services
        for name in services.list_dead() if services else []:
            assert services is not None
            deaths = self._service_deaths.setdefault(name, Deaths())
            wait_s = deaths.record(time.monotonic())
            if deaths.are_too_many:
                raise self._keeps_dying(name, self._log(name))
            self._report(f"{name} died; starting it again on the same data")
            time.sleep(wait_s)
            try:
                services.restart(name)
                self._report(f"{name} runs again")
            except ServiceError as error:
                # Counts as one more death; a disk, say, may have room again in a moment.
                self._report(str(error))

    def _revive(self, child: Child) -> None:
        now_s = time.monotonic()
        if child.has_died():
            how = self._bury(child)
            child.start_at_s = now_s + child.deaths.record(now_s)
            if child.deaths.are_too_many:
                raise self._keeps_dying(child.name, child.log)
            self._report(f"{child.name} {how}; starting it again (log: {child.log})")
        if child.process is None and now_s >= child.start_at_s:
            self._start(child)

    def _keeps_dying(self, name: str, log: Path) -> ServiceError:
        return ServiceError(
            f"{name} died {DEATHS_MAX + 1} times within {DEATHS_WINDOW_S:.0f} s: "
            f"{last_complaint(log)} (log: {log}). AII stops."
        )

    def _log(self, name: str) -> Path:
        return self._services.log(name) if self._services else Path()

    def _trim_logs(self) -> None:
        names = self._services.list_names() if self._services else []
        for log in [child.log for child in self._children] + [self._log(name) for name in names]:
            processes.trim_log(log)

    def stop(self) -> None:
        """Stop the children in reverse order; none of them lasts longer than its patience."""
        running = [child for child in reversed(self._children) if child.process is not None]
        # Told together, awaited one by one: the whole takes as long as the slowest.
        for child in running:
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        started_s = time.monotonic()
        for child in running:
            child.stop(max(0.0, child.patience_s - (time.monotonic() - started_s)))
        if self._guardian is not None:
            # Everything is over; whoever shares a number with a child of ours is a stranger.
            self._guardian.kill()
            self._guardian.communicate()
            self._guardian = None


def last_complaint(log: Path) -> str:
    """Return the last line of a log that says something."""
    lines = [line.strip() for line in processes.tail(log, lines=40) if line.strip()]
    return lines[-1] if lines else "it said nothing"
