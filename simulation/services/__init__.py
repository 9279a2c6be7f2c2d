"""Every write to runs: asking for one, executing it, stopping it, and looking after those left
alone.
"""

from simulation.quota import RUNS_ACTIVE_LIMIT, RUNS_ACTIVE_MAX
from simulation.services.execution import execute_run
from simulation.services.exports import record_download
from simulation.services.faults import ask_again, ask_for_fault
from simulation.services.keeping import CHECKPOINT_S
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
    "FaultNotReleased",
    "QuotaChanged",
    "QuotaOutOfRange",
    "RunNotActive",
    "RunTooLong",
    "RunUnknown",
    "StepTooLong",
    "TooManyActiveRuns",
    "ask_again",
    "ask_for_fault",
    "ask_for_quota",
    "cancel_run",
    "execute_run",
    "reap_runs",
    "record_download",
    "request_run",
    "rerun_run",
]
