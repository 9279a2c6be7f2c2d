"""The plan that a tenant starts with, as plain data. Everything in it can be changed."""

from __future__ import annotations

from dataclasses import dataclass

from business.roadmap.models import Measure, Phase


@dataclass(frozen=True)
class PlannedPhase:
    """A phase as it is first proposed: how long it takes, what is done, what must be measured."""

    kind: Phase.Kind
    weeks: int
    tasks: tuple[str, ...]
    targets: dict[Measure, int]


DEFAULT_PLAN = (
    PlannedPhase(
        Phase.Kind.PROOF,
        6,
        (
            "Name the quantities that must not appear or vanish, and who answers for each",
            "Run a scenario of your own and read its verdicts",
            "Ask for a fault drill, release it and see it caught",
            "Write the ROI scenario with finance, with the source of each number",
        ),
        {Measure.VERIFIED_RUNS: 10, Measure.DRILLS_CAUGHT: 100},
    ),
    PlannedPhase(
        Phase.Kind.PILOT,
        12,
        (
            "Choose one production system and its limits, with the reason of each tolerance",
            "Agree who acknowledges alerts, day and night",
            "Give the auditor a role, and verify a bundle offline",
            "Turn on the second factor for everybody",
        ),
        {
            Measure.VERIFIED_RUNS: 100,
            Measure.BROKEN_RUNS: 0,
            Measure.ACKNOWLEDGED: 95,
            Measure.CONTROLS: 100,
            Measure.UPTIME: 99,
        },
    ),
    PlannedPhase(
        Phase.Kind.ROLLOUT,
        26,
        (
            "Invite the teams, with the least role that each needs",
            "Rehearse a restore and a rotation of keys",
            "Compare what was realised with the ROI forecast",
            "Hand the runbooks to the people on call",
        ),
        {
            Measure.PEOPLE: 10,
            Measure.BROKEN_RUNS: 0,
            Measure.ACKNOWLEDGED: 99,
            Measure.ROI_REALISED: 80,
        },
    ),
    PlannedPhase(
        Phase.Kind.ECOSYSTEM,
        26,
        (
            "Let a partner's system report its quantities",
            "Publish how an outsider verifies your log and the global sum",
            "Share what was learned: which laws held, which tolerances were wrong",
        ),
        {Measure.OUTSIDE_SYSTEMS: 3, Measure.UPTIME: 99},
    ),
)
