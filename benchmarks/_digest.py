"""Print the digest of one fast multipole run; the arguments must not change it.

``python -m benchmarks._digest THREADS PERMUTED``
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np

from simulation import engine
from simulation.engine.starting import prepare_state
from simulation.engine.state import make_force

BODIES, STEPS = 4096, 4


def main() -> None:
    """Run, put the bodies back into their order, print."""
    threads, permuted = int(sys.argv[1]), sys.argv[2] == "1"
    request = engine.check_request("plummer", bodies=BODIES, steps=STEPS, seed=1, force="fmm")
    state = prepare_state(request, make_force(request, threads))
    order = np.arange(BODIES)
    if permuted:
        order = np.random.default_rng(7).permutation(BODIES)
        state = engine.State(
            request,
            tuple(state.names[i] for i in order),
            state.mass[order],
            np.ascontiguousarray(state.x_q[:, order]),
            np.ascontiguousarray(state.p_q[:, order]),
            make_force(request, threads),
        )
    engine.advance(state, STEPS)
    x_q, p_q = np.empty_like(state.x_q), np.empty_like(state.p_q)
    x_q[:, order], p_q[:, order] = state.x_q, state.p_q
    print(hashlib.sha256(x_q.tobytes() + p_q.tobytes()).hexdigest())


if __name__ == "__main__":
    main()
