"""Every write to runs: asking for one, executing it, stopping it, and looking after those left
alone.
"""

from simulation.services.execution import execute_run
from simulation.services.keeping import CHECKPOINT_S
from simulation.services.recovery import reap_runs
from simulation.services.requests import (
    ESTIMATE_S_MAX,
    RUNS_ACTIVE_MAX,
    STEP_S_MAX,
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
    "RUNS_ACTIVE_MAX",
    "STEP_S_MAX",
    "RunNotActive",
    "RunTooLong",
    "RunUnknown",
    "StepTooLong",
    "TooManyActiveRuns",
    "cancel_run",
    "execute_run",
    "reap_runs",
    "request_run",
    "rerun_run",
]
