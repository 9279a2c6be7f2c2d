"""Diagnostic assistance, on the Wisconsin breast cancer data that ships with scikit-learn.

569 tumours, 212 malignant, 30 measures of each; split at random again and again into training,
calibration and test. Decided alone is only what the evidence decides, the rest goes to a person.
Repeated splits of one data set: the intervals speak about splits of these patients, not of others.

``python -m case_studies.diagnosis [--seed N] [--json]``
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
    number,
    percent,
    ratio_of,
)
from conservation.claims import Bools, Floats, conformal_p_values
from conservation.e_values import exchangeability_evidence, first_reached

SEED = 569
SPLITS = 200
TRAINING, CALIBRATION = 0.4, 0.4
ALPHA = 0.025
ALPHAS = (0.025, 0.05, 0.1, 0.15, 0.2)
NOTICE_ALPHA = 0.05
GAIN = 0.85
# Radius, perimeter and area: their means, standard errors and worst cells.
LENGTHS, AREAS = (0, 2, 10, 12, 20, 22), (3, 13, 23)
COST_MISSED, COST_FALSE, COST_ASKED = 50.0, 1.0, 0.2


@dataclass(frozen=True)
class Split:
    """Scores (log-odds of malignant) of one split, and what was to be found."""

    calibration: Floats
    calibration_malignant: Bools
    calibration_small: Bools
    test: Floats
    malignant: Bools
    small: Bools
    other_scanner: Floats

    @property
    def cancers(self) -> Floats:
        """Scores of the malignant tumours of the calibration set."""
        return self.calibration[self.calibration_malignant]

    @property
    def benign(self) -> Floats:
        """Scores of its benign ones."""
        return self.calibration[~self.calibration_malignant]


@dataclass(frozen=True)
class Called:
    """What was called malignant and what benign; about the rest a person is asked."""

    malignant: Bools
    benign: Bools


def split_scores(chance: np.random.Generator, measures: Floats, malignant: Bools) -> Split:
    """Split the patients at random, within each class, train, and score the rest."""
    training, calibration, test = _parts(chance, malignant)
    model = make_pipeline(
        StandardScaler(), LogisticRegression(solver="newton-cholesky", tol=1e-10)
    ).fit(measures[training], malignant[training])

    def score(rows: Floats) -> Floats:
        scores: Floats = np.round(model.decision_function(rows), 6)
        return scores

    small = measures[:, 0] < np.median(measures[malignant, 0])
    return Split(
        score(measures[calibration]),
        malignant[calibration],
        small[calibration],
        score(measures[test]),
        malignant[test],
        small[test],
        score(through_other_scanner(measures[test])),
    )


def through_other_scanner(measures: Floats) -> Floats:
    """Return the measures as a scanner would give them that shows everything smaller."""
    seen = measures.copy()
    seen[:, LENGTHS] *= GAIN
    seen[:, AREAS] *= GAIN**2
    return seen


def _parts(chance: np.random.Generator, malignant: Bools) -> list[NDArray[np.int64]]:
    parts: list[list[NDArray[np.int64]]] = [[], [], []]
    for label in (True, False):
        rows = chance.permutation(np.flatnonzero(malignant == label))
        first = round(TRAINING * rows.size)
        second = first + round(CALIBRATION * rows.size)
        for part, chosen in zip(parts, np.split(rows, [first, second]), strict=True):
            part.append(chosen)
    # In random order: what watches the stream must not see one class after the other.
    return [chance.permutation(np.concatenate(part)) for part in parts]


def call_by_evidence(scores: Floats, cancers: Floats, benign: Floats, alpha: float) -> Called:
    """Call what the other label is refuted for, each label against calibration cases of its own.

    A label is refuted by a p-value of at most alpha. Both or neither refuted: a person is asked.
    """
    refuted_malignant = conformal_p_values(-cancers, -scores) <= alpha
    refuted_benign = conformal_p_values(benign, scores) <= alpha
    return Called(refuted_benign & ~refuted_malignant, refuted_malignant & ~refuted_benign)


def call_all(scores: Floats, threshold: float) -> Called:
    """Call everything by a threshold."""
    return Called(scores >= threshold, scores < threshold)


def cautious_threshold(split: Split) -> float:
    """Return the largest threshold that misses at most the share alpha of calibration tumours."""
    scores = np.sort(split.cancers)
    return float(scores[int(ALPHA * scores.size)])


RULES = {
    "Threshold 0.5": "Call malignant what the model finds likelier than not; call everything.",
    "Cautious threshold": (
        f"Lower the threshold until at most {percent(ALPHA)} of the calibration tumours are"
        " missed; call everything."
    ),
    "Enough evidence": (
        f"Call a tumour only when the other label is refuted at {percent(ALPHA)} against"
        " calibration cases of that label; ask a person about the rest."
    ),
}


def decide(split: Split) -> dict[str, Called]:
    """Return what each policy calls in one split."""
    return {
        "Threshold 0.5": call_all(split.test, 0.0),
        "Cautious threshold": call_all(split.test, cautious_threshold(split)),
        "Enough evidence": call_by_evidence(split.test, split.cancers, split.benign, ALPHA),
    }


COLUMNS = [
    Column("missed", "Missed cases", "Share of malignant tumours called benign."),
    Column("false", "False alarms", "Share of benign tumours called malignant."),
    Column("error", "Wrong among decided", "Share of the calls that are wrong."),
    Column("coverage", "Decided", "Share of tumours called without a person."),
    Column("cost", "Cost", "Per 100 patients, in biopsies, priced as assumed below."),
]


def measure(called: list[Called], splits: list[Split]) -> dict[str, Measured]:
    """Return what a policy did, over all splits."""
    pairs = list(zip(called, splits, strict=True))
    missed = np.array([(c.benign & s.malignant).sum() for c, s in pairs], dtype=np.float64)
    false = np.array([(c.malignant & ~s.malignant).sum() for c, s in pairs], dtype=np.float64)
    made = np.array([(c.malignant | c.benign).sum() for c, _ in pairs], dtype=np.float64)
    cancers = np.array([s.malignant.sum() for s in splits], dtype=np.float64)
    patients = np.array([s.malignant.size for s in splits], dtype=np.float64)
    cost = COST_MISSED * missed + COST_FALSE * false + COST_ASKED * (patients - made)
    return {
        "missed": ratio_of(missed, cancers, "share", "splits"),
        "false": ratio_of(false, patients - cancers, "share", "splits"),
        "error": ratio_of(missed + false, made, "share", "splits"),
        "coverage": ratio_of(made, patients, "share", "splits"),
        "cost": ratio_of(100.0 * cost, patients, "biopsies", "splits"),
    }


def missed_in(called: list[Called], splits: list[Split], groups: list[Bools]) -> Measured:
    """Return the share of malignant tumours called benign within a group."""
    missed = [
        (c.benign & s.malignant & g).sum() for c, s, g in zip(called, splits, groups, strict=True)
    ]
    cancers = [(s.malignant & g).sum() for s, g in zip(splits, groups, strict=True)]
    return ratio_of(np.array(missed, float), np.array(cancers, float), "share", "splits")


def call_by_group(split: Split) -> Called:
    """Call by evidence, each tumour against malignant ones of its own size."""
    malignant, benign = (np.zeros(split.test.size, dtype=np.bool_) for _ in range(2))
    for is_small in (True, False):
        here = split.small == is_small
        cancers = split.cancers[split.calibration_small[split.calibration_malignant] == is_small]
        called = call_by_evidence(split.test[here], cancers, split.benign, ALPHA)
        malignant[here], benign[here] = called.malignant, called.benign
    return Called(malignant, benign)


def run(seed: int = SEED) -> Study:
    """Split again and again, and return what was found."""
    chance = np.random.default_rng(seed)
    data = load_breast_cancer()
    measures, malignant = data.data, data.target == 0
    splits = [split_scores(chance, measures, malignant) for _ in range(SPLITS)]
    found: dict[str, list[Called]] = {name: [] for name in RULES}
    for split in splits:
        for name, called in decide(split).items():
            found[name].append(called)
    return _study(seed, splits, found, measures.shape)


def _study(
    seed: int, splits: list[Split], found: dict[str, list[Called]], shape: tuple[int, ...]
) -> Study:
    measured = {name: measure(called, splits) for name, called in found.items()}
    usual, ours = measured["Threshold 0.5"], measured["Enough evidence"]
    answer = (
        f"{percent(ours['missed'].value)} of the malignant tumours are called benign with enough"
        f" evidence, {percent(usual['missed'].value)} at the usual threshold. The price:"
        f" {percent(1 - ours['coverage'].value)} of the patients are left to a person, and"
        f" {percent(ours['false'].value)} instead of {percent(usual['false'].value)} of the benign"
        " ones are false alarms."
    )
    tested = splits[0].test.size
    known = splits[0].calibration_malignant
    return Study(
        slug="diagnosis",
        title="Diagnostic assistance",
        industry="Healthcare",
        question="How many tumours are called benign that are not?",
        answer=answer,
        seed=seed,
        facts={
            "Data": f"Wisconsin breast cancer, {shape[0]} tumours, {shape[1]} measures",
            "Splits": f"{SPLITS}, at random within each class",
            "Calibration": f"{known.size} patients a split, {int(known.sum())} of them malignant",
            "Test": f"{tested} patients a split",
            "Model": "logistic regression on standardised measures",
        },
        columns=COLUMNS,
        policies=[
            Policy(name, rule, name != "Enough evidence", measured[name])
            for name, rule in RULES.items()
        ],
        promises=[
            Promise(
                f"Of the malignant tumours at most {percent(ALPHA)} are expected to be called"
                " benign (split-conformal within the class).",
                ALPHA,
                ours["missed"],
            ),
            Promise(
                f"Of the benign tumours at most {percent(ALPHA)} are expected to be called"
                " malignant.",
                ALPHA,
                ours["false"],
            ),
        ],
        not_promised=[
            "That a call is right with a given chance: the bound is on each class, before one knows"
            " what was called.",
            "The same share in every group of patients, unless the group was named in advance.",
            "Anything about patients who are not exchangeable with these: other scanners, other"
            " clinics, other times.",
            "That the person who is asked is right.",
            "A better model. It is the same model, which says less often that it knows.",
        ],
        breaks=[_small_tumours(splits, found["Enough evidence"]), _other_scanner(splits)],
        figures=[_trade_figure(splits)],
        assumptions=[
            f"In biopsies: a missed cancer costs {COST_MISSED:g}, a false alarm {COST_FALSE:g}, a"
            f" second reader {COST_ASKED:g}. Nobody measured these: put in your own.",
            "The second reader's own errors are not counted.",
            f"All splits share the same {shape[0]} patients of one clinic in the 1990s: the"
            " intervals are over splits, not over patients to come.",
        ],
        sources=[
            "Wolberg, Street & Mangasarian (1995), Breast Cancer Wisconsin (Diagnostic), UCI.",
            "Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, ch. 4.",
            "Vovk (2021), Stat. Sci. 36, 595: testing exchangeability online.",
        ],
    )


def _small_tumours(splits: list[Split], called: list[Called]) -> Break:
    groups = [split.small for split in splits]
    by_group = [call_by_group(split) for split in splits]
    named = missed_in(by_group, splits, groups)
    coverage = measure(by_group, splits)["coverage"]
    return Break(
        title="Small tumours",
        sentence="The bound is on all malignant tumours. The smaller half of them is harder.",
        promise=Promise(
            "Missed among the smaller half of the malignant tumours.",
            ALPHA,
            missed_in(called, splits, groups),
        ),
        notice=(
            "No alarm: nothing drifts. A group that is named in advance and calibrated on its own"
            f" gets the promise too: {percent(named.value)} missed, and"
            f" {percent(coverage.value)} of all patients decided."
        ),
    )


def _other_scanner(splits: list[Split]) -> Break:
    called = [call_by_evidence(s.other_scanner, s.cancers, s.benign, ALPHA) for s in splits]
    everybody = [np.ones(s.test.size, dtype=np.bool_) for s in splits]
    noticed, false_notice = _noticed(splits, "other_scanner"), _noticed(splits, "test")
    return Break(
        title="Another scanner",
        sentence=f"It shows every length {percent(1 - GAIN)} shorter; the calibration set stays.",
        promise=Promise(
            "Missed among the malignant tumours, calibrated on the first scanner.",
            ALPHA,
            missed_in(called, splits, everybody),
        ),
        notice=(
            "A conformal martingale on the scores, without any diagnosis, reached"
            f" {number(1 / NOTICE_ALPHA)} within {splits[0].test.size} patients in"
            f" {percent(noticed.value)} of the splits, and in {percent(false_notice.value)} of"
            f" those with the first scanner (bound: {percent(NOTICE_ALPHA)})."
        ),
        noticed=noticed,
        false_notice=false_notice,
    )


def _noticed(splits: list[Split], stream: str) -> Measured:
    rows = [
        exchangeability_evidence(split.calibration, getattr(split, stream), seed=at)
        for at, split in enumerate(splits)
    ]
    reached = first_reached(np.array(rows), 1 / NOTICE_ALPHA) > 0
    return ratio_of(reached.astype(float), np.ones(reached.size), "share", "splits")


def _trade_figure(splits: list[Split]) -> Figure:
    missed, asked = [], []
    for alpha in ALPHAS:
        called = [call_by_evidence(s.test, s.cancers, s.benign, alpha) for s in splits]
        found = measure(called, splits)
        missed.append(found["missed"].value)
        asked.append(1.0 - found["coverage"].value)
    return Figure(
        name="trade",
        title="Missed cases and questions, by what was promised",
        sentence=(
            "Missed stays below what was promised. Promising less decides more, up to where the"
            " model refutes both labels of some tumours."
        ),
        x_title="promised bound on missed cases",
        y_title="share",
        curves=[
            Curve("promised", list(ALPHAS), list(ALPHAS)),
            Curve("missed", list(ALPHAS), missed),
            Curve("left to a person", list(ALPHAS), asked),
        ],
    )


if __name__ == "__main__":
    main(run, SEED)
