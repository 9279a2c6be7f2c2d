"""The simulation of a scenario's net present value, against what one would write with NumPy.

One scenario: ten uncertain inputs (PERT, triangular, uniform, lognormal), two of them correlated,
ten years, a ramp, growth. The peers draw the same distributions with NumPy's own generators and
compute the same flows: whole arrays at once; a loop over trials with NumPy arrays of the years; the
same loop ending in numpy-financial's npv. Their means are compared with ours before anything is
timed. All are timed in turn in the same run; a row is the median of the rounds. The loops are timed
on fewer trials and stated per trial.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import numpy_financial
import pyxirr

from benchmarks._report import Row, median, publish
from business import roi

TRIALS = 1_000_000
LOOP_TRIALS = 4_000
ROUNDS = 7
YEARS = 10
RATE = 0.08
RAMP = np.array([0.5, 0.9, *[1.0] * 8])
FACTORS = (1 + RATE) ** -np.arange(YEARS + 1.0)
Z95 = 1.6448536269514722

PERTS = {
    "cost": (180e3, 200e3, 260e3),
    "running": (80e3, 90e3, 120e3),
    "errors": (800, 1000, 1500),
    "gain": (0.02, 0.05, 0.1),
    "events": (0.05, 0.1, 0.4),
    "reduction": (0.1, 0.3, 0.5),
}
BUILD = (300e3, 350e3, 600e3)
AVOIDED = (0.2, 0.5)
ERROR_COST = (50, 400)
LOSS = (50e3, 2e6)
RANK = -0.4
FLOWS = (-1000, *[170] * YEARS)


def main() -> None:
    scenario = roi.read_scenario(document())
    agree(scenario)
    two = min(2, len(os.sched_getaffinity(0)))
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: roi.simulate(scenario, trials=TRIALS, seed=1, threads=1),
        "ours, threads": lambda: roi.simulate(scenario, trials=TRIALS, seed=1, threads=two),
        "arrays": lambda: whole_arrays(TRIALS, 1),
        "loop": lambda: loop(LOOP_TRIALS, 1, lambda flows: float(flows @ FACTORS)),
        "financial": lambda: loop(LOOP_TRIALS, 1, lambda f: numpy_financial.npv(RATE, f)),
        "irr": lambda: [every_root() for _ in range(20)],
        "irr, financial": lambda: [numpy_financial.irr(FLOWS) for _ in range(20)],
        "irr, pyxirr": lambda: [pyxirr.irr(FLOWS) for _ in range(20)],
    }
    cpu_s: dict[str, list[float]] = {name: [] for name in ways}
    wall_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            way()
            cpu_s[name].append(time.process_time() - cpu)
            wall_s[name].append(time.perf_counter() - wall)
    cpu = {name: median(values) for name, values in cpu_s.items()}
    ours_us = cpu["ours"] / TRIALS * 1e6
    publish(
        "business",
        [
            Row(
                f"1 M trials × 10 years, {two} threads, wall",
                median(wall_s["ours, threads"]),
                "s",
                goal=1,
            ),
            Row(
                "the same, 1 thread, CPU; peer: NumPy, whole arrays",
                cpu["ours"],
                "s",
                cpu["arrays"],
                goal=1,
            ),
            Row("a trial, CPU; peer: NumPy, loop", ours_us, "µs", cpu["loop"] / LOOP_TRIALS * 1e6),
            Row(
                "a trial, CPU; peer: loop with numpy-financial",
                ours_us,
                "µs",
                cpu["financial"] / LOOP_TRIALS * 1e6,
            ),
            Row(
                "every rate of return of 11 flows; peer: numpy-financial, one",
                cpu["irr"] / 20 * 1e6,
                "µs",
                cpu["irr, financial"] / 20 * 1e6,
            ),
            Row(
                "the same; peer: pyxirr, one",
                cpu["irr"] / 20 * 1e6,
                "µs",
                median(wall_s["irr, pyxirr"]) / 20 * 1e6,
            ),
        ],
        [
            f"Medians of {ROUNDS} rounds, all ways in turn. Ours includes the fan and variance"
            " shares; the peers stop at the net present values.",
            f"Wall time of the threads: best {min(wall_s['ours, threads']):.2f} s; it depends on"
            " what else runs.",
            f"The loops were timed on {LOOP_TRIALS} trials; pyxirr, which is too quick for the"
            " processor's clock, by wall time.",
        ],
    )


def every_root() -> object:
    return roi.internal_rates(roi.read_flows(FLOWS))


def document() -> dict[str, object]:
    def pert(name: str) -> dict[str, float]:
        return dict(zip(("low", "likely", "high"), PERTS[name], strict=True))

    def lognormal(ends: tuple[float, float]) -> dict[str, object]:
        return {"distribution": "lognormal", "p5": ends[0], "p95": ends[1]}

    build = dict(zip(("low", "likely", "high"), BUILD, strict=True))
    return {
        "name": "benchmark",
        "currency": "EUR",
        "horizon_years": YEARS,
        "discount_rate": RATE,
        "ramp_up": RAMP[:3].tolist(),
        "current_costs": [{"name": "old", "annual": pert("cost"), "growth": 0.02}],
        "one_time_costs": [{"name": "new", "amount": {"distribution": "triangular", **build}}],
        "running_costs": [{"name": "new", "annual": pert("running"), "growth": 0.03}],
        "benefits": [
            {
                "kind": "errors",
                "errors_per_year": pert("errors"),
                "avoided_share": {
                    "distribution": "uniform",
                    "low": AVOIDED[0],
                    "high": AVOIDED[1],
                },
                "cost_per_error": lognormal(ERROR_COST),
            },
            {"kind": "efficiency", "baseline_cost": 400e3, "gain_share": pert("gain")},
        ],
        "risks": [
            {
                "events_per_year": pert("events"),
                "loss_per_event": lognormal(LOSS),
                "reduction_share": pert("reduction"),
            }
        ],
        "correlations": [
            {"between": ["benefits.0.cost_per_error", "risks.0.loss_per_event"], "rank": RANK}
        ],
    }


def draw(random: np.random.Generator, size: int | None) -> dict[str, np.ndarray]:
    """Draw each input with NumPy's generators; the correlated pair from correlated normals."""
    drawn = {}
    for name, (low, likely, high) in PERTS.items():
        share = (likely - low) / (high - low)
        drawn[name] = low + (high - low) * random.beta(1 + 4 * share, 5 - 4 * share, size)
    drawn["build"] = random.triangular(*BUILD, size)
    drawn["avoided"] = random.uniform(*AVOIDED, size)
    rho = 2 * np.sin(np.pi * RANK / 6)
    one, other = random.standard_normal(size), random.standard_normal(size)
    scores = {"error_cost": one, "loss": rho * one + np.sqrt(1 - rho**2) * other}
    for name, (low, high) in (("error_cost", ERROR_COST), ("loss", LOSS)):
        sigma = np.log(high / low) / (2 * Z95)
        drawn[name] = np.sqrt(low * high) * np.exp(sigma * scores[name])
    return drawn


def whole_arrays(trials: int, seed: int) -> np.ndarray:
    x = draw(np.random.default_rng(seed), trials)
    benefit = x["errors"] * x["avoided"] * x["error_cost"] + 400e3 * x["gain"]
    benefit = benefit + x["events"] * x["loss"] * x["reduction"]
    flows = np.empty((trials, YEARS + 1))
    flows[:, 0] = -x["build"]
    for year in range(1, YEARS + 1):
        saved = benefit + x["cost"] * 1.02 ** (year - 1)
        flows[:, year] = saved * RAMP[year - 1] - x["running"] * 1.03 ** (year - 1)
    return flows @ FACTORS


def loop(trials: int, seed: int, value: Callable[[np.ndarray], float]) -> np.ndarray:
    random = np.random.default_rng(seed)
    growth, dearer = 1.02 ** np.arange(YEARS), 1.03 ** np.arange(YEARS)
    found = np.empty(trials)
    flows = np.empty(YEARS + 1)
    for trial in range(trials):
        x = draw(random, None)
        benefit = x["errors"] * x["avoided"] * x["error_cost"] + 400e3 * x["gain"]
        benefit = benefit + x["events"] * x["loss"] * x["reduction"]
        flows[0] = -x["build"]
        flows[1:] = (benefit + x["cost"] * growth) * RAMP - x["running"] * dearer
        found[trial] = value(flows)
    return found


def agree(scenario: roi.Scenario) -> None:
    """Refuse to time codes that compute different things."""
    ours = roi.simulate(scenario, trials=200_000, seed=2).npv
    for peer in (
        whole_arrays(200_000, 3),
        loop(LOOP_TRIALS, 4, lambda flows: float(numpy_financial.npv(RATE, flows))),
    ):
        error = np.hypot(ours.std() / len(ours) ** 0.5, peer.std() / len(peer) ** 0.5)
        if abs(ours.mean() - peer.mean()) > 5 * error:
            raise SystemExit(f"The peers differ: {ours.mean():.0f} and {peer.mean():.0f}.")


if __name__ == "__main__":
    main()
