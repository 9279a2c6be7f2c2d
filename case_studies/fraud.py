"""Fraud detection, on payments generated with known truth.

A round is 2,000 payments, 0.5 % of them fraud. A model scores them; what differs is which scores
are blocked. Here the truth is known, so false alarms and missed frauds are counted, not estimated.
Costs are assumptions, and so is everything about the payments.

``python -m case_studies.fraud [--seed N] [--json]``
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

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
    ratio_of,
    share_of,
)
from conservation.claims import (
    Bools,
    Floats,
    accept_false_share,
    accept_few_false,
    conformal_p_values,
)
from conservation.e_values import exchangeability_evidence, first_reached

SEED = 20261
ROUNDS = 200
ROUND = 2_000
CALIBRATION = 20_000
TRAINING = 40_000
PREVALENCE = 0.005
FALSE_SHARE = 0.10
EXPECTED_FALSE = 1.0
ASKED_SHARE = 0.005
DRIFT_ALPHA = 0.01
DRIFT_ROUNDS = 60
REFERENCE = 5_000
SHOWN = 200
COST_FALSE_EUR = 30.0
COST_ASKED_EUR = 6.0
COST_ALARM_EUR = 6.0


@dataclass(frozen=True)
class Payments:
    """Features of payments, whether each is a fraud, and what it is worth in EUR."""

    features: Floats
    is_fraud: Bools
    amount_EUR: Floats


@dataclass(frozen=True)
class Tally:
    """What one policy did in one round."""

    alarms: int
    false: int
    frauds: int
    caught: int
    asked: int
    cost_EUR: float


def generate(chance: np.random.Generator, count: int, *, shift: float = 0.0) -> Payments:
    """Return payments: amount, hour, distance from home, risk of the shop, age of the device, pace.

    ``shift`` moves what honest people do, as before a holiday: more, farther, faster.
    """
    is_fraud = chance.random(count) < PREVALENCE
    features = chance.normal(size=(count, 6))
    features[:, [0, 2, 5]] += shift * ~is_fraud[:, None]
    # One fraud in five looks like an honest payment in all but its pace.
    is_open = is_fraud & (chance.random(count) < 0.8)
    features[is_open] += [1.6, 1.0, 2.0, 1.6, 1.4, 0.0]
    features[is_fraud, 5] += 1.5
    amount = np.exp(3.4 + 0.9 * features[:, 0])
    return Payments(features, is_fraud, amount)


def train(payments: Payments) -> LogisticRegression:
    """Return the model, fitted to its optimum, so that machines agree on it."""
    model = LogisticRegression(solver="newton-cholesky", tol=1e-10)
    return model.fit(payments.features, payments.is_fraud)


def score(model: LogisticRegression, payments: Payments) -> Floats:
    """Return the log-odds of fraud, to six decimals, so that machines agree on ties."""
    scores: Floats = np.round(model.decision_function(payments.features), 6)
    return scores


def best_f1(scores: Floats, is_fraud: Bools) -> float:
    """Return the threshold with the largest F1 on labelled payments."""
    order = np.argsort(-scores, kind="stable")
    caught = np.cumsum(is_fraud[order])
    f1 = 2.0 * caught / (np.arange(1, scores.size + 1) + is_fraud.sum())
    return float(scores[order[int(f1.argmax())]])


def tally(payments: Payments, blocked: Bools, asked: Bools) -> Tally:
    """Count and price one policy's round. A person who is asked tells fraud from honest."""
    fraud, caught = payments.is_fraud, payments.is_fraud & (blocked | asked)
    false = int((blocked & ~fraud).sum())
    missed_EUR = float(payments.amount_EUR[fraud & ~caught].sum())
    cost = (
        missed_EUR
        + COST_FALSE_EUR * false
        + COST_ALARM_EUR * int(blocked.sum())
        + COST_ASKED_EUR * int(asked.sum())
    )
    return Tally(
        int(blocked.sum()), false, int(fraud.sum()), int(caught.sum()), int(asked.sum()), cost
    )


RULES = {
    "Threshold 0.5": "Block when the model says that fraud is likelier than not.",
    "Best F1": "Block above the threshold with the best F1 on labelled payments of last month.",
    "Few false alarms": (
        f"Block where evidence ≥ log₂(payments) + log₂(1/{EXPECTED_FALSE:g}) bits: at most"
        f" {EXPECTED_FALSE:g} false alarm a round is expected."
    ),
    "Small false share": (
        f"Block by Benjamini–Hochberg at {percent(FALSE_SHARE)}: of the blocked payments at most"
        " that share is expected to be honest."
    ),
    "Small false share, and ask": (
        "The same, and a person is asked about payments that are not blocked with p ≤"
        f" {ASKED_SHARE:g}: at most {ASKED_SHARE * ROUND:g} honest ones a round are expected."
    ),
}
BASELINES = ("Threshold 0.5", "Best F1")


def decide(p_values: Floats, scores: Floats, f1: float) -> dict[str, tuple[Bools, Bools]]:
    """Return, for each policy, which payments are blocked, and about which a person is asked."""
    nobody = np.zeros(scores.size, dtype=np.bool_)
    small_share = accept_false_share(p_values, FALSE_SHARE)
    return {
        "Threshold 0.5": (scores > 0.0, nobody),
        "Best F1": (scores >= f1, nobody),
        "Few false alarms": (accept_few_false(p_values, EXPECTED_FALSE), nobody),
        "Small false share": (small_share, nobody),
        "Small false share, and ask": (small_share, (p_values <= ASKED_SHARE) & ~small_share),
    }


def play(
    model: LogisticRegression,
    f1: float,
    chance: np.random.Generator,
    *,
    rounds: int,
    shift: float = 0.0,
) -> dict[str, list[Tally]]:
    """Return the tallies of fresh rounds, each with a calibration set of its own."""
    tallies: dict[str, list[Tally]] = {name: [] for name in RULES}
    for _ in range(rounds):
        past, now = generate(chance, CALIBRATION), generate(chance, ROUND, shift=shift)
        honest = score(model, past)[~past.is_fraud]
        scores = score(model, now)
        decided = decide(conformal_p_values(honest, scores), scores, f1)
        for name, (blocked, asked) in decided.items():
            tallies[name].append(tally(now, blocked, asked))
    return tallies


def _column(tallies: list[Tally], name: str) -> Floats:
    return np.array([getattr(each, name) for each in tallies], dtype=np.float64)


def false_share(tallies: list[Tally]) -> Measured:
    """Return the mean over rounds of the share of false ones among the alarms, 0 without any."""
    false, alarms = _column(tallies, "false"), _column(tallies, "alarms")
    return mean_of(false / np.maximum(alarms, 1.0), "share", "rounds")


def measure(tallies: list[Tally]) -> dict[str, Measured]:
    """Return what a policy did, over all rounds."""
    frauds, caught = _column(tallies, "frauds"), _column(tallies, "caught")
    return {
        "false_share": false_share(tallies),
        "false": mean_of(_column(tallies, "false"), "a round", "rounds"),
        "missed": ratio_of(frauds - caught, frauds, "share", "rounds"),
        "asked": mean_of(_column(tallies, "asked"), "a round", "rounds"),
        "cost": mean_of(_column(tallies, "cost_EUR"), "EUR a round", "rounds"),
    }


COLUMNS = [
    Column("false_share", "False among alarms", "Share of blocked payments that were honest."),
    Column("false", "False alarms", "Honest payments blocked in a round."),
    Column("missed", "Missed frauds", "Share of frauds neither blocked nor asked about."),
    Column("asked", "Asked", "Payments in a round about which a person was asked."),
    Column("cost", "Cost", "Missed frauds, false alarms and work, priced as assumed below."),
]


def notice_drift(
    model: LogisticRegression, chance: np.random.Generator, *, shift: float
) -> NDArray[np.float64]:
    """Return the evidence against exchangeability after each payment of fresh rounds, a row each.

    The reference is recent payments as they come, unlabelled, so that both hold frauds.
    """
    rows = []
    for _ in range(DRIFT_ROUNDS):
        reference = score(model, generate(chance, REFERENCE))
        stream = score(model, generate(chance, ROUND, shift=shift))
        seed = int(chance.integers(2**31))
        rows.append(exchangeability_evidence(reference, stream, seed=seed))
    return np.array(rows)


def run(seed: int = SEED) -> Study:
    """Play all rounds and return what was found."""
    chance = np.random.default_rng(seed)
    model = train(generate(chance, TRAINING))
    labelled = generate(chance, TRAINING)
    f1 = best_f1(score(model, labelled), labelled.is_fraud)
    found = play(model, f1, chance, rounds=ROUNDS)
    shifts = [0.0, 0.1, 0.2, 0.3, 0.4]
    drifted = {s: play(model, f1, chance, rounds=DRIFT_ROUNDS, shift=s) for s in shifts[1:]}
    calm = notice_drift(model, chance, shift=0.0)
    moved = notice_drift(model, chance, shift=shifts[-1])
    return _study(seed, found, {0.0: found, **drifted}, calm, moved)


def _study(
    seed: int,
    found: dict[str, list[Tally]],
    by_shift: dict[float, dict[str, list[Tally]]],
    calm: Floats,
    moved: Floats,
) -> Study:
    measured = {name: measure(tallies) for name, tallies in found.items()}
    usual, ours = measured["Best F1"], measured["Small false share"]
    asking = measured["Small false share, and ask"]
    answer = (
        f"Of the payments blocked with enough evidence {percent(ours['false_share'].value)} were"
        f" honest, of those above the threshold with the best F1"
        f" {percent(usual['false_share'].value)}. The price: {percent(ours['missed'].value)} of the"
        " frauds are missed instead of"
        f" {percent(usual['missed'].value)}, or {percent(asking['missed'].value)} when a person"
        f" is asked about {asking['asked'].value:.0f} payments a round."
    )
    few = measured["Few false alarms"]["false"]
    worst = max(by_shift)
    broken = false_share(by_shift[worst]["Small false share"])
    reached, by_chance = (first_reached(each, 1 / DRIFT_ALPHA) for each in (moved, calm))
    noticed, false_notice = _share(reached), _share(by_chance)
    return Study(
        slug="fraud",
        title="Fraud detection",
        industry="Financial services",
        question="How many honest customers are blocked to catch a fraud?",
        answer=answer,
        seed=seed,
        facts=_facts(),
        columns=COLUMNS,
        policies=[
            Policy(name, rule, name in BASELINES, measured[name]) for name, rule in RULES.items()
        ],
        promises=[
            Promise(
                "Small false share: the expected share of honest payments among the blocked is at"
                f" most {percent(FALSE_SHARE)} (Benjamini–Hochberg on conformal p-values).",
                FALSE_SHARE,
                ours["false_share"],
            ),
            Promise(
                f"Few false alarms: at most {EXPECTED_FALSE:g} honest payment a round is expected"
                " to be blocked.",
                EXPECTED_FALSE,
                few,
            ),
        ],
        not_promised=[
            "That few frauds are missed. Evidence bounds false alarms alone.",
            "The share of this round. The bound is on the average over rounds and calibrations.",
            "The share among customers of one group, who may be blocked more often than others.",
            "Anything once payments are no longer exchangeable with the calibration set.",
            f"A claim on less than 1/{CALIBRATION:,}: no p-value is smaller than the calibration"
            " set allows.",
        ],
        breaks=[
            Break(
                title="Before the holidays",
                sentence=(
                    f"Honest people spend more, farther and faster: three of six features move by"
                    f" {worst:g} standard deviations, the calibration set stays."
                ),
                promise=Promise(
                    "Small false share, calibrated on other weeks.", FALSE_SHARE, broken
                ),
                notice=(
                    f"A conformal martingale on unlabelled payments reached"
                    f" {1 / DRIFT_ALPHA:.0f} in {percent(noticed.value)} of the drifted rounds,"
                    f" after {_median(reached)} payments in the median, and in"
                    f" {percent(false_notice.value)} of the others (bound: {percent(DRIFT_ALPHA)})."
                ),
                noticed=noticed,
                false_notice=false_notice,
            )
        ],
        figures=[_drift_figure(by_shift), _evidence_figure(calm, moved)],
        assumptions=[
            f"A false alarm costs {COST_FALSE_EUR:g} EUR in goodwill, an alarm"
            f" {COST_ALARM_EUR:g} EUR and a question {COST_ASKED_EUR:g} EUR in work; a missed fraud"
            " costs its amount. Nobody measured these: put in your own.",
            "Who is asked always tells fraud from honest. Asking helps any threshold; the evidence"
            " bounds how often one asks in vain.",
            "The payments are generated; real ones are neither normal nor independent.",
        ],
        sources=[
            "Bates, Candès, Lei, Romano & Sesia (2023), Ann. Stat. 51, 149: conformal p-values.",
            "Benjamini & Hochberg (1995), JRSS B 57, 289: the false discovery rate.",
            "Desolneux, Moisan & Morel (2000), IJCV 40, 7: expected false alarms.",
            "Vovk (2021), Stat. Sci. 36, 595: testing exchangeability online.",
        ],
    )


def _facts() -> dict[str, str]:
    return {
        "Data": "generated, with known truth",
        "Rounds": f"{ROUNDS} of {ROUND:,} payments, each fresh",
        "Fraud": percent(PREVALENCE),
        "Calibration": f"{CALIBRATION:,} labelled payments a round, its honest ones used",
        "Model": f"logistic regression on {TRAINING:,} payments, 6 features",
    }


def _share(reached: NDArray[np.int64]) -> Measured:
    return share_of(int((reached > 0).sum()), reached.size)


def _median(reached: NDArray[np.int64]) -> str:
    return f"{np.median(reached[reached > 0]):.0f}" if reached.any() else "no"


def _drift_figure(by_shift: dict[float, dict[str, list[Tally]]]) -> Figure:
    names = ("Best F1", "Small false share")
    return Figure(
        name="drift",
        title="The share of false alarms as honest payments drift",
        sentence="The bound holds without drift alone.",
        x_title="drift of honest payments, standard deviations",
        y_title="false among alarms",
        curves=[
            Curve(name, list(by_shift), [false_share(by_shift[s][name]).value for s in by_shift])
            for name in names
        ],
        limit=FALSE_SHARE,
        limit_title=f"promised: {percent(FALSE_SHARE)}",
    )


def _evidence_figure(calm: Floats, moved: Floats) -> Figure:
    places = np.arange(1, SHOWN + 1, SHOWN // 50)
    curves = [
        Curve(
            name,
            [float(x) for x in places],
            np.log2(np.median(each[:, places - 1], axis=0)).tolist(),
        )
        for name, each in (("no drift", calm), ("drifted", moved))
    ]
    return Figure(
        name="notice",
        title="What notices the drift",
        sentence="Evidence against exchangeability after each payment, median over rounds.",
        x_title="payments seen",
        y_title="evidence, bits",
        curves=curves,
        limit=float(np.log2(1 / DRIFT_ALPHA)),
        limit_title=f"alarm at log₂ {1 / DRIFT_ALPHA:.0f}",
    )


if __name__ == "__main__":
    main(run, SEED)
