"""What the services refuse."""

from __future__ import annotations

from business import roi
from tenants.errors import Conflict, Invalid, NotFound


class ScenarioUnknown(NotFound):
    """There is no such scenario in this tenant."""

    code = "scenario_unknown"


class VersionUnknown(NotFound):
    """The scenario has no such version."""

    code = "scenario_version_unknown"


class LinkUnknown(NotFound):
    """There is no such link, or it is revoked or expired."""

    code = "share_link_unknown"


class SimulationUnknown(NotFound):
    """There is no such simulation in this tenant."""

    code = "simulation_unknown"


class SavingUnknown(NotFound):
    """There is no such entry of realised savings."""

    code = "saving_unknown"


class MonthsOutside(Invalid):
    """The months are none of the scenario's."""

    code = "months_outside"


class MonthsTaken(Conflict):
    """A month has one entry that stands."""

    code = "months_taken"


class AlreadyCorrected(Conflict):
    """An entry is corrected once; its correction may be corrected."""

    code = "saving_corrected"


class BadScenario(Invalid):
    """The document describes nothing that can be computed."""

    code = "bad_scenario"

    def __init__(self, refusal: roi.BadInput) -> None:
        """Keep every problem for whoever shows them beside their fields."""
        super().__init__(str(refusal))
        self.problems = refusal.problems


class ReasonMissing(Invalid):
    """A version without a reason tells nobody why it is there."""

    code = "reason_missing"


class NotConfirmed(Invalid):
    """What was typed is not the name."""

    code = "not_confirmed"


class BadPeriod(Invalid):
    """A link lives for some days."""

    code = "bad_period"


class BadTrials(Invalid):
    """Not a number of trials."""

    code = "bad_trials"


class NothingChanged(Conflict):
    """The inputs are those of the last version."""

    code = "scenario_unchanged"


class SavedMeanwhile(Conflict):
    """Somebody saved another version since the form was opened."""

    code = "scenario_saved_meanwhile"


class TooMany(Conflict):
    """More than anybody looks through."""

    code = "too_many"
