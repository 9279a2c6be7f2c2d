"""Every write to runs: asking for one, executing it, stopping it, and looking after those left
alone.
"""

from simulation.quota import RUNS_ACTIVE_LIMIT, RUNS_ACTIVE_MAX
from simulation.services.execution import execute_run
from simulation.services.exports import record_download
from simulation.services.faults import ask_again, ask_for_fault
from simulation.services.keeping import CHECKPOINT_S
from simulation.services.own_bodies import (
    BodiesFileInUse,
    BodiesFileUnknown,
    BodiesRefused,
    TooManyBodiesFiles,
    bodies_of,
    delete_bodies,
    find_bodies_file,
    radii_of,
    record_bodies_download,
    scenario_of_file,
    upload_bodies,
)
from simulation.services.quotas import QuotaChanged, QuotaOutOfRange, ask_for_quota
from simulation.services.recovery import reap_runs
from simulation.services.requests import (
    ESTIMATE_S_MAX,
    STEP_S_MAX,
    FaultNotReleased,
    RunNotActive,
    RunTooLong,
    RunUnknown,
    StepTooLong,
    TooManyActiveRuns,
    cancel_run,
    request_run,
    rerun_run,
)

__all__ = [
    "CHECKPOINT_S",
    "ESTIMATE_S_MAX",
    "RUNS_ACTIVE_LIMIT",
    "RUNS_ACTIVE_MAX",
    "STEP_S_MAX",
    "BodiesFileInUse",
    "BodiesFileUnknown",
    "BodiesRefused",
    "FaultNotReleased",
    "QuotaChanged",
    "QuotaOutOfRange",
    "RunNotActive",
    "RunTooLong",
    "RunUnknown",
    "StepTooLong",
    "TooManyActiveRuns",
    "TooManyBodiesFiles",
    "ask_again",
    "ask_for_fault",
    "ask_for_quota",
    "bodies_of",
    "cancel_run",
    "delete_bodies",
    "execute_run",
    "find_bodies_file",
    "radii_of",
    "reap_runs",
    "record_bodies_download",
    "record_download",
    "request_run",
    "rerun_run",
    "scenario_of_file",
    "upload_bodies",
]
