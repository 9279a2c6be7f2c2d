"""Commit, then open: postings drawn after publication are compared with the tenant's readings.

The draw is fixed by the hash of the published document, which is fixed by all ciphertexts: nobody
knows while posting whether it will be drawn. The check happens inside the tenant, under its role.
What leaves the tenant is whether it agreed. The number and its randomness, which are one secret,
are shown to the tenant's own auditors, who can check the ciphertext with them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import islice

from django.db import transaction

from conservation import draw_accounts, paillier
from conservation.paillier import PublicKey, Sealed
from monitoring.models import OwnTotal
from monitoring.totals.holdings import TotalUnknown, hold
from monitoring.totals.laws import LAWS
from monitoring.totals.models import Opening, Posting, Publication, Round
from monitoring.totals.services.postings import RoundUnknown, find_participant
from tenants.errors import NotFound
from tenants.journal import Subject, note, process
from tenants.models import User

DRAWN_SHARE = 5
DRAWN_MIN, DRAWN_MAX = 2, 200


class NotDrawn(NotFound):
    """None of this tenant's totals was drawn in this round."""

    code = "not_drawn"


@dataclass(frozen=True)
class Opened:
    """A total of this tenant in plain, with what proves it: for its auditors alone."""

    quantity: str
    unit: str
    quantum: str
    value: int
    randomness: str
    ciphertext: str


def list_drawn(publication: Publication) -> set[tuple[str, str]]:
    """Return the (participant, quantity) pairs that are to be opened: a fifth, at least two."""
    document = json.loads(publication.document)
    pairs = sorted(
        (each["participant"], law["quantity"])
        for law in document["laws"]
        for each in law["postings"]
    )
    if not pairs:
        return set()
    count = max(DRAWN_MIN, min(DRAWN_MAX, -(-len(pairs) // DRAWN_SHARE)))
    seed = int(sha256(f"aii/totals/draw/1 {publication.sha256}".encode()).hexdigest(), 16)
    return {pairs[i] for i in islice(draw_accounts(len(pairs), seed), count)}


def check_openings(*, number: int, opened_at: datetime) -> list[Opening]:
    """Open this tenant's drawn postings, compare them with its readings, and say what was found.

    Raises ``RoundUnknown`` before publication. Doing it twice changes nothing.
    """
    publication = _publication(number)
    openings = []
    for posting in _own_drawn(publication):
        if Opening.objects.filter(posting=posting).exists():
            continue
        why = _disagreement(posting, publication.round)
        with transaction.atomic():
            opening = Opening.objects.create(
                posting=posting,
                participant=posting.participant,
                agrees=not why,
                why=why,
                opened_at=opened_at,
            )
            note(
                who=process(),
                action="totals.opening_checked",
                subject=Subject("round", str(number)),
                at=opened_at,
                after={"quantity": posting.quantity, "agrees": not why, "why": why},
            )
        openings.append(opening)
    return openings


@transaction.atomic
def show_openings(*, acting_user: User, number: int, shown_at: datetime) -> list[Opened]:
    """Return this tenant's drawn totals in plain for one of its auditors; the log says who looked.

    Raises ``RoundUnknown`` and ``NotDrawn``.
    """
    publication = _publication(number)
    postings = _own_drawn(publication)
    if not postings:
        raise NotDrawn(f"None of this tenant's totals was drawn in round {number}.")
    key = paillier.read_public_key(publication.round.key["n"])
    opened = []
    for posting in postings:
        sealed = _own_sealed(posting, key)
        law = next(law for law in LAWS if law.quantity == posting.quantity)
        opened.append(
            Opened(
                quantity=posting.quantity,
                unit=law.unit,
                quantum=law.quantum,
                value=sealed.value,
                randomness=format(sealed.randomness(key), "x"),
                ciphertext=posting.now,
            )
        )
    note(
        who=acting_user,
        action="totals.openings_read",
        subject=Subject("round", str(number)),
        at=shown_at,
        after={"quantities": [each.quantity for each in opened]},
    )
    return opened


def _publication(number: int) -> Publication:
    publication = Publication.objects.select_related("round").filter(pk=number).first()
    if publication is None:
        raise RoundUnknown(f"There is no published round {number}.")
    return publication


def _own_drawn(publication: Publication) -> list[Posting]:
    participant = find_participant()
    if participant is None:
        return []
    mine = [quantity for name, quantity in list_drawn(publication) if name == str(participant.pk)]
    rows = Posting.objects.filter(
        round_id=publication.pk, participant=participant, quantity__in=mine
    )
    return list(rows.order_by("quantity"))


def _own_sealed(posting: Posting, key: PublicKey) -> Sealed:
    own = OwnTotal.objects.get(round_number=posting.round_id, quantity=posting.quantity)
    ciphertext = paillier.read_ciphertext(key, posting.now)
    return Sealed(ciphertext, int(own.numbers["now"]), int(own.exponents["now"], 16))


def _disagreement(posting: Posting, round_: Round) -> str:
    """Return what is wrong with a drawn posting, nothing where it agrees with the readings."""
    key = paillier.read_public_key(round_.key["n"])
    law = next(law for law in LAWS if law.quantity == posting.quantity)
    rows = OwnTotal.objects.filter(quantity=posting.quantity, key_id=key.key_id)
    if not rows.filter(round_number=round_.number).exists():
        return "what opens the ciphertext is not kept"
    sealed = _own_sealed(posting, key)
    try:
        paillier.verify_value(key, sealed.ciphertext, sealed.value, sealed.randomness(key))
    except paillier.Refused:
        return "the ciphertext does not hold the number that was kept"
    try:
        now = hold(law, round_.cut_off_at, rows.filter(round_number=round_.number - 1).first()).now
    except TotalUnknown as unknown:
        return f"the readings do not tell the total any more: {unknown}"
    return "" if now == sealed.value else "the readings give another total"
