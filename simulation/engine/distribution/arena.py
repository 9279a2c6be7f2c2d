"""Arrays that processes of one machine share: positions and charges in, partial sums out.

The memory has no name: it goes when the last process that maps it has ended, however it ended.
Named segments would stay behind after a SIGKILL.
"""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np

_INPUTS = 5  # x, y, z, sink, source


def create_arena() -> int:
    """Return the descriptor of an empty arena, to be inherited."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("aii-arena")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Arena:
    """The arrays of an arena for ``bodies`` bodies and ``ranks`` ranks of ``parts`` partial sums.

    ``x`` (3, N), ``sink``, ``source`` (N,) float64; ``partials`` (ranks, parts, 4, N) int64.
    """

    def __init__(self, descriptor: int, bodies: int, ranks: int, parts: int) -> None:
        """Map the arena, made larger where it is too small."""
        self.bodies = bodies
        words = (_INPUTS + 4 * ranks * parts) * bodies
        if os.fstat(descriptor).st_size < 8 * words:
            os.ftruncate(descriptor, 8 * words)
        memory = mmap.mmap(descriptor, 8 * words)
        inputs = np.frombuffer(memory, np.float64, _INPUTS * bodies).reshape(_INPUTS, bodies)
        self.x, self.sink, self.source = inputs[:3], inputs[3], inputs[4]
        rest = np.frombuffer(memory, np.int64, offset=8 * _INPUTS * bodies)
        self.partials = rest.reshape(ranks, parts, 4, bodies)
