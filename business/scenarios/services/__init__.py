"""Every write of scenarios: saving and deleting, links, long simulations, downloads."""

from business.scenarios.services.errors import (
    BadPeriod,
    BadScenario,
    BadTrials,
    LinkUnknown,
    NotConfirmed,
    NothingChanged,
    ReasonMissing,
    SavedMeanwhile,
    ScenarioUnknown,
    SimulationUnknown,
    TooMany,
    VersionUnknown,
)
from business.scenarios.services.links import DAYS, revoke_link, share_version
from business.scenarios.services.saving import (
    NAME_MAX,
    REASON_MAX,
    delete_scenario,
    duplicate_version,
    record_download,
    save_scenario,
)
from business.scenarios.services.simulations import (
    execute_simulation,
    find_progress,
    reap_simulations,
    request_simulation,
)

__all__ = [
    "DAYS",
    "NAME_MAX",
    "REASON_MAX",
    "BadPeriod",
    "BadScenario",
    "BadTrials",
    "LinkUnknown",
    "NotConfirmed",
    "NothingChanged",
    "ReasonMissing",
    "SavedMeanwhile",
    "ScenarioUnknown",
    "SimulationUnknown",
    "TooMany",
    "VersionUnknown",
    "delete_scenario",
    "duplicate_version",
    "execute_simulation",
    "find_progress",
    "reap_simulations",
    "record_download",
    "request_simulation",
    "revoke_link",
    "save_scenario",
    "share_version",
]
