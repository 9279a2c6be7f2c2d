"""The risks that a register starts with. Proposals to be judged anew, and said to be such."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ProposedRisk:
    """A row of the register as it is first proposed."""

    title: str
    likelihood: int
    impact: int
    mitigation: str


RISKS = (
    ProposedRisk(
        "Building it costs more or takes longer than planned",
        3,
        3,
        "State the costs as ranges; decide again at the end of the proof of concept.",
    ),
    ProposedRisk(
        "The benefits come later or smaller than forecast",
        3,
        4,
        "Compare what was realised with the forecast at each phase; stop where it stays away.",
    ),
    ProposedRisk(
        "Laws or tolerances are declared wrongly, so that alarms are false or missed",
        3,
        4,
        "Give each tolerance its reason; run fault drills before production.",
    ),
    ProposedRisk(
        "Alerts are not answered in time",
        2,
        4,
        "Agree who acknowledges, day and night; measure the time to acknowledge.",
    ),
    ProposedRisk(
        "Personal or confidential content is disclosed",
        2,
        5,
        "Least roles, second factors, keys for each person; rehearse erasure.",
    ),
    ProposedRisk(
        "The change depends on few people",
        3,
        3,
        "Hand the runbooks over; let a second team repeat a case study.",
    ),
)
