"""Quality control, on parts generated with known truth.

A shift makes 5,000 parts, each good or bad; up to 1 % bad is allowed. The line is to be stopped
when the rate rises, and only then. Someone looks after every sample or after every part, which is
what makes false stops pile up. Costs are assumptions.

``python -m case_studies.quality [--seed N] [--json]``
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from case_studies.running import main
from case_studies.study import (
    Break,
    Column,
    Curve,
    Figure,
    Measured,
    Policy,
    Promise,
    Study,
    mean_of,
    percent,
    share_of,
)
from conservation.claims import Bools, Floats
from conservation.e_values import clustering_evidence, first_reached, rate_evidence

SEED = 5000
SHIFTS = 2_000
PARTS = 5_000
SAMPLE = 100
ALLOWED = 0.01
RAISED = 0.03
CHANGE = 1_000
RATES = (0.015, 0.02, 0.03, 0.05, 0.1)
STOP, ASK = 0.01, 0.10
PEEK = 0.05
BURST_RATE, BURST_PARTS = 0.25, 20
CLUSTER_SHIFTS = 500
RAISED_RATES = (0.015, 0.02, 0.03, 0.05)
RATE_SHIFTS = 400
COST_STOP_EUR, COST_BAD_EUR, COST_LOOK_EUR = 2_000.0, 40.0, 100.0

Counts = NDArray[np.int64]


def fine_shifts(chance: np.random.Generator, shifts: int) -> Bools:
    """Return shifts at the rate that is just allowed: the hardest ones not to stop."""
    return chance.random((shifts, PARTS)) < ALLOWED


def bad_shifts(chance: np.random.Generator, shifts: int, rate: float) -> Bools:
    """Return shifts whose rate rises after so many parts."""
    parts = chance.random((shifts, PARTS))
    limits = np.where(np.arange(PARTS) < CHANGE, ALLOWED, rate)
    return parts < limits


def clustered_shifts(chance: np.random.Generator, shifts: int) -> Bools:
    """Return shifts with the allowed rate on average, the bad parts in bursts of a chipped tool."""
    blocks = chance.random((shifts, PARTS // BURST_PARTS)) < ALLOWED / BURST_RATE
    is_burst = np.repeat(blocks, BURST_PARTS, axis=1)
    return is_burst & (chance.random((shifts, PARTS)) < BURST_RATE)


def chart(bad: Bools) -> Counts:
    """Return after how many parts a p-chart stops: a sample beyond three sigma. 0 for never."""
    limit = SAMPLE * ALLOWED + 3.0 * math.sqrt(SAMPLE * ALLOWED * (1.0 - ALLOWED))
    return _first_sample(_samples(bad) > limit)


def peeking(bad: Bools) -> Counts:
    """Return when a binomial test of all parts so far, made after each sample, first rejects."""
    found = np.cumsum(_samples(bad), axis=1)
    limits = [_critical(SAMPLE * (at + 1), PEEK) for at in range(found.shape[1])]
    return _first_sample(found >= np.array(limits))


def by_evidence(bad: Bools, alpha: float) -> Counts:
    """Return after how many parts the evidence for a raised rate first reaches 1/alpha."""
    return first_reached(rate_evidence(bad, limit=ALLOWED, rates=RATES), 1.0 / alpha)


def _samples(bad: Bools) -> Counts:
    counts: Counts = bad.reshape(bad.shape[0], -1, SAMPLE).sum(axis=2)
    return counts


def _first_sample(is_beyond: Bools) -> Counts:
    return np.where(is_beyond.any(axis=1), (is_beyond.argmax(axis=1) + 1) * SAMPLE, 0)


def _critical(parts: int, level: float) -> int:
    """Return the least count whose binomial tail at the allowed rate is at most the level."""
    chance, count = (1.0 - ALLOWED) ** parts, 0
    below = 0.0
    while 1.0 - below > level:
        below += chance
        chance *= (parts - count) / (count + 1) * ALLOWED / (1.0 - ALLOWED)
        count += 1
    return count


RULES = {
    "p-chart, 3 sigma": f"Stop when a sample of {SAMPLE} has more bad parts than mean + 3 sigma.",
    f"Test at {percent(PEEK)}, repeated": (
        f"After each sample, stop when a binomial test of all parts so far has p ≤ {PEEK:g}."
    ),
    "Enough evidence": (
        f"After each part, stop when the evidence reaches log₂(1/{STOP:g}) bits; at"
        f" log₂(1/{ASK:g}) bits somebody looks, and the line runs on."
    ),
}
CHART, PEEKING, EVIDENCE = RULES

COLUMNS = [
    Column("false", "False alarms", "Share of shifts within the allowed rate that are stopped."),
    Column("missed", "Missed cases", "Share of raised shifts, running at the rise, never stopped."),
    Column("delay", "Delay", "Parts from the rise to the stop, of shifts running at the rise."),
    Column("asked", "Asked", "Share of fine shifts in which somebody is asked to look."),
    Column("cost", "Cost", "Of a fine and a raised shift together, priced as assumed below."),
]


def stops(bad: Bools) -> dict[str, Counts]:
    """Return when each policy stops each shift."""
    return {CHART: chart(bad), PEEKING: peeking(bad), EVIDENCE: by_evidence(bad, STOP)}


def delays(stopped: Counts) -> Floats:
    """Return the parts from the rise to the stop, or to the end, of the shifts that were not
    stopped before the rise.
    """
    running = stopped[(stopped == 0) | (stopped > CHANGE)]
    return (np.where(running > 0, running, PARTS) - CHANGE).astype(np.float64)


def measure(fine: Counts, raised: Counts, asked: Counts) -> dict[str, Measured]:
    """Return what a policy did."""
    delay = delays(raised)
    looks = (asked > 0).astype(np.float64)
    # A fine shift beside each raised one.
    pairs = slice(delay.size)
    cost = (
        COST_STOP_EUR * (fine > 0)[pairs]
        + COST_LOOK_EUR * looks[pairs]
        + COST_BAD_EUR * (RAISED - ALLOWED) * delay
    )
    return {
        "false": share_of(int((fine > 0).sum()), fine.size),
        "missed": share_of(int((raised == 0).sum()), delay.size),
        "delay": mean_of(delay, "parts", "shifts"),
        "asked": share_of(int(looks.sum()), looks.size),
        "cost": mean_of(cost, "EUR", "shifts"),
    }


def run(seed: int = SEED) -> Study:
    """Make all shifts and return what was found."""
    chance = np.random.default_rng(seed)
    fine, raised = fine_shifts(chance, SHIFTS), bad_shifts(chance, SHIFTS, RAISED)
    nobody = np.zeros(SHIFTS, dtype=np.int64)
    asked = by_evidence(fine, ASK)
    stopped, found_raised = stops(fine), stops(raised)
    found = {
        name: measure(stopped[name], found_raised[name], asked if name == EVIDENCE else nobody)
        for name in RULES
    }
    clustered = clustered_shifts(chance, CLUSTER_SHIFTS)
    return _study(
        seed,
        found,
        asks=share_of(int((asked > 0).sum()), SHIFTS),
        breaking=_clusters(clustered, fine[:CLUSTER_SHIFTS]),
        figures=[_looks_figure(stopped), _delay_figure(chance)],
    )


def _study(
    seed: int,
    found: dict[str, dict[str, Measured]],
    *,
    asks: Measured,
    breaking: Break,
    figures: list[Figure],
) -> Study:
    usual, ours = found[CHART], found[EVIDENCE]
    answer = (
        f"{percent(usual['false'].value)} of the fine shifts are stopped by the p-chart,"
        f" {percent(ours['false'].value)} with enough evidence. The price: a raised rate is"
        f" noticed after {ours['delay'].value:,.0f} parts instead of"
        f" {usual['delay'].value:,.0f}."
    )
    return Study(
        slug="quality",
        title="Quality control",
        industry="Manufacturing",
        question="How often is a line stopped that makes good parts?",
        answer=answer,
        seed=seed,
        facts={
            "Data": "generated, with known truth",
            "Shifts": f"{SHIFTS:,} fine and {SHIFTS:,} raised, {PARTS:,} parts each",
            "Allowed": f"{percent(ALLOWED)} bad, which the fine shifts use up",
            "Raised": f"{percent(RAISED)} bad after part {CHANGE:,}",
            "Bets": "on rates of " + ", ".join(percent(rate) for rate in RATES),
        },
        columns=COLUMNS,
        policies=[
            Policy(name, rule, name != EVIDENCE, found[name]) for name, rule in RULES.items()
        ],
        promises=[
            Promise(
                f"At most {percent(STOP)} of the fine shifts are ever stopped, looking after each"
                " part (Ville's inequality).",
                STOP,
                ours["false"],
            ),
            Promise(
                f"In at most {percent(ASK)} of them somebody is ever asked to look.", ASK, asks
            ),
        ],
        not_promised=[
            "How soon a raised rate is noticed: that depends on how far it rises, and is measured.",
            "That a line that was not stopped is fine.",
            "Anything when a part is likelier to be bad after a bad one than the allowed rate:"
            " clusters look like a raised rate, for as long as they last.",
            "Anything beyond the shift: over a year the chance of some false stop adds up.",
        ],
        breaks=[breaking],
        figures=figures,
        assumptions=[
            f"A stop costs {COST_STOP_EUR:,.0f} EUR, a bad part beyond the allowed ones"
            f" {COST_BAD_EUR:g} EUR, a look {COST_LOOK_EUR:g} EUR. Nobody measured these: put in"
            " your own.",
            "Every part is measured at once and without error.",
            "As many fine shifts as raised ones; in a good plant fine ones are far more frequent,"
            " and false stops weigh more.",
        ],
        sources=[
            "Ville (1939), Étude critique de la notion de collectif.",
            "Ramdas, Grünwald, Vovk & Shafer (2023), Stat. Sci. 38, 576: e-values.",
            "Wasserman, Ramdas & Balakrishnan (2020), PNAS 117, 16880: universal inference.",
            "Montgomery (2019), Introduction to Statistical Quality Control, ch. 7: p-charts.",
        ],
    )


def _clusters(clustered: Bools, fine: Bools) -> Break:
    noticed, false_notice = (
        share_of(int((first_reached(clustering_evidence(each), 1 / STOP) > 0).sum()), len(each))
        for each in (clustered, fine)
    )
    stopped = by_evidence(clustered, STOP)
    return Break(
        title="A chipped tool",
        sentence=(
            f"Bad parts come in bursts of {BURST_PARTS} with {percent(BURST_RATE)} bad, still"
            f" {percent(ALLOWED)} on average: the parts are no longer independent."
        ),
        promise=Promise(
            "Stopped with enough evidence, at the allowed rate on average.",
            STOP,
            share_of(int((stopped > 0).sum()), stopped.size),
        ),
        notice=(
            "A second e-process, for clusters at whatever rate, reached"
            f" {1 / STOP:.0f} in {percent(noticed.value)} of these shifts and in"
            f" {percent(false_notice.value)} of the fine ones (bound: {percent(STOP)})."
        ),
        noticed=noticed,
        false_notice=false_notice,
    )


def _looks_figure(stopped: dict[str, Counts]) -> Figure:
    looks = list(range(SAMPLE, PARTS + 1, SAMPLE))

    def so_far(when: Counts) -> list[float]:
        return [float(((when > 0) & (when <= look)).mean()) for look in looks]

    return Figure(
        name="looks",
        title="Fine shifts that were stopped so far",
        sentence="Each look of a test that was made for one look adds false stops.",
        x_title="parts made",
        y_title="share of fine shifts stopped",
        curves=[Curve(name, [float(x) for x in looks], so_far(w)) for name, w in stopped.items()],
        limit=STOP,
        limit_title=f"promised: {percent(STOP)}",
    )


def _delay_figure(chance: np.random.Generator) -> Figure:
    rows: dict[str, list[float]] = {name: [] for name in RULES}
    for rate in RAISED_RATES:
        raised = bad_shifts(chance, RATE_SHIFTS, rate)
        for name, when in stops(raised).items():
            rows[name].append(float(delays(when).mean()))
    return Figure(
        name="delay",
        title="How long a raised rate goes unnoticed",
        sentence=f"Mean of {RATE_SHIFTS} shifts, those running at the rise.",
        x_title="raised rate",
        y_title="parts from the rise to the stop",
        curves=[Curve(name, list(RAISED_RATES), delay) for name, delay in rows.items()],
    )


if __name__ == "__main__":
    main(run, SEED)
