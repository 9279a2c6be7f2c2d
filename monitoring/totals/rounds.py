"""What has to be done next for the rounds: decided by the clock and by who has answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from monitoring.services import open_alert
from monitoring.totals import services
from monitoring.totals.keyfile import load_key
from monitoring.totals.models import Opening, Participant, Posting, Publication, Round, Verdict
from monitoring.totals.services.openings import list_drawn
from tenants.context import public_context, tenant_context
from tenants.selectors import list_schemas

Request = tuple[str, str, int]


def keep(now: datetime, every_s: float) -> list[Request]:
    """Open or publish what is due; return (schema, task, round) for what tenants have to do."""
    round_, publication = newest()
    if round_ is not None and publication is None:
        waiting = list_waiting(round_)
        if waiting and now < round_.answer_by:
            return [(schema, "totals.post", round_.number) for schema in waiting]
        publication = publish(round_.number, now)
    if round_ is None or (every_s and now - round_.cut_off_at >= timedelta(seconds=every_s)):
        if not every_s:
            return []
        number = services.open_round(private=load_key(), opened_at=now).number
        return [(schema, "totals.post", number) for schema in list_schemas()]
    assert publication is not None
    return [
        (schema, "totals.check_openings", round_.number) for schema in list_unopened(publication)
    ]


def newest() -> tuple[Round | None, Publication | None]:
    """Return the newest round, and its publication once there is one."""
    with public_context():
        round_ = Round.objects.order_by("-number").first()
        if round_ is None:
            return None, None
        return round_, Publication.objects.filter(pk=round_.number).select_related("round").first()


def publish(number: int, now: datetime) -> Publication:
    """Publish a round; where it is violated, every tenant gets an alert."""
    publication = services.publish_round(number=number, private=load_key(), published_at=now)
    if publication.verdict == Verdict.VIOLATED:
        for schema in list_schemas():
            with tenant_context(schema):
                open_alert(
                    severity="critical",
                    title="A quantity is not conserved across tenants",
                    detail=f"Round {number} of the audit over encrypted totals found a difference "
                    "that no declared source or sink explains.",
                    quantity="",
                    value=None,
                    limit=None,
                    unit="",
                    subject_url=f"/totals/?round={number}",
                    dedupe_key=f"totals:{number}",
                    opened_at=now,
                )
    return publication


def list_waiting(round_: Round) -> list[str]:
    """Return the schemas of the tenants that have not answered a round."""
    with public_context():
        answered = Posting.objects.filter(round=round_).values("participant_id")
        waiting = Participant.objects.filter(joined_at__lte=round_.cut_off_at)
        return list(waiting.exclude(pk__in=answered).values_list("tenant__schema_name", flat=True))


def list_unopened(publication: Publication) -> list[str]:
    """Return the schemas of the tenants whose drawn postings have not been compared yet."""
    with public_context():
        return sorted(_unopened(publication))


def _unopened(publication: Publication) -> Iterator[str]:
    opened = Opening.objects.filter(posting__round_id=publication.pk)
    done = {(str(p), q) for p, q in opened.values_list("participant_id", "posting__quantity")}
    left = {name for name, quantity in list_drawn(publication) - done}
    rows = Participant.objects.filter(pk__in=left)
    yield from rows.values_list("tenant__schema_name", flat=True)
