"""Opening a round, and publishing what it came to; for the platform, inside no tenant."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import transaction

from conservation import paillier, totals, verify_totals
from conservation.paillier import PrivateKey, PublicKey
from conservation.totals import Silence
from monitoring.totals.laws import LAWS
from monitoring.totals.models import Participant, Posting, Publication, Round
from monitoring.totals.services.postings import RoundUnknown, lock_round
from tenants.context import public_context
from tenants.errors import Conflict
from tenants.journal import Subject, note, process
from tenants.models import Tenant

ANSWER_WITHIN = timedelta(minutes=30)


class RoundStillOpen(Conflict):
    """The last round is not published yet."""

    code = "round_still_open"


def open_round(*, private: PrivateKey, opened_at: datetime) -> Round:
    """Ask every tenant for its totals as of now. Raises ``RoundStillOpen``."""
    key = totals.publish_key(private)
    with public_context(), transaction.atomic():
        last = Round.objects.order_by("-number").first()
        if last is not None and not Publication.objects.filter(pk=last.number).exists():
            raise RoundStillOpen(f"Round {last.number} is not published yet.")
        Participant.objects.bulk_create(
            Participant(tenant=tenant, joined_at=opened_at)
            for tenant in Tenant.objects.exclude(pk__in=Participant.objects.values("tenant_id"))
        )
        round_ = Round.objects.create(
            number=last.number + 1 if last else 1,
            cut_off_at=opened_at,
            answer_by=opened_at + ANSWER_WITHIN,
            key=key,
        )
        note(
            who=process(),
            action="totals.round_opened",
            subject=Subject("round", str(round_.number)),
            at=opened_at,
            after={"key": key["id"]},
        )
    return round_


def publish_round(*, number: int, private: PrivateKey, published_at: datetime) -> Publication:
    """Add the ciphertexts, decrypt the two sums of each law, and publish them with their proofs.

    Who has not answered is named as silent. Publishing twice returns the first publication. The
    document is checked by the stranger's verifier before it is kept. Raises ``RoundUnknown``.
    """
    with public_context(), transaction.atomic():
        round_ = Round.objects.filter(number=number).first()
        if round_ is None:
            raise RoundUnknown(f"There is no round {number}.")
        lock_round(number)
        made = Publication.objects.filter(pk=number).first()
        if made is not None:
            return made
        document = _document(round_, private)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        verify_totals.check(verify_totals.load(text.encode()))
        publication = Publication.objects.create(
            round=round_,
            document=text,
            sha256=sha256(text.encode()).hexdigest(),
            verdict=document["verdict"],
            published_at=published_at,
        )
        note(
            who=process(),
            action="totals.published",
            subject=Subject("round", str(number)),
            at=published_at,
            after={"sha256": publication.sha256, "verdict": publication.verdict},
        )
    return publication


def _document(round_: Round, private: PrivateKey) -> dict[str, Any]:
    key = private.public
    has_key = key.key_id == round_.key["id"]
    earlier = Publication.objects.filter(pk=round_.number - 1).first()
    present = Participant.objects.filter(joined_at__lte=round_.cut_off_at)
    names = sorted(str(pk) for pk in present.values_list("pk", flat=True))
    rows = list(Posting.objects.filter(round=round_))
    held = _held_before(earlier, key)
    laws = []
    for law in LAWS:
        mine = {str(row.participant_id): row for row in rows if row.quantity == law.quantity}
        found = [_read(key, name, mine.get(name), held.get(law.quantity, {})) for name in names]
        if not has_key:
            found = [Silence(name, "the key of this round is lost") for name in names]
        laws.append(
            totals.publish_law(
                private,
                law,
                [each for each in found if isinstance(each, totals.Posting)],
                [each for each in found if isinstance(each, Silence)],
            )
        )
    return totals.publish_round(
        round_.key,
        number=round_.number,
        cut_off_at=round_.cut_off_at.isoformat(),
        previous={"round": earlier.pk, "sha256": earlier.sha256} if earlier else None,
        participants=names,
        laws=laws,
    )


def _held_before(earlier: Publication | None, key: PublicKey) -> dict[str, dict[str, str]]:
    """Return quantity -> participant -> what it posted as held, of the round before."""
    if earlier is None:
        return {}
    document = json.loads(earlier.document)
    if document["key"]["id"] != key.key_id:
        return {}
    return {
        law["quantity"]: {each["participant"]: each["now"] for each in law["postings"]}
        for law in document["laws"]
    }


def _read(
    key: PublicKey, name: str, row: Posting | None, held: dict[str, str]
) -> totals.Posting | Silence:
    """Return a row as a posting; what is not one counts as no answer, and spoils nobody's round."""
    if row is None:
        return Silence(name, "did not answer")
    if row.why:
        return Silence(name, f"does not know its total: {row.why}")
    if row.before != held.get(name, ""):
        return Silence(name, "does not go on from what it posted before")
    try:
        parts = {
            part: paillier.read_ciphertext(key, getattr(row, part)) if getattr(row, part) else None
            for part in ("before", "flux", "limit")
        }
        return totals.Posting(name, paillier.read_ciphertext(key, row.now), **parts)
    except paillier.Refused:
        return Silence(name, "posted something that is no ciphertext")
