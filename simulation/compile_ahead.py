"""Compiling the engine's kernels before anybody waits: ``python -m simulation.compile_ahead``.

What is compiled is kept on disk (``simulation.engine.compiling``), so each stage takes long once on
a machine and some tenths of a second ever after. The smallest stage comes first. Whoever needs a
kernel before its turn compiles it by using it.

Measured on two AVX2 cores, seconds of processor time, cold and from the cache: leapfrog 12 and 0.8,
many bodies 10 and 0.1, the other integrators 27 and 0.2, the fast multipole method 42 and 0.2,
collisions and boxes 5 and 0.8.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simulation import engine
from simulation.engine.forces.direct import FEW

# Shorter stages came from the cache: nobody needs to hear of them.
WORTH_A_WORD_S = 2.0
_NICENESS = 10
_PR_SET_PDEATHSIG = 1


@contextmanager
def one_at_a_time(stage: str) -> Iterator[None]:
    """Let one process compile a stage; those that wait then load what it kept.

    All at once they would take turns on the same cores, each for the same code.
    """
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"aii-compiling-{stage}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compile_leapfrog() -> None:
    """Compile or load what every run with the defaults needs, the way back included."""
    with one_at_a_time("leapfrog"):
        engine.advance(engine.prepare("kepler", steps=1), 1, retrace=True)


def compile_many_bodies() -> None:
    """Compile or load direct summation of many bodies, and the steps around it."""
    with one_at_a_time("many-bodies"):
        state = engine.prepare("plummer", bodies=FEW, steps=1)
        engine.advance(state, 1, retrace=True)


def compile_integrators(names: Iterable[str] = tuple(engine.INTEGRATORS)) -> None:
    """Compile or load what each of the other integrators adds."""
    for name in names:
        state = engine.prepare("solar_system", steps=1, integrator=name)
        engine.advance(state, 1, retrace=state.is_reversible)


def compile_multipoles() -> None:
    """Compile or load every kernel of the fast multipole method, and the steps around it."""
    from simulation.engine.fmm import compile_ahead

    with one_at_a_time("multipoles"):
        for accuracy in engine.ACCURACIES:
            compile_ahead(accuracy)
        engine.advance(engine.prepare("plummer", bodies=64, steps=1, force="fmm"), 1, retrace=True)


def compile_collisions_and_boxes() -> None:
    """Compile or load what collisions and a periodic box add."""
    for kind in engine.COLLISIONS:
        state = engine.prepare("plummer", bodies=8, steps=1, collisions=kind, radius=0.5)
        engine.advance(state, 1)
    state = engine.prepare("plummer", bodies=8, steps=1, boundary="periodic", box=128.0)
    engine.advance(state, 1, retrace=True)


def compile_for(request: engine.Request) -> None:
    """Compile or load what a run of this method needs beyond the defaults."""
    if request.integrator != "leapfrog":
        compile_integrators([request.integrator])
    if request.force == "fmm":
        compile_multipoles()
    elif request.bodies >= FEW:
        compile_many_bodies()
    if request.collisions is not None or request.box is not None:
        compile_collisions_and_boxes()


LEAPFROG, MANY_BODIES = "leapfrog", "sums over many bodies"
BOXES = "collisions and periodic boxes"
MULTIPOLES = "the fast multipole method"
STAGES: dict[str, Callable[[], None]] = {
    LEAPFROG: compile_leapfrog,
    MANY_BODIES: compile_many_bodies,
    "the other integrators": compile_integrators,
    MULTIPOLES: compile_multipoles,
    BOXES: compile_collisions_and_boxes,
}


def compile_beside(title: str) -> None:
    """Go through a stage for a process that goes on meanwhile: gone when it is."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    step_back(title)
    STAGES[title]()


def step_back(title: str) -> None:
    """Let others go first, except where they wait for this stage.

    A worker that waited for the lock of a nicer process waited for everybody else as well: on a
    busy machine of two cores longer than 15 s.
    """
    if title != LEAPFROG:
        os.nice(max(0, _NICENESS - os.nice(0)))


def main(
    say: Callable[[str], object] = print, step_back: Callable[[str], object] = step_back
) -> int:
    """Go through all stages; say of each that took a while how long, and at last that all is
    ready.
    """
    begun = time.perf_counter()
    for title, compile_stage in STAGES.items():
        step_back(title)
        stage_begun = time.perf_counter()
        compile_stage()
        took_s = time.perf_counter() - stage_begun
        if took_s >= WORTH_A_WORD_S:
            say(f"Compiled {title} in {took_s:.1f} s")
    say(f"All kernels of the engine are ready ({time.perf_counter() - begun:.1f} s)")
    return 0


if __name__ == "__main__":
    # Line by line, also into a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
