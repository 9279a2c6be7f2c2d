"""Snapshots of a run in one append-only file, each chained to all before it.

    magic, then for each snapshot:  step (8 bytes), length (8), SHA-256 (32), a checkpoint (length)

all little-endian; each SHA-256 covers the one before (the first: of the magic), step, length and
checkpoint. A file that is torn, or of which a bit was changed, is refused with the snapshot at
which it breaks; those before it stay good. A snapshot reaches the disk before ``append`` returns.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from simulation.engine.checkpoints import from_bytes
from simulation.engine.errors import ArchiveDamaged, BadRequest, CheckpointDamaged
from simulation.engine.run_state import RunState

MAGIC = b"AII archive 1\n"
_WHOLE, _DIGEST = 8, 32
_HEAD = 2 * _WHOLE + _DIGEST


@dataclass(frozen=True)
class Snapshot:
    """Where a snapshot stands in the file. ``number`` counts from 1."""

    number: int
    step: int
    offset: int
    length: int
    digest: bytes


class Archive:
    """An archive that is open for appending; nobody else can append meanwhile.

    >>> with Archive.create("run.aii") as archive:  # doctest: +SKIP
    ...     archive.append(state)
    """

    def __init__(self, file: RawIOBase, path: Path, snapshots: list[Snapshot]) -> None:
        """Use ``create`` or ``open``."""
        self.path = path
        self.snapshots = snapshots
        self._file = file

    @classmethod
    def create(cls, path: str | Path) -> Archive:
        """Start a new file. Raises ``BadRequest`` where there is one, or none can be written."""
        path = Path(path)
        try:
            file = path.open("xb", buffering=0)
        except FileExistsError:
            raise BadRequest(f"{path} exists; nothing was overwritten. Name a new file.") from None
        except OSError as error:
            raise BadRequest(f"{path} cannot be written: {error.strerror}.") from None
        _lock(file, path)
        _write(file, MAGIC)
        return cls(file, path, [])

    @classmethod
    def open(cls, path: str | Path) -> Archive:
        """Open an archive that is whole. Raises ``ArchiveDamaged``, ``BadRequest``."""
        path = Path(path)
        try:
            file = path.open("r+b", buffering=0)
        except OSError as error:
            raise BadRequest(f"{path} cannot be opened: {error.strerror}.") from None
        _lock(file, path)
        try:
            snapshots = list_snapshots(path)
        except BaseException:
            file.close()
            raise
        file.seek(0, os.SEEK_END)
        return cls(file, path, snapshots)

    def append(self, state: RunState) -> None:
        """Add the state's snapshot and wait until it is on the disk.

        Where that fails (a full disk), what was written of it is taken away again.
        """
        payload = state.to_bytes()
        begun = self._file.tell()
        before = self.snapshots[-1].digest if self.snapshots else hashlib.sha256(MAGIC).digest()
        step, length = (n.to_bytes(_WHOLE, "little") for n in (state.step, len(payload)))
        digest = hashlib.sha256(before + step + length + payload).digest()
        try:
            _write(self._file, step + length + digest + payload)
        except OSError:
            self._file.truncate(begun)
            self._file.seek(begun)
            raise
        snapshot = Snapshot(
            len(self.snapshots) + 1, state.step, begun + _HEAD, len(payload), digest
        )
        self.snapshots.append(snapshot)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def list_snapshots(path: str | Path) -> list[Snapshot]:
    """Return all snapshots of an archive that is whole. Reads it all.

    Raises ``ArchiveDamaged`` with the snapshot at which it breaks, ``BadRequest`` for no archive.
    """
    path = Path(path)
    with _open_to_read(path) as file:
        return list(_snapshots(file, path))


def read_snapshot(path: str | Path, *, step: int | None = None) -> RunState:
    """Return the state of the last snapshot, or of the one at ``step``.

    With ``step``, what follows that snapshot is not looked at: a run whose archive was torn goes on
    from any snapshot before. Raises ``ArchiveDamaged``, ``BadRequest``.
    """
    path = Path(path)
    found: Snapshot | None = None
    steps = []
    with _open_to_read(path) as file:
        for snapshot in _snapshots(file, path):
            steps.append(snapshot.step)
            if step is None or snapshot.step == step:
                found = snapshot
            if found is not None and step is not None:
                break
        if found is None:
            have = ", ".join(str(known) for known in steps[:20]) or "none"
            raise BadRequest(f"{path} has no snapshot at step {step}; it has {have}.")
        file.seek(found.offset)
        payload = file.read(found.length)
    try:
        return from_bytes(payload)
    except CheckpointDamaged as damage:
        raise ArchiveDamaged(f"Snapshot {found.number} of {path}: {damage}") from damage


def _snapshots(file: BinaryIO, path: Path) -> Iterator[Snapshot]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise BadRequest(f"{path} is no archive of this engine.")
    before, number, last_step = hashlib.sha256(MAGIC).digest(), 0, -1
    while file.tell() < size:
        number += 1
        head = file.read(_HEAD)
        step, length = (int.from_bytes(head[at : at + _WHOLE], "little") for at in (0, _WHOLE))
        offset = file.tell()
        good = f"The snapshots before it are good; the last is at step {last_step}."
        if number == 1:
            good = "No snapshot before it is left."
        if len(head) < _HEAD or offset + length > size:
            raise ArchiveDamaged(
                f"{path} breaks at snapshot {number}: the file ends inside it. {good}"
            )
        found = hashlib.sha256(before + head[: 2 * _WHOLE])
        for begin in range(0, length, 1 << 20):
            found.update(file.read(min(1 << 20, length - begin)))
        before = found.digest()
        if before != head[2 * _WHOLE :]:
            raise ArchiveDamaged(
                f"{path} breaks at snapshot {number}: its checksum does not match. {good}"
            )
        last_step = step
        yield Snapshot(number, step, offset, length, before)
    if number == 0:
        raise ArchiveDamaged(f"{path} holds no snapshot.")


def _open_to_read(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from None


def _lock(file: RawIOBase, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise BadRequest(f"Another run is writing to {path}.") from None


def _write(file: RawIOBase, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) or 0 :]
    os.fsync(file.fileno())
