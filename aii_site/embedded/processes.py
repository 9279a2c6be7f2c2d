"""Child processes that end with their parent, and the ports they listen on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aii_site.embedded.account import Account

LOG_BYTES_MAX = 10_000_000
# Below the ports that Linux hands to outgoing connections (32768 and up): while a service is being
# restarted, nobody else is given its port.
PORTS = range(20_000, 32_000)
_PR_SET_PDEATHSIG = 1


def _prctl() -> Callable[[int, int], int] | None:
    """Return Linux's ``prctl``; looked up before any fork, where loading a library is not safe."""
    if sys.platform != "linux":
        return None
    prctl: Callable[[int, int], int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


_PRCTL = _prctl()


def die_with_parent(signal_number: int, parent_pid: int) -> None:
    """Ask the kernel to send this process a signal when its parent ends (Linux alone can).

    Strictly it is the parent's *thread* that counts, so start children from a thread that lives.
    """
    if _PRCTL is None:
        return
    _PRCTL(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent_pid:  # It ended before we asked.
        os._exit(1)


def spawn(
    arguments: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str],
    directory: Path,
    death_signal: int,
    account: Account | None = None,
    standard_input: bytes = b"",
    capture: bool = False,
    niceness: int = 0,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, its output appended to a log.

    The session keeps the terminal's Ctrl-C away from it: its supervisor stops it in order.
    With ``capture`` its standard output is a pipe for the caller, and the log has the rest.
    """
    parent_pid = os.getpid()

    def prepare() -> None:
        # Runs after the change of account, which would clear the request.
        die_with_parent(death_signal, parent_pid)
        os.nice(niceness)

    trim_log(log)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.PIPE if standard_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else output,
            stderr=output,
            env=dict(environment),
            cwd=directory,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=prepare,
        )
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError), child.stdin:
            child.stdin.write(standard_input)
    return child


def stop(child: subprocess.Popen[bytes], steps: Sequence[tuple[int, float]]) -> None:
    """Send the signals of ``steps`` (signal, seconds to wait) until it ends; SIGKILL last."""
    for signal_number, wait_s in (*steps, (signal.SIGKILL, 10.0)):
        if child.poll() is not None:
            return
        child.send_signal(signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(wait_s)


def describe_end(code: int) -> str:
    """Say how a process ended."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


def trim_log(log: Path) -> None:
    """Keep a full log as ``.1`` and begin anew, in place: a running writer appends on."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(log, log.with_name(log.name + ".1"))
            os.truncate(log, 0)


def tail(log: Path, offset: int = 0, lines: int = 15) -> list[str]:
    """Return the last lines of what was written to a log after ``offset``."""
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read()[-20_000:].decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def size(log: Path) -> int:
    """Return the size of a log in bytes, 0 where there is none."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def is_port_free(port: int) -> bool:
    """Tell whether a server could listen on 127.0.0.1:port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(kept: int | None, avoid: Sequence[int] = ()) -> int:
    """Return the port of last time while it is free, else a free one."""
    if kept and kept not in avoid and is_port_free(kept):
        return kept
    while True:
        # Random, so that two homes starting at once rarely meet.
        port = random.choice(PORTS)  # noqa: S311
        if port not in avoid and is_port_free(port):
            return port


def wait_until(done: Callable[[], bool], *, seconds: float, pause_s: float = 0.02) -> bool:
    """Poll until ``done()``; False when the time is up."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_s)
    return True
