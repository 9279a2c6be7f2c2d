"""Running a sequencer as long as a process lives: rounds, restarts, what it knows of itself.

Whatever goes wrong ends the sequencer's session; the next one begins from what the database holds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from django.conf import settings

from audit import anchors
from audit.database import connect
from audit.sequencer import LogBroken, OtherSequencer, Round, Sequencer
from audit.signing import KeyUnusable, SigningKeys, key_path, make_key, publish_keys, read_keys

logger = logging.getLogger(__name__)

EVERY_S = 0.3
REFRESH_S = 2.0
PARTITIONS_S = 3600.0
ANCHORS_S = 60.0
AGAIN_S = 1.0
# A writing transaction that is open for so long keeps signed heads from everybody: somebody looks.
FROZEN_S = 5.0


@dataclass
class Status:
    """How the sequencer is; replaced as a whole, so other threads read a consistent one."""

    is_working: bool = False
    # The age of the oldest entry that waits for its place.
    waiting_s: float = 0.0
    trouble: str = ""

    @property
    def is_frozen(self) -> bool:
        """Whether an open transaction holds entries back for too long."""
        return self.waiting_s > FROZEN_S


def prepare_keys() -> None:
    """Make the log's first key, where no head was ever signed. Raises ``KeyUnusable``."""
    if key_path().exists():
        return
    with connect("aii-sequencer") as connection:
        found = connection.execute("SELECT 1 FROM public.audit_checkpoint LIMIT 1").fetchone()
    if found:
        raise KeyUnusable(
            f"The log has signed heads, and the key file {key_path()} is missing. Put it back."
        )
    make_key(settings.AII_LOG_NAME, datetime.now(UTC))
    logger.info("the log's signing key was made: keep a copy of %s", key_path())


class KeyFile:
    """The keys of the file, read again when it changes: a rotation needs no restart."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._keys: SigningKeys | None = None

    def __call__(self) -> SigningKeys:
        """Return the keys as they are now."""
        found = key_path().stat()
        seen = (found.st_mtime_ns, found.st_ino)
        if self._keys is None or seen != self._seen:
            self._keys, self._seen = read_keys(key_path()), seen
            publish_keys(self._keys)
        return self._keys


class Sequencing:
    """The loop. ``status`` may be read from other threads."""

    def __init__(self, *, at_point: Callable[[str], None] = lambda point: None) -> None:
        self.status = Status()
        self._at_point = at_point
        self._begun_s = time.monotonic()
        self._late: list[str] = []

    def run(self, stopped: threading.Event) -> None:
        """Place entries until told to stop."""
        while not stopped.is_set():
            try:
                prepare_keys()
                sequencer = Sequencer(KeyFile(), at_point=self._at_point)
                try:
                    self._work(sequencer, stopped)
                finally:
                    sequencer.close()
            except OtherSequencer as other:
                self._report(Status(trouble=str(other)))
            except (LogBroken, KeyUnusable) as trouble:
                self._report(Status(trouble=str(trouble)))
            except (psycopg.Error, OSError) as trouble:
                self._report(Status(trouble=f"{type(trouble).__name__}: {trouble}"))
            stopped.wait(AGAIN_S)
        self.status = Status()

    def _work(self, sequencer: Sequencer, stopped: threading.Event) -> None:
        refreshed_s = time.monotonic()
        partitions_s = -PARTITIONS_S
        anchors_s = -ANCHORS_S
        while not stopped.is_set():
            now_s = time.monotonic()
            if now_s - refreshed_s >= REFRESH_S:
                sequencer.refresh()
                refreshed_s = now_s
            if now_s - partitions_s >= PARTITIONS_S:
                sequencer.make_partitions()
                partitions_s = now_s
            if now_s - anchors_s >= ANCHORS_S:
                self._look_for_gap(now_s)
                anchors_s = now_s
            done = sequencer.round()
            self._after(done)
            if not done.is_behind:
                stopped.wait(max(0.0, EVERY_S - (time.monotonic() - now_s)))

    def _look_for_gap(self, now_s: float) -> None:
        # After a night switched off the scheduler gets its time to catch up.
        if now_s - self._begun_s >= anchors.LATE.total_seconds():
            with connect("aii-sequencer") as connection:
                self._late = anchors.late_ways(connection, datetime.now(UTC))

    def _after(self, done: Round) -> None:
        if done.checkpoint:
            anchors.keep_head(done.checkpoint)
            self._at_point("kept")
        trouble = ""
        if done.waiting_s > FROZEN_S:
            trouble = f"An open transaction holds entries back for {done.waiting_s:.0f} s."
        elif self._late:
            hours, ways = anchors.LATE.total_seconds() / 3600, ", ".join(self._late)
            trouble = f"No head of the log was anchored for {hours:.0f} hours ({ways})."
        self._report(Status(is_working=True, waiting_s=done.waiting_s, trouble=trouble))

    def _report(self, status: Status) -> None:
        if bool(status.trouble) != bool(self.status.trouble):
            logger.warning("%s", status.trouble or "The log's sequencer works again.")
        self.status = status
