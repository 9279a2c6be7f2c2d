"""Reads for the page: one round as a tenant may see it, and the rounds before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from monitoring.models import Verdict
from monitoring.totals.laws import LAWS
from monitoring.totals.models import Opening, Posting, Publication, Round
from monitoring.totals.services.openings import list_drawn
from monitoring.totals.services.postings import RoundUnknown, find_participant
from tenants.context import public_context


@dataclass(frozen=True)
class LawRow:
    """One law of a round, as the page shows it; numbers in units."""

    quantity: str
    unit: str
    verdict: str
    balance: float | None
    limit: float | None
    compared: int
    began: int
    silent: int
    why: str


@dataclass(frozen=True)
class RoundPage:
    """A round, and what this tenant did in it."""

    round: Round
    publication: Publication | None
    verdict: str
    sentence: str
    laws: list[LawRow]
    participants: int
    pseudonym: str
    answered: bool
    drawn: int
    opened: int
    agreed: int
    own_drawn: list[str]
    own_openings: list[Opening]

    @property
    def unknown(self) -> list[tuple[str, list[str]]]:
        """Why laws are not known to hold: each reason once, with its quantities."""
        reasons: dict[str, list[str]] = {}
        for law in self.laws:
            if law.why:
                reasons.setdefault(law.why, []).append(law.quantity)
        return list(reasons.items())


def list_publications() -> QuerySet[Publication]:
    """Return the published rounds without their documents, the newest first."""
    return Publication.objects.select_related("round").defer("document").order_by("-pk")


def get_publication(number: int) -> Publication:
    """Return a published round with its document; raise ``RoundUnknown``."""
    publication = Publication.objects.select_related("round").filter(pk=number).first()
    if publication is None:
        raise RoundUnknown(f"There is no published round {number}.")
    return publication


def find_page(number: int | None) -> RoundPage | None:
    """Return a round, or the newest; None before the first. Raises ``RoundUnknown``."""
    rounds = Round.objects.order_by("-number")
    if number is not None:
        rounds = rounds.filter(number=number)
    round_ = rounds.first()
    if round_ is None:
        if number is None:
            return None
        raise RoundUnknown(f"There is no round {number}.")
    publication = Publication.objects.filter(pk=round_.number).first()
    document = json.loads(publication.document) if publication else {"laws": [], "participants": []}
    laws = [_row(law) for law in document["laws"]]
    me = find_participant()
    pseudonym = str(me.pk) if me else ""
    drawn = list_drawn(publication) if publication else set()
    opened, agreed = _count_openings(round_)
    verdict = publication.verdict if publication else Verdict.UNKNOWN
    return RoundPage(
        round=round_,
        publication=publication,
        verdict=str(verdict),
        sentence=_sentence(round_, publication, len(document["participants"])),
        laws=laws,
        participants=len(document["participants"]),
        pseudonym=pseudonym,
        answered=Posting.objects.filter(round=round_, participant=me).exists(),
        drawn=len(drawn),
        opened=opened,
        agreed=agreed,
        own_drawn=sorted(quantity for name, quantity in drawn if name == pseudonym),
        own_openings=list(
            Opening.objects.filter(posting__round=round_, participant=me)
            .select_related("posting")
            .order_by("posting__quantity")
        ),
    )


def _count_openings(round_: Round) -> tuple[int, int]:
    # Over the fence on purpose: how many agreed is published, whose they are is not.
    with public_context():
        found = Opening.objects.filter(posting__round=round_).values_list("agrees", flat=True)
        return len(found), sum(found)


def _sentence(round_: Round, publication: Publication | None, participants: int) -> str:
    if publication is None:
        return f"Round {round_.number} waits for the tenants' answers"
    if publication.verdict == Verdict.VIOLATED:
        return "A quantity is not conserved across tenants"
    if publication.verdict == Verdict.UNKNOWN:
        return "It is not known whether every quantity is conserved across tenants"
    plural = "tenant" if participants == 1 else "tenants"
    return f"Every audited quantity is conserved across {participants} {plural}"


def _row(law: dict[str, Any]) -> LawRow:
    known = {each.quantity: each for each in LAWS}.get(law["quantity"])
    compared = sum(each["before"] is not None for each in law["postings"])
    balance, limit = law["balance"], law["limit"]
    return LawRow(
        quantity=law["quantity"],
        unit=law["unit"],
        verdict=law["verdict"],
        balance=known.to_float(int(balance["sum"])) if known and balance else None,
        limit=known.to_float(int(limit["sum"])) if known and limit else None,
        compared=compared,
        began=len(law["postings"]) - compared,
        silent=len(law["silent"]),
        why=_why(law, compared),
    )


def _why(law: dict[str, Any], compared: int) -> str:
    """Return why a law is not known to hold; nothing where it was judged."""
    if law["verdict"] != Verdict.UNKNOWN:
        return ""
    if law["problem"]:
        return f"{law['problem'][0].upper()}{law['problem'][1:]}."
    if law["silent"]:
        reasons = sorted({each["why"] for each in law["silent"]})
        return f"Without an answer that counts: {'; '.join(reasons)}."
    return "Nothing to compare with yet: this round is a beginning." if not compared else ""
