"""What an execution does besides computing: beats, readings, checkpoints, progress; each when it is
due.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection
from redis.exceptions import RedisError

from monitoring import services as monitoring
from simulation import engine
from simulation.models import Checkpoint, Run
from simulation.services import live
from simulation.services.claims import LostClaim, beat, save_checkpoint
from simulation.services.readings import readings_of

logger = logging.getLogger(__name__)

BEAT_S = 0.4
READING_S = 0.9
CHECKPOINT_S = 5.0
# Soon after the start, so that the page has plots to show.
FIRST_CHECKPOINT_S = 1.0
# A host that does not answer costs 2 s for each attempt to connect: compute meanwhile.
AWAY_S = 1.0


class CancelAsked(Exception):
    """Somebody asked for the run to stop."""


class Keeper:
    """Keeps one run's row, readings and checkpoint up to date from inside its computing loop."""

    def __init__(self, run: Run, clock: Callable[[], datetime], node: str) -> None:
        self.run = run
        self.clock = clock
        self.node = node
        self.steps_retraced = 0
        self._begun_s = time.perf_counter()
        self._earlier_s = 0.0
        self._first_step = 0
        # How long the last beat took to reach the database and come back.
        self._beat_ms: float | None = None
        self._due_s = {
            "beat": 0.0,
            "reading": 0.0,
            "checkpoint": self._begun_s + FIRST_CHECKPOINT_S,
        }

    @property
    def wall_s(self) -> float:
        """The seconds spent on this run, those before its checkpoint included."""
        return self._earlier_s + time.perf_counter() - self._begun_s

    def resume_from(self, checkpoint: Checkpoint) -> None:
        """Count on from a checkpoint."""
        self._earlier_s = checkpoint.wall_s
        self._first_step = checkpoint.step

    def turn(self, state: engine.State, *, force: bool = False) -> None:
        """Do what is due. Raises ``CancelAsked`` and ``LostClaim``; an absent database or Redis
        only delays.
        """
        if force:
            self._due_s.update(beat=0.0, reading=0.0)
        self.run.step_done = state.step
        self._when_due("beat", BEAT_S, lambda: self._beat(state))
        self._when_due("reading", READING_S, lambda: self._read(state))
        self._when_due("checkpoint", CHECKPOINT_S, lambda: self._save(state))

    def _when_due(self, name: str, every_s: float, act: Callable[[], None]) -> None:
        now_s = time.perf_counter()
        if now_s < self._due_s[name]:
            return
        self._due_s[name] = now_s + every_s
        try:
            act()
        except (OperationalError, InterfaceError, RedisError) as error:
            logger.warning("run %s goes on without its %s: %s", self.run.pk, name, error)
            if not isinstance(error, RedisError):
                connection.close()
            for each in self._due_s:
                self._due_s[each] = max(self._due_s[each], time.perf_counter() + AWAY_S)
            self._due_s[name] = time.perf_counter() + AWAY_S

    def _beat(self, state: engine.State) -> None:
        begun_s = time.perf_counter()
        cancel = beat(
            self.run,
            at=self.clock(),
            step_done=state.step,
            steps_retraced=self.steps_retraced,
            phase=self.run.phase,
        )
        self._beat_ms = (time.perf_counter() - begun_s) * 1000.0
        if cancel:
            raise CancelAsked
        self.run.steps_retraced = self.steps_retraced
        live.publish(self.run, live.numbers_now(state), self.eta_s(state))

    def _read(self, state: engine.State) -> None:
        assert self.run.account_id is not None  # opened with the claim
        try:
            monitoring.record_observation(
                account_id=self.run.account_id,
                node=self.node,
                observed_at=self.clock(),
                readings=readings_of(state),
                latency_ms=self._beat_ms,
                load=os.getloadavg()[0],
            )
        except (monitoring.AccountClosed, monitoring.AccountUnknown) as closed:
            # Only the end of a run closes its account: somebody else has ended it.
            raise LostClaim(str(closed)) from None

    def _save(self, state: engine.State) -> None:
        if self.run.phase == Run.Phase.INTEGRATE:
            save_checkpoint(self.run, state, wall_s=self.wall_s, saved_at=self.clock())

    def eta_s(self, state: engine.State) -> float | None:
        """Return the seconds left at the pace so far; ``None`` before there is one."""
        done = state.step - self._first_step
        if not done:
            return None
        # The last pass backwards costs half of what a step forwards and back has cost.
        passes = 1.5 if self.run.proof == Run.Proof.WHOLE else 1.0
        whole = passes * (self.run.steps - self._first_step)
        spent = done + 0.5 * self.steps_retraced
        pace_s = (time.perf_counter() - self._begun_s) / spent
        return max(0.0, (whole - spent) * pace_s)
