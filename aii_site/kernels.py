"""Compiling the engine's kernels beside the running platform, once, with progress on the console.

The pages are there first: after the stage that the workers need at once, this process is the nicest
of all. A run that needs a kernel before its turn compiles it itself.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping

from aii_site.embedded import processes
from aii_site.embedded.home import CHECKOUT, Home


class KernelCompiler:
    """One process that ends by itself when every kernel is kept on disk."""

    def __init__(
        self, home: Home, environment: Mapping[str, str], report: Callable[[str], None]
    ) -> None:
        self._log = home.logs / "kernels.log"
        self._environment = environment
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def start(self) -> None:
        """Start it; its lines are reported as they come."""
        self._process = processes.spawn(
            [sys.executable, "-m", "simulation.compile_ahead"],
            log=self._log,
            environment=self._environment,
            directory=CHECKOUT,
            death_signal=signal.SIGKILL,  # What is kept on disk is written whole.
            capture=True,
        )
        # Not the spawning: the kernel watches the thread that did it.
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._report(line.decode(errors="replace").rstrip())
        if process.wait() != 0 and not self._stopping:
            how = processes.describe_end(process.returncode)
            self._report(
                f"The kernels could not be compiled ahead: the process {how} (log: {self._log}). "
                "Each run compiles what it needs"
            )

    def stop(self) -> None:
        """End it where it is still at work."""
        self._stopping = True
        if self._process is not None:
            processes.stop(self._process, [(signal.SIGTERM, 1.0)])
