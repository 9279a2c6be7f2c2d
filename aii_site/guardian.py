"""Ends the children of a supervisor that was killed, and the children that these forked.

The kernel ends a direct child with its parent (``die_with_parent``), but a pool of task workers in
mid-task outlives its master. This process reads the numbers of the living process groups from its
standard input ("12" came, "-12" went); when the supervisor ends, however it does, the input ends
too, and what is left is killed. An orderly stop leaves nothing to kill. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Keep the list until the supervisor is gone."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
