"""The engine beside its peers: forces, drift, scaling, the cost of verifying, one digest.

Peers come from PyPI into an environment that is thrown away, run in a process of their own, and
take turns with ours (``_turns``); medians of a few turns, slow peers once. Errors are rms relative
errors of a thousand bodies' forces against direct summation with the same softening (pytreegrav's,
a spline's, against its own direct sum; fmm3dpy knows none).
"""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._engine_peers import Peers
from benchmarks._engine_starts import first_call, one_digest
from benchmarks._report import Row, publish
from benchmarks._turns import awake, interleave, seconds_of
from simulation import engine
from simulation.engine import kernels
from simulation.engine.distribution import DistributedForce, distribute
from simulation.engine.outcome import measure_force_rms
from simulation.engine.starting import prepare_state

MANY, FEW, MOST = 100_000, 10_000, 1_000_000
SOFTENING = 0.01
SAMPLE = 1000
TURNS = 5
DRIFT_STEPS, DRIFT_DT = 1000, 2.0**-7
PLANET_STEPS, PLANETS_DT, PLANET_LOOKS = 100_000, 0.5, 1000
# The opening angles that come closest to the error of ours (measured; the errors are printed).
PYTREEGRAV_THETA, REBOUND_THETA, REBOUND_THETA_BEST = 0.21, 0.42, 0.15
FMM3D_EPS = 1e-3


def prepare(bodies: int, accuracy: float | None, *, threads: int = 1) -> engine.State:
    """Return a Plummer sphere whose kernels are compiled."""
    state = engine.prepare(
        "plummer",
        bodies=bodies,
        seed=1,
        force="direct" if accuracy is None else "fmm",
        accuracy=accuracy,
        softening=SOFTENING,
        threads=threads,
    )
    state.evaluate(-1)
    return state


def rms_error(force: np.ndarray, exact: np.ndarray, chosen: np.ndarray) -> float:
    """Return the rms relative error on the chosen bodies."""
    error = np.linalg.norm(force[chosen] - exact, axis=1) / np.linalg.norm(exact, axis=1)
    return float(np.sqrt(np.mean(error**2)))


def direct_sum(bodies: engine.Bodies, chosen: np.ndarray, softening: float) -> np.ndarray:
    """Return accelerations (C, 3) in plain NumPy."""
    found = np.empty((chosen.size, 3))
    for at, i in enumerate(chosen):
        away = bodies.position - bodies.position[i]
        r2 = np.sum(away * away, axis=1) + softening**2
        r2[i] = np.inf
        found[at] = (bodies.mass / (r2 * np.sqrt(r2))) @ away
    return found


def against_trees(peers: Peers) -> tuple[list[Row], list[str]]:
    """Forces of 1e5 bodies at equal errors."""
    bodies = engine.SCENARIOS["plummer"].build(MANY, 1)
    peers.load(bodies)
    chosen = np.linspace(0, MANY - 1, SAMPLE).astype(np.int64)
    exact = direct_sum(bodies, chosen, SOFTENING)
    unsoftened = direct_sum(bodies, chosen, 0.0)
    coarse, fine = prepare(MANY, 1e-3), prepare(MANY, 1e-4)
    coarse2, fine2 = prepare(MANY, 1e-3, threads=2), prepare(MANY, 1e-4, threads=2)
    coarse_rms, fine_rms = measure_force_rms(coarse, SAMPLE), measure_force_rms(fine, SAMPLE)

    kept: dict[str, np.ndarray] = {}

    def peer(name: str, key: str, **options: Any) -> Callable[[], float]:
        def once() -> float:
            took_s, kept[key] = peers.force(name, **options)
            return took_s

        return once

    tree = {"softening": SOFTENING, "gravity": "tree"}
    grav = {"softening": SOFTENING, "theta": PYTREEGRAV_THETA, "threads": 2}
    peers.force("pytreegrav_force", **grav)  # compiles
    ours_2, theirs_2, ours_fmm, fmm3d = interleave(
        TURNS,
        awake(lambda: seconds_of(lambda: fine2.evaluate(-1))),
        awake(peer("pytreegrav_force", "pytreegrav", **grav)),
        awake(lambda: seconds_of(lambda: fine2.evaluate(-1))),
        awake(peer("fmm3d_force", "fmm3d", eps=FMM3D_EPS)),
    )
    ours_coarse, ours_fine, rebound = interleave(
        TURNS,
        awake(lambda: seconds_of(lambda: coarse.evaluate(-1))),
        awake(lambda: seconds_of(lambda: fine.evaluate(-1))),
        awake(peer("rebound_force", "rebound", theta=REBOUND_THETA, **tree)),
    )
    (rebound_best,) = interleave(
        1, peer("rebound_force", "rebound_best", theta=REBOUND_THETA_BEST, **tree)
    )
    own = peers.folder / "own.npy"
    peers.call("pytreegrav_direct", softening=SOFTENING, targets=chosen.tolist(), out=str(own))
    grav_rms = rms_error(kept["pytreegrav"], np.load(own), chosen)
    fmm3d_rms = rms_error(4.0 * math.pi * kept["fmm3d"], unsoftened, chosen)
    rebound_rms = rms_error(kept["rebound"], exact, chosen)
    best_rms = rms_error(kept["rebound_best"], exact, chosen)
    (ours_coarse_2,) = interleave(TURNS, lambda: seconds_of(lambda: coarse2.evaluate(-1)))
    rows = [
        Row("N=1e5 against pytreegrav, 2 threads", ours_2, "s", theirs_2, theirs_2 / 20),
        Row("N=1e5 against fmm3dpy, 2 threads", ours_fmm, "s", fmm3d, fmm3d / 12),
        Row("N=1e5 against REBOUND tree, 1e-3", ours_coarse, "s", rebound, rebound / 50),
        Row("N=1e5 against REBOUND tree, best", ours_fine, "s", rebound_best, rebound_best / 250),
        Row("N=1e5, preset 1e-3: rms", coarse_rms, "", goal=1e-3),
        Row("N=1e5, preset 1e-4: rms", fine_rms, "", goal=1e-4),
        Row("N=1e5, preset 1e-3, 2 threads", ours_coarse_2, "s"),
    ]
    notes = [
        f"rms errors: ours {coarse_rms:.2g} (preset 1e-3) and {fine_rms:.2g} (1e-4); pytreegrav "
        f"{grav_rms:.2g} (theta {PYTREEGRAV_THETA}); fmm3dpy {fmm3d_rms:.2g} (eps {FMM3D_EPS:g}, "
        f"no softening); REBOUND tree {rebound_rms:.2g} (theta {REBOUND_THETA}), "
        f"{best_rms:.2g} (theta {REBOUND_THETA_BEST}, timed once)."
    ]
    return rows, notes


def against_direct(peers: Peers) -> tuple[list[Row], list[str]]:
    """Direct summation of 1e4 bodies on one thread: the forces, which is what REBOUND sums, and
    with them the pair potentials that our verified step reads.
    """
    peers.load(engine.SCENARIOS["plummer"].build(FEW, 1))
    state = prepare(FEW, None)
    options = {"softening": SOFTENING, "gravity": "basic", "theta": 0.0}
    kick = replace(state.kicks[-1], potential_per_charge=0.0)
    forces = partial(state.force.evaluate, state.x, kick, state.k_q.copy(), state.u_q.copy())
    ours, rebound, both = interleave(
        TURNS,
        awake(lambda: seconds_of(forces)),
        awake(lambda: peers.force("rebound_force", **options)[0]),
        awake(lambda: seconds_of(lambda: state.evaluate(-1))),
    )
    return [
        Row("N=1e4 direct against REBOUND, forces", ours, "s", rebound, rebound / 5),
        Row("N=1e4 direct, potentials too", both, "s", rebound),
    ], []


def drift(peers: Peers) -> tuple[list[Row], list[str]]:
    """Momentum after 1000 steps of 1e4 bodies, as a part of sum |mv|."""
    peers.load(engine.SCENARIOS["plummer"].build(FEW, 1))
    request = engine.check_request(
        "plummer",
        bodies=FEW,
        seed=1,
        dt_tu=DRIFT_DT,
        steps=DRIFT_STEPS,
        force="fmm",
        accuracy=1e-3,
        softening=SOFTENING,
    )
    ours = engine.run(request, threads=2).to_json()["quantities"]["momentum"]["max_rel_error"]
    same = {"softening": SOFTENING, "theta": 0.5, "dt": DRIFT_DT, "steps": DRIFT_STEPS}
    grav = peers.call("pytreegrav_drift", **same)["drift"]
    rebound = peers.call("rebound_drift", **same)["drift"]
    return [
        Row("momentum drift, 1000 steps, N=1e4", float(ours), "", goal=0.0),
    ], [
        f"Momentum drift of the peers, theta 0.5: pytreegrav {grav:.2g}, "
        f"REBOUND tree {rebound:.2g}."
    ]


def scaling() -> tuple[list[Row], list[str]]:
    """From 1e4 to 1e6 bodies at preset 1e-4, one thread."""
    times = []
    for bodies in (FEW, MANY, MOST):
        state = prepare(bodies, 1e-4)
        times += interleave(TURNS, lambda state=state: seconds_of(lambda: state.evaluate(-1)))  # type: ignore[misc]
    exponent = math.log(times[2] / times[0]) / math.log(MOST / FEW)
    told = ", ".join(f"{seconds:.3g} s" for seconds in times)
    return [Row("cost grows as N^", exponent, "", goal=1.1)], [
        f"Preset 1e-4, one thread, 1e4, 1e5, 1e6 bodies: {told}."
    ]


def planets(peers: Peers) -> tuple[list[Row], list[str]]:
    """The outer Solar System over the same span, ours with every step verified."""
    rows = []
    peers.load(engine.SCENARIOS["outer_solar_system"].build(6, 0))
    for ours_name, name, corrector in (("wisdom_holman", "whfast", 17), ("ias15", "ias15", 0)):
        request = engine.check_request(
            "outer_solar_system", dt_tu=PLANETS_DT, steps=PLANET_STEPS, integrator=ours_name
        )
        options = {"integrator": name, "corrector": corrector, "dt": PLANETS_DT}
        outcomes, theirs = [], []
        for _ in range(TURNS):
            outcomes.append(engine.run(request))
            theirs.append(
                peers.call("rebound_planets", **options, steps=PLANET_STEPS, every=PLANET_LOOKS)
            )
        ours_s = statistics.median(outcome.wall_s for outcome in outcomes)
        peer_s = statistics.median(answer["seconds"] for answer in theirs)
        energy = outcomes[0].to_json()["quantities"]["energy"]
        error, peer_error = float(energy["max_rel_error"]), theirs[0]["error"]
        rows += [
            Row(f"planets, {ours_name}: seconds", ours_s, "s", peer_s, 2.0 * peer_s),
            Row(f"planets, {ours_name}: energy error", error, "", peer_error, peer_error),
        ]
    notes = [
        f"Outer Solar System: {PLANET_STEPS} steps of {PLANETS_DT:g} tu; REBOUND's energy is read "
        f"{PLANET_LOOKS} times, ours at each step and every law with it."
    ]
    return rows, notes


def workers() -> tuple[list[Row], list[str]]:
    """A force evaluation shared out among processes of one thread each, in turns.

    Two are timed by the clock. Four do not fit on two cores: their figure is the CPU time of the
    critical path, in each evaluation the slowest rank's and the coordinator's.
    """
    rows, notes = [], []
    for title, accuracy in (("direct", None), ("fmm 1e-4", 1e-4), ("fmm 1e-5", 1e-5)):
        wall_s, path_s = shared_evaluations(accuracy, (1, 2, 4))
        two, four = wall_s[1] / wall_s[2], path_s[1] / path_s[4]
        rows += [
            Row(f"2 workers, N=1e5 {title}: wall", two, "×", goal=1.8, more_is_better=True),
            Row(f"4 workers, N=1e5 {title}: path", four, "×", goal=3.2, more_is_better=True),
        ]
        notes.append(
            f"Workers, N=1e5 {title}: one {wall_s[1]:.3g} s, two {wall_s[2]:.3g} s (wall); "
            f"critical path of four {path_s[4]:.3g} s of one's {path_s[1]:.3g} s CPU."
        )
    return rows, notes


def shared_evaluations(
    accuracy: float | None, workers: tuple[int, ...]
) -> tuple[dict[int, float], dict[int, float]]:
    """Return the wall time and the critical path's CPU time of an evaluation by so many."""
    force = "direct" if accuracy is None else "fmm"
    request = engine.check_request(
        "plummer",
        bodies=MANY,
        seed=1,
        steps=1,
        force=force,
        accuracy=accuracy,
        softening=SOFTENING,
    )
    paths: dict[int, list[float]] = {many: [] for many in workers}

    def evaluation(many: int, state: engine.State, shared: DistributedForce) -> float:
        before_s = shared.report.critical_path_s
        wall_s = seconds_of(lambda: state.evaluate(-1))
        paths[many].append(shared.report.critical_path_s - before_s)
        return wall_s

    with ExitStack() as stack:
        turns = []
        for many in workers:
            shared = stack.enter_context(distribute(request, workers=many, transport="processes"))
            once = partial(evaluation, many, prepare_state(request, shared), shared)
            turns.append(once if accuracy is None else awake(once))
        walls = interleave(TURNS, *turns)
    found = {many: statistics.median(path) for many, path in paths.items()}
    return dict(zip(workers, walls, strict=True)), found


def verifying() -> tuple[list[Row], list[str]]:
    """What reading and judging a step costs of it."""
    rows = []
    for bodies, accuracy, name in ((FEW, None, "1e4 direct"), (MANY, 1e-4, "1e5 fmm")):
        state = prepare(bodies, accuracy)
        row, altered = np.zeros(kernels.COLUMNS), np.zeros(6)

        def judge(
            state: engine.State = state, row: np.ndarray = row, altered: np.ndarray = altered
        ) -> None:
            kernels.read_and_verify(
                state.x,
                state.p_q,
                state.k_q,
                state.u_q,
                state.mass,
                state.real.copy(),
                state.whole.copy(),
                state.reading,
                altered,
                row,
            )

        judge()
        spent, step = interleave(
            TURNS,
            lambda judge=judge: seconds_of(judge),  # type: ignore[misc]
            lambda state=state: seconds_of(lambda: engine.advance(state, 1)),  # type: ignore[misc]
        )
        rows.append(Row(f"verifying, part of a step, N={name}", spent / step, "", goal=0.03))
    return rows, []


def main() -> None:
    """Measure everything and publish it; Ctrl-C publishes what there is."""
    folder = Path(tempfile.mkdtemp(prefix="aii-bench-"))
    peers = Peers(folder)
    rows: list[Row] = []
    notes: list[str] = []
    sections: list[Callable[[], tuple[list[Row], list[str]]]] = [
        lambda: against_direct(peers),
        lambda: against_trees(peers),
        lambda: planets(peers),
        scaling,
        verifying,
        first_call,
        one_digest,
        lambda: drift(peers),
        workers,
    ]
    try:
        for section in sections:
            more_rows, more_notes = section()
            rows += more_rows
            notes += more_notes
    except KeyboardInterrupt:
        notes.append("Stopped before the end: what is missing was not measured.")
    finally:
        peers.close()
        shutil.rmtree(folder, ignore_errors=True)
    publish("engine", rows, notes)


if __name__ == "__main__":
    main()
