"""Files of bodies that people bring: checked and kept as they came, never altered."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath, PureWindowsPath
from uuid import UUID

from django.db import transaction

from simulation import own_bodies
from simulation.engine import BadRequest, Bodies, Scenario
from simulation.engine.bodies_csv import BadRows
from simulation.models import BodiesFile, Run
from simulation.quota import lock_quota
from tenants.errors import Conflict, Invalid, NotFound
from tenants.journal import Subject, note
from tenants.models import User

# Of 2 MiB each at most.
FILES_MAX = 100
_NAME_MAX = 80


class BodiesRefused(Invalid):
    """The file holds no bodies that can be simulated; ``sentences`` says why, line by line."""

    code = "bodies_refused"

    def __init__(self, sentences: tuple[str, ...], count: int) -> None:
        """Keep the sentences, and how many rows will not do."""
        super().__init__(sentences[0])
        self.sentences = sentences
        self.count = count


class BodiesFileUnknown(NotFound):
    """There is no such file in this tenant."""

    code = "bodies_file_unknown"


class BodiesFileInUse(Conflict):
    """Runs were made of the file."""

    code = "bodies_file_in_use"


class TooManyBodiesFiles(Conflict):
    """The tenant keeps as many files as it may."""

    code = "too_many_bodies_files"


@transaction.atomic
def upload_bodies(
    *, acting_user: User, name: str, content: bytes, units: str, uploaded_at: datetime
) -> BodiesFile:
    """Keep a CSV file of bodies and return it; the same file again is the one that is there.

    Raises ``BodiesRefused`` and ``TooManyBodiesFiles``. Reads every row, and looks at every pair.
    """
    bodies = _check(content, units)
    lock_quota("bodies_files")
    sha256 = own_bodies.sha256_of(content)
    known = BodiesFile.objects.filter(sha256=sha256, units=units).first()
    if known is not None:
        return known
    if BodiesFile.objects.count() >= FILES_MAX:
        raise TooManyBodiesFiles(
            f"This tenant keeps {FILES_MAX} files of bodies, which is all that it may. Delete one."
        )
    file = BodiesFile.objects.create(
        name=_plain_name(name),
        units=units,
        content=content,
        sha256=sha256,
        bodies=bodies,
        uploaded_at=uploaded_at,
    )
    note(
        who=acting_user,
        action="bodies.uploaded",
        subject=Subject("bodies", str(file.pk)),
        at=uploaded_at,
        after={"name": file.name, "units": units, "sha256": sha256, "bodies": bodies},
    )
    return file


def _check(content: bytes, units: str) -> int:
    """Return how many bodies can be simulated."""
    if len(content) > own_bodies.BYTES_MAX:
        raise _refused(f"The file is larger than {own_bodies.BYTES_MAX >> 20} MiB.")
    if units not in own_bodies.UNITS:
        raise _refused(f"The units are one of {', '.join(own_bodies.UNITS)}.")
    try:
        bodies = own_bodies.read(content, units, bodies_max=own_bodies.BODIES_MAX)
        own_bodies.check_apart(bodies)
        own_bodies.scenario_of(content, units)
    except BadRows as refusal:
        raise BodiesRefused(refusal.sentences, refusal.count) from None
    except BadRequest as refusal:
        raise _refused(str(refusal)) from None
    return len(bodies.names)


def _refused(sentence: str) -> BodiesRefused:
    return BodiesRefused((sentence,), 1)


def _plain_name(name: str) -> str:
    """Return the last part of a file's name, of letters that can be shown."""
    last = PureWindowsPath(PurePosixPath(name).name).name
    return "".join(c for c in last if c.isprintable())[:_NAME_MAX].strip() or "bodies.csv"


def find_bodies_file(file_id: UUID | str, *, lock: bool = False) -> BodiesFile:
    """Return a file, or raise ``BodiesFileUnknown``; with ``lock`` nobody deletes it meanwhile."""
    files = BodiesFile.objects.select_for_update() if lock else BodiesFile.objects.all()
    try:
        found = files.filter(pk=UUID(str(file_id))).first()
    except ValueError:
        found = None
    if found is None:
        raise BodiesFileUnknown("There is no such file of bodies here.")
    return found


def scenario_of_file(file: BodiesFile, softening_tu: float | None = None) -> Scenario:
    """Return what the engine makes of a kept file. Raises ``BadRequest`` for a softening that will
    not do.
    """
    return own_bodies.scenario_again(
        bytes(file.content), file.units, file.name, softening_tu or 0.0
    )


def bodies_of(file: BodiesFile) -> Bodies:
    """Return the bodies of a kept file, in N-body units."""
    return own_bodies.read(bytes(file.content), file.units)


def radii_of(file: BodiesFile) -> list[float] | None:
    """Return the radius of each body, where the file has any."""
    radius = bodies_of(file).radius
    return None if radius is None else radius.tolist()


@transaction.atomic
def delete_bodies(*, acting_user: User, file_id: UUID, deleted_at: datetime) -> None:
    """Delete a file of which no run was made. Raises ``BodiesFileUnknown``, ``BodiesFileInUse``."""
    file = find_bodies_file(file_id, lock=True)
    if Run.objects.filter(bodies_file=file).exists():
        raise BodiesFileInUse(
            f"Runs were made of {file.name}: they can be repeated with it alone, so it stays."
        )
    BodiesFile.objects.filter(pk=file.pk).delete()
    note(
        who=acting_user,
        action="bodies.deleted",
        subject=Subject("bodies", str(file.pk)),
        at=deleted_at,
        before={"name": file.name, "units": file.units, "sha256": file.sha256},
    )


@transaction.atomic
def record_bodies_download(*, acting_user: User, file: BodiesFile, downloaded_at: datetime) -> None:
    """Record that this person downloads a file of bodies."""
    note(
        who=acting_user,
        action="bodies.exported",
        subject=Subject("bodies", str(file.pk)),
        at=downloaded_at,
        after={"sha256": file.sha256},
    )
