"""A round from its opening to its publication, with two tenants on the real database."""

from __future__ import annotations

import json

import pytest

from conservation import verify_totals
from monitoring.models import Account, Observation, OwnTotal
from monitoring.totals import services
from monitoring.totals.models import Participant, Posting, Publication, Round
from tenants.context import public_context, tenant_context
from tests.cast import NOON
from tests.totals.conftest import HOUR, SECOND, answer, close, open_account, read, run_round

pytestmark = pytest.mark.django_db
BOTH = ("acme", "globex")


def found(publication: Publication) -> dict:
    """What a stranger finds, by quantity."""
    answer = verify_totals.check(verify_totals.load(publication.document.encode()))
    return {law["quantity"]: law for law in answer["laws"]}


def verdicts(publication: Publication) -> dict[str, str]:
    return {name: law["verdict"] for name, law in found(publication).items()}


@pytest.fixture
def held(private):
    """Both tenants hold a run since before the first round."""
    for schema in BOTH:
        with tenant_context(schema):
            read(open_account(at=NOON - SECOND), at=NOON)
    assert set(verdicts(run_round(private, NOON)).values()) == {"UNKNOWN"}
    return private


def go_on(schema: str, at, **values) -> None:
    with tenant_context(schema):
        read(Account.objects.get(closed_at=None), at=at, **values)


class TestWhatIsFound:
    def test_a_first_round_begins_and_is_unknown(self, held):
        with public_context():
            document = json.loads(Publication.objects.get(pk=1).document)
        assert document["verdict"] == "UNKNOWN"
        assert all(len(law["postings"]) == 2 for law in document["laws"])

    def test_runs_that_keep_what_they_hold(self, held):
        for schema in BOTH:
            go_on(schema, NOON + HOUR, energy=-5e33 + 1e24)
        publication = run_round(held, NOON + HOUR)
        assert verdicts(publication) == {
            "energy": "BOUNDED",
            "momentum": "CONSERVED",
            "information": "CONSERVED",
        }
        assert publication.verdict == "BOUNDED"
        assert found(publication)["momentum"]["balance"] == "0"
        assert found(publication)["momentum"]["limit"] == "0"

    @pytest.mark.parametrize(
        "change",
        [
            {"momentum": 1.25e20 + 16384},  # The next double.
            {"information": 4095.0},
            {"energy": -5e33 + 5e25},
            {"momentum": -1.25e20},
        ],
    )
    def test_a_holding_that_changed_without_a_flux_is_violated(self, held, change):
        go_on("acme", NOON + HOUR, **change)
        go_on("globex", NOON + HOUR)
        publication = run_round(held, NOON + HOUR)
        assert publication.verdict == "VIOLATED"
        assert verdicts(publication)[next(iter(change))] == "VIOLATED"
        assert list(verdicts(publication).values()).count("VIOLATED") == 1

    def test_a_run_that_broke_its_law_and_ended_is_violated(self, held):
        with tenant_context("acme"):
            account = Account.objects.get()
            read(account, at=NOON + SECOND, momentum=1.26e20, momentum_verdict="VIOLATED")
            close(account, NOON + SECOND)
        go_on("globex", NOON + HOUR)
        assert verdicts(run_round(held, NOON + HOUR))["momentum"] == "VIOLATED"

    def test_runs_that_come_and_go_are_declared(self, held):
        with tenant_context("acme"):
            old = Account.objects.get()
            read(old, at=NOON + SECOND)
            close(old, NOON + 2 * SECOND)
            new = open_account("8", at=NOON + SECOND)
            read(new, at=NOON + SECOND, momentum=3.0, energy=-7.0, information=64.0)
            read(new, at=NOON + HOUR, momentum=3.0, energy=-7.0, information=64.0)
            brief = open_account("9", at=NOON + SECOND)
            read(brief, at=NOON + SECOND, momentum=9.0, energy=1.0, information=8.0)
            close(brief, NOON + 3 * SECOND)
        go_on("globex", NOON + HOUR)
        assert run_round(held, NOON + HOUR).verdict == "BOUNDED"

    def test_an_account_that_vanished_is_violated(self, held):
        with tenant_context("acme"):
            Observation.objects.all().delete()
            Account.objects.all().delete()
        go_on("globex", NOON + HOUR)
        assert set(verdicts(run_round(held, NOON + HOUR)).values()) == {"VIOLATED"}

    def test_what_one_gives_another_takes(self, held):
        go_on("acme", NOON + HOUR, information=4000.0)
        go_on("globex", NOON + HOUR, information=4192.0)
        assert verdicts(run_round(held, NOON + HOUR))["information"] == "CONSERVED"

    def test_tenants_that_hold_nothing_are_conserved(self, private):
        run_round(private, NOON)
        assert set(verdicts(run_round(private, NOON + HOUR)).values()) == {"CONSERVED", "BOUNDED"}


class TestWhoDoesNotAnswer:
    def test_silence_makes_it_unknown_and_the_next_round_begins_anew(self, held):
        for schema in BOTH:
            go_on(schema, NOON + HOUR)
        publication = run_round(held, NOON + HOUR, schemas=["acme"])
        assert set(verdicts(publication).values()) == {"UNKNOWN"}
        assert found(publication)["energy"]["silent"] == 1
        for schema in BOTH:
            go_on(schema, NOON + 2 * HOUR)
        publication = run_round(held, NOON + 2 * HOUR)
        assert found(publication)["energy"]["began"] == 1
        assert publication.verdict == "BOUNDED"

    def test_a_silent_account_makes_its_tenants_total_unknown(self, held):
        go_on("globex", NOON + HOUR)
        publication = run_round(held, NOON + HOUR)
        assert set(verdicts(publication).values()) == {"UNKNOWN"}
        assert "stopped reporting" in publication.document

    def test_one_quantity_may_be_unknown_alone(self, held):
        go_on("acme", NOON + HOUR, information=None)
        go_on("globex", NOON + HOUR)
        assert verdicts(run_round(held, NOON + HOUR)) == {
            "energy": "BOUNDED",
            "momentum": "CONSERVED",
            "information": "UNKNOWN",
        }

    def test_a_number_out_of_range_is_unknown(self, held):
        go_on("acme", NOON + HOUR, energy=1e200)
        go_on("globex", NOON + HOUR)
        assert verdicts(run_round(held, NOON + HOUR))["energy"] == "UNKNOWN"

    def test_readings_that_are_no_longer_kept(self, held):
        with tenant_context("acme"):
            Observation.objects.all().delete()
        go_on("globex", NOON + HOUR)
        publication = run_round(held, NOON + HOUR)
        assert publication.verdict == "UNKNOWN"
        assert "no longer kept" in publication.document


class TestHostileRows:
    """A tenant's role may insert what it likes as its own posting: it spoils nobody else's."""

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"now": "zz"}, "no ciphertext"),
            ({"now": "0" * 1024}, "no ciphertext"),
            ({"flux": ""}, "no ciphertext"),
            ({"limit": "f" * 1024}, "no ciphertext"),
            ({"before": "1" * 1024}, "does not go on"),
            ({"before": "", "flux": "", "limit": ""}, "does not go on"),
        ],
    )
    def test_what_is_no_posting_counts_as_silence(self, held, change, why):
        for schema in BOTH:
            go_on(schema, NOON + HOUR)
        round_ = services.open_round(private=held, opened_at=NOON + HOUR)
        answer("globex", round_.number)
        with tenant_context("acme"):
            mine = Participant.objects.get()
            last = Posting.objects.get(participant=mine, quantity="energy")
            fields = {"before": last.now, "now": last.now, "flux": last.now, "limit": last.now}
            Posting.objects.create(
                round=round_,
                participant=mine,
                quantity="energy",
                posted_at=NOON,
                **{**fields, **change},
            )
        publication = services.publish_round(
            number=round_.number, private=held, published_at=NOON + HOUR
        )
        law = found(publication)["energy"]
        assert (law["silent"], law["compared"], law["verdict"]) == (1, 1, "UNKNOWN")
        assert why in publication.document

    def test_a_number_that_may_not_be_posted_is_a_problem_and_unknown(self, held):
        key = held.public
        round_ = services.open_round(private=held, opened_at=NOON + HOUR)
        for schema in BOTH:
            go_on(schema, NOON + HOUR)
        answer("globex", round_.number)
        with tenant_context("acme"):
            mine = Participant.objects.get()
            last = Posting.objects.get(participant=mine, quantity="energy")
            huge = int((1 + key.n // 3 * key.n) % key.n_squared)
            digits = format(huge, f"0{key.hex_digits}x")
            Posting.objects.create(
                round=round_,
                participant=mine,
                quantity="energy",
                posted_at=NOON,
                before=last.now,
                now=digits,
                flux=last.now,
                limit=last.now,
            )
        publication = services.publish_round(
            number=round_.number, private=held, published_at=NOON + HOUR
        )
        law = found(publication)["energy"]
        assert law["verdict"] == "UNKNOWN"
        assert "out of range" in law["problem"]


class TestRules:
    def test_answering_and_publishing_twice_change_nothing(self, held):
        round_ = services.open_round(private=held, opened_at=NOON + HOUR)
        first = answer("acme", round_.number)
        again = answer("acme", round_.number)
        assert {each.pk for each in first} == {each.pk for each in again}
        one = services.publish_round(number=2, private=held, published_at=NOON)
        two = services.publish_round(number=2, private=held, published_at=NOON + HOUR)
        assert (one.document, one.published_at) == (two.document, two.published_at)

    def test_no_answer_after_publication(self, held):
        round_ = services.open_round(private=held, opened_at=NOON + HOUR)
        services.publish_round(number=round_.number, private=held, published_at=NOON)
        with pytest.raises(services.RoundClosed):
            answer("acme", round_.number)
        with tenant_context("acme"):
            assert not OwnTotal.objects.filter(round_number=2).exists()
            assert not Posting.objects.filter(round_id=2).exists()

    def test_one_round_at_a_time(self, private):
        services.open_round(private=private, opened_at=NOON)
        with pytest.raises(services.RoundStillOpen):
            services.open_round(private=private, opened_at=NOON + HOUR)
        with public_context():
            assert Round.objects.count() == 1

    def test_there_is_no_such_round(self, private):
        with pytest.raises(services.RoundUnknown):
            answer("acme", 99)
        with pytest.raises(services.RoundUnknown):
            services.publish_round(number=99, private=private, published_at=NOON)

    def test_another_key_begins_anew(self, held):
        from conservation import paillier

        other = paillier.generate_key()
        for schema in BOTH:
            go_on(schema, NOON + HOUR)
        publication = run_round(other, NOON + HOUR)
        assert publication.verdict == "UNKNOWN"
        assert found(publication)["energy"]["began"] == 2

    def test_a_lost_key_ends_the_round_as_unknown(self, held):
        from conservation import paillier

        round_ = services.open_round(private=held, opened_at=NOON + HOUR)
        for schema in BOTH:
            go_on(schema, NOON + HOUR)
            answer(schema, round_.number)
        publication = services.publish_round(
            number=round_.number, private=paillier.generate_key(), published_at=NOON
        )
        assert publication.verdict == "UNKNOWN"
        assert "the key of this round is lost" in publication.document

    def test_rounds_follow_each_other(self, held):
        for schema in BOTH:
            go_on(schema, NOON + HOUR)
        later = run_round(held, NOON + HOUR)
        with public_context():
            earlier = Publication.objects.get(pk=1)
        verify_totals.check_chain(
            json.loads(later.document), json.loads(earlier.document), earlier.document.encode()
        )


class TestTheLog:
    def test_a_posting_commits_its_ciphertexts_in_the_tenants_log(self, held):
        from audit.models import Entry

        with tenant_context("acme"):
            assert Entry.objects.filter(action="totals.posted").count() == 1
        with public_context():
            actions = set(Entry.objects.values_list("action", flat=True))
        assert {"totals.round_opened", "totals.published"} <= actions
