"""Monte Carlo: what the uncertain inputs together do to the net present value.

The trials are cut into chunks of ``CHUNK``. Chunk c draws from a generator of its own, seeded by
(seed, c), evaluates the model on arrays that stay in the processor's cache, and writes its net
present values into its own place. So the answer depends on the seed and the number of trials, and
not on threads or on which of them was first; and the first trials of a longer simulation are those
of a shorter one. All sums over trials are made afterwards, in one order.

Kept are 8 bytes a trial. The fan and the variance shares, which need much more of each trial, are
made from the first ``DETAILED`` trials: the 10 % quantile's probability is then known to 0.1 %.

On another processor the last bits of exp and sqrt may differ, and with them the last digits of the
answer.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from business.roi.errors import BadInput, Problem
from business.roi.model import Arithmetic, evaluate
from business.roi.scenario import Input, Scenario

CHUNK = 16_384
DETAILED = 8 * CHUNK
# 64 MiB of scores a thread.
COLUMNS_MAX = 512
TRIALS_MIN, TRIALS_MAX = 1_000, 10_000_000
THREADS_MAX = 256
QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
FAN = (0.05, 0.10, 0.50, 0.90, 0.95)
_BINS = 64
_BINS_PER_SCORE = 8.0
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Simulation:
    """``npv`` (trials,) float64 in trial order. ``fan`` (years + 1, quantiles) of the cumulative
    present value; ``variance_share`` by input path, largest first.
    """

    scenario: Scenario
    seed: int
    npv: np.ndarray
    fan: np.ndarray
    fan_trials: int
    variance_share: dict[str, float]
    warnings: tuple[str, ...]

    @property
    def loss(self) -> tuple[float, float, float]:
        """The share of trials with a net present value below 0, and its 95 % interval."""
        losses = int(np.count_nonzero(self.npv < 0))
        return (losses / len(self.npv), *wilson_interval(losses, len(self.npv)))

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers, money rounded to the minor unit."""
        digits = self.scenario.minor_digits
        share, low, high = self.loss
        ordered = np.sort(self.npv)
        deviation = float(self.npv.std(ddof=1))
        return {
            "trials": len(self.npv),
            "seed": self.seed,
            "npv_mean": _rounded(self.npv.mean(), digits),
            "npv_standard_error": _rounded(deviation / math.sqrt(len(self.npv)), digits),
            "npv_sd": _rounded(deviation, digits),
            "npv_quantiles": {
                f"p{round(q * 100):02d}": _rounded(value, digits)
                for q, value in zip(QUANTILES, _of_sorted(ordered, QUANTILES), strict=True)
            },
            "probability_of_loss": share,
            "probability_of_loss_ci95": [low, high],
            "fan_trials": self.fan_trials,
            "fan": [
                {
                    "year": year,
                    **{
                        f"p{round(q * 100):02d}": _rounded(value, digits)
                        for q, value in zip(FAN, row, strict=True)
                    },
                }
                for year, row in enumerate(self.fan)
            ],
            "variance_share": self.variance_share,
            "warnings": list(self.warnings),
        }


def simulate(
    scenario: Scenario,
    *,
    trials: int = 100_000,
    seed: int = 1,
    threads: int | None = None,
    report: Callable[[float], None] | None = None,
) -> Simulation:
    """Draw every uncertain input ``trials`` times. The answer does not depend on ``threads``.

    ``report`` is told the share of the trials that is done, again and again, in this thread.

    Raises ``BadInput`` when an input is unknown, when none is uncertain, or when the correlations
    contradict each other. About 0.3 s of processor time for a million trials of ten inputs over ten
    years, 8 bytes a trial.
    """
    _check(scenario, trials, seed, threads)
    plan = _Plan(scenario, seed)
    chunks = -(-trials // CHUNK)
    npv = np.empty(chunks * CHUNK)
    detailed = min(chunks, DETAILED // CHUNK)
    sums = np.empty((scenario.horizon_years + 1, detailed * CHUNK))
    scores = np.empty((detailed, len(plan.columns), 2, _BINS))

    def work(chunk: int) -> None:
        here = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        z = plan.scores(chunk)
        npv[here] = plan.present_values(z, sums[:, here] if chunk < detailed else None)
        if chunk < detailed:
            _bin(z, npv[here], scores[chunk])

    count = threads or min(len(os.sched_getaffinity(0)), THREADS_MAX)
    with ThreadPoolExecutor(min(count, chunks)) as pool:
        for done, _ in enumerate(pool.map(work, range(chunks)), 1):
            if report is not None:
                report(done / chunks)
        if not np.isfinite(npv).all():
            raise BadInput("Some trials leave the range of numbers: narrow the widest ranges.")
        kept = min(trials, detailed * CHUNK)
        rows = pool.map(lambda row: _of_sorted(np.sort(row[:kept]), FAN), sums)
        fan = np.array(list(rows))
    return Simulation(
        scenario=scenario,
        seed=seed,
        npv=npv[:trials],
        fan=fan,
        fan_trials=kept,
        variance_share=_variance_shares(plan.columns, scores, npv[: detailed * CHUNK]),
        warnings=tuple(_warnings(plan.inputs)),
    )


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share. Source: Wilson, J. Am. Stat. Assoc. 22 (1927)."""
    share, weight = hits / trials, _Z95**2 / trials
    middle = share + weight / 2
    reach = _Z95 * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    # At no hit or all hits the end is the share itself; the difference would leave dust.
    low = 0.0 if hits == 0 else (middle - reach) / (1 + weight)
    high = 1.0 if hits == trials else (middle + reach) / (1 + weight)
    return low, high


class _Plan:
    """What all chunks share: which score drives which input in which year, and how they correlate.

    An input that is drawn once has one column of scores, one that is drawn yearly a column a year.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.seed = seed
        self.inputs = [entry for entry in scenario.inputs() if entry.is_uncertain]
        self.columns = [
            (entry, year)
            for entry in self.inputs
            for year in (range(1, scenario.horizon_years + 1) if entry.yearly else (0,))
        ]
        if len(self.columns) > COLUMNS_MAX:
            raise BadInput(
                f"A trial draws at most {COLUMNS_MAX} numbers, not {len(self.columns)}: draw fewer"
                " inputs yearly."
            )
        self.column = {(entry.path, year): i for i, (entry, year) in enumerate(self.columns)}
        self.mixing = self._mixing()
        self.certain = {
            entry.path: float(entry.central)
            for entry in scenario.inputs()
            if entry.central is not None and not entry.is_uncertain
        }

    def scores(self, chunk: int) -> np.ndarray:
        """Return (columns, CHUNK) normal scores of a chunk, correlated."""
        seeds = np.random.SeedSequence(self.seed, spawn_key=(chunk,))
        z = np.random.Generator(np.random.SFC64(seeds)).standard_normal((len(self.columns), CHUNK))
        for rows, factor in self.mixing:
            # From the last row upwards, so that each still finds the plain scores above it. Not a
            # matrix product: its order of addition may depend on the library's threads.
            for last in range(len(rows) - 1, -1, -1):
                z[rows[last]] *= factor[last, last]
                for i in range(last):
                    if factor[last, i]:
                        z[rows[last]] += factor[last, i] * z[rows[i]]
        return z

    def present_values(self, z: np.ndarray, sums: np.ndarray | None) -> np.ndarray:
        """Return the net present value of each trial; ``sums`` takes the running sums by year."""
        drawn: dict[int, np.ndarray] = {}

        def value(entry: Input, year: int) -> Any:
            if not entry.is_uncertain:
                return self.certain[entry.path]
            column = self.column[entry.path, _drawn_in(entry, year)]
            if column not in drawn:
                drawn[column] = entry.value.at_scores(z[column])  # type: ignore[union-attr]
            return drawn[column]

        with np.errstate(all="ignore"):
            years = evaluate(self.scenario, Arithmetic(value, float, power_in_floats))
            total = np.zeros(CHUNK)
            for year, (flow, factor) in enumerate(zip(years.flow, years.factor, strict=True)):
                total += flow * factor
                if sums is not None:
                    sums[year] = total
        return total

    def _mixing(self) -> list[tuple[list[int], np.ndarray]]:
        """Return, for the correlated inputs, their columns and the Cholesky factor: once for all,
        or once for each year.
        """
        groups = []
        for yearly in (False, True):
            paths = _correlated(self.scenario, self.inputs, yearly=yearly)
            if not paths:
                continue
            factor = _cholesky(self.scenario, paths)
            years = range(1, self.scenario.horizon_years + 1) if yearly else (0,)
            groups += [([self.column[path, year] for path in paths], factor) for year in years]
        return groups


def power_in_floats(base: Any, halves: int) -> Any:
    """Return base ** (halves / 2) by multiplications and a square root."""
    if halves % 2:
        return power_in_floats(base, halves - 1) * np.sqrt(base)
    return base ** (halves // 2)


def _drawn_in(entry: Input, year: int) -> int:
    # Year 0 has no draw of its own: what happens there takes year 1's.
    return max(year, 1) if entry.yearly else 0


def _correlated(scenario: Scenario, inputs: list[Input], *, yearly: bool) -> list[str]:
    named = {name for c in scenario.correlations for name in (c.first, c.second)}
    return [entry.path for entry in inputs if entry.path in named and entry.yearly == yearly]


def _cholesky(scenario: Scenario, paths: list[str]) -> np.ndarray:
    matrix = np.eye(len(paths))
    for pair in scenario.correlations:
        if pair.first in paths:
            i, j = paths.index(pair.first), paths.index(pair.second)
            # The score's correlation that gives this rank correlation (Pearson 1907).
            matrix[i, j] = matrix[j, i] = 2 * math.sin(math.pi * pair.rank / 6)
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest < -1e-12:
        raise BadInput(
            [
                Problem(
                    "correlations",
                    "These correlations contradict each other: no inputs can have all of them.",
                )
            ]
        )
    # Inputs that move together exactly have a matrix without an inverse; this much apart, they
    # still do to six digits.
    return np.linalg.cholesky(matrix + max(0.0, 1e-12 - lowest) * np.eye(len(paths)))


def _bin(z: np.ndarray, npv: np.ndarray, scores: np.ndarray) -> None:
    """Sort a chunk's trials into bins of each score: how many, and the sum of their values."""
    for row, kept in zip(z, scores, strict=True):
        place = np.clip((row * _BINS_PER_SCORE) + _BINS / 2, 0, _BINS - 1).astype(np.intp)
        kept[0] = np.bincount(place, minlength=_BINS)
        kept[1] = np.bincount(place, weights=npv, minlength=_BINS)


def _variance_shares(
    columns: list[tuple[Input, int]], scores: np.ndarray, npv: np.ndarray
) -> dict[str, float]:
    """Return Var(E[NPV | input]) / Var(NPV) by path, largest first; a yearly input's years added.

    The bins' means vary by chance too; Kelley's correction (1935) takes that off.
    """
    counts, values = scores[:, :, 0].sum(axis=0), scores[:, :, 1].sum(axis=0)
    total = float(npv.var()) * len(npv)
    shares: dict[str, float] = {}
    for (entry, _), count, value in zip(columns, counts, values, strict=True):
        filled = count > 0
        means = value[filled] / count[filled]
        between = float((count[filled] * (means - npv.mean()) ** 2).sum())
        share = between / total if total else 0.0
        free = (len(npv) - 1) / (len(npv) - int(filled.sum()))
        shares[entry.path] = shares.get(entry.path, 0.0) + max(0.0, 1 - (1 - share) * free)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _of_sorted(ordered: np.ndarray, quantiles: Iterable[float]) -> list[float]:
    """Return quantiles of sorted values, linear between neighbours."""
    found = []
    for quantile in quantiles:
        place = quantile * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        found.append(float(ordered[low] + (place - low) * (ordered[high] - ordered[low])))
    return found


def _rounded(amount: float, digits: int) -> float:
    return round(float(amount), digits)


def _warnings(inputs: list[Input]) -> list[str]:
    warnings = []
    for entry in inputs:
        below = entry.value.probability_below_0()  # type: ignore[union-attr]
        if below > 0.001:
            warnings.append(f"{entry.path}: {below:.1%} of its draws lie below 0.")
    return warnings


def _check(scenario: Scenario, trials: int, seed: int, threads: int | None) -> None:
    unknown = [entry.path for entry in scenario.inputs() if entry.value is None]
    if unknown:
        raise BadInput([Problem(unknown[0], "This is unknown, and a simulation needs it.")])
    if not any(entry.is_uncertain for entry in scenario.inputs()):
        raise BadInput("No input is a range or a distribution: there is nothing to simulate.")
    if not TRIALS_MIN <= trials <= TRIALS_MAX:
        raise BadInput(f"Trials must lie between {TRIALS_MIN} and {TRIALS_MAX}, not {trials}.")
    if not 0 <= seed < 2**63:
        raise BadInput(f"The seed must lie between 0 and 2^63 - 1, not {seed}.")
    if threads is not None and not 1 <= threads <= THREADS_MAX:
        raise BadInput(f"Threads must lie between 1 and {THREADS_MAX}, not {threads}.")
