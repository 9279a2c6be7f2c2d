"""Acts that two people have to want: asked for by one, decided by another, done once."""

from __future__ import annotations

import datetime
import threading

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.encryption.services import destroy_key
from simulation.models import RunsQuota
from simulation.quota import get_runs_active_max
from simulation.selectors import list_quotas
from simulation.services import QuotaChanged, QuotaOutOfRange, ask_for_quota
from tenants import selectors
from tenants.approvals import selectors as approvals
from tenants.approvals import services
from tenants.approvals.kinds import KINDS
from tenants.approvals.models import ApprovalRequest
from tenants.context import tenant_context
from tenants.models import Membership
from tenants.permissions import NotYours, PermissionDenied
from tests.cast import NOON

State = ApprovalRequest.State
DAY = datetime.timedelta(days=1)


@pytest.fixture
def member(in_acme):
    """Return a function that gives a person's membership of acme."""
    return lambda person: selectors.find_membership(person, in_acme)


@pytest.fixture
def asked(member, operator):
    """The operator asks for eight runs at once."""
    return ask(member(operator))


def ask(membership, active_max=8, reason="A larger study.", at=NOON):
    return ask_for_quota(
        membership=membership, active_max=active_max, reason=reason, requested_at=at
    )


def approve(membership, request, at=NOON, seen=None):
    return services.approve(
        membership=membership,
        request_id=request.pk,
        seen_sha256=request.parameters_sha256 if seen is None else seen,
        approved_at=at,
    )


def state_of(request) -> str:
    return ApprovalRequest.objects.get(pk=request.pk).state


def test_what_an_owner_approves_is_done_and_says_who_did_what(asked, member, owner, operator):
    assert get_runs_active_max() == 4
    done = approve(member(owner), asked, at=NOON + DAY)

    assert get_runs_active_max() == 8
    assert (done.state, done.decided_by_email) == (State.APPROVED, owner.email)
    assert done.requested_by_email == operator.email
    assert (done.outcome_label, done.outcome_url) == ("8 runs at once", "/quotas/")
    ((granted, by),) = list_quotas()
    assert (by, granted.approval_id) == (owner.email, asked.pk)


def test_words_and_addresses_are_sealed_for_who_said_them(asked, member, operator, owner):
    services.decline(membership=member(owner), request_id=asked.pk, declined_at=NOON, note="No.")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reason || requested_by_email, note || decided_by_email"
            " FROM approvals_approvalrequest"
        )
        raw = b"".join(map(bytes, cursor.fetchone()))
    for words in ("A larger study.", "No.", operator.email, owner.email):
        assert words.encode() not in raw
    destroy_key(f"person:{operator.pk}", destroyed_by="tests", reason="Article 17", at=NOON)
    left = ApprovalRequest.objects.get()
    assert (str(left.reason), str(left.requested_by_email)) == ("erased", "erased")
    assert (left.note, left.decided_by_email) == ("No.", owner.email)


def test_the_database_refuses_a_request_without_a_reason(asked):
    with pytest.raises(IntegrityError, match="approval_says_why"), transaction.atomic():
        ApprovalRequest(
            kind=asked.kind,
            parameters_text=asked.parameters_text,
            requested_at=NOON,
            requested_by_id=asked.requested_by_id,
            requested_by_email="x@acme.example",
            expires_at=NOON + DAY,
        ).save()


def test_a_second_approval_does_nothing(asked, member, owner):
    approve(member(owner), asked)
    with pytest.raises(services.NotWaiting):
        approve(member(owner), asked)
    assert RunsQuota.objects.count() == 1


class TestWhoAsksDoesNotDecide:
    def test_an_operator_may_not_approve(self, asked, member, operator):
        with pytest.raises(PermissionDenied):
            approve(member(operator), asked)
        assert state_of(asked) == State.WAITING

    def test_nor_an_operator_who_became_an_owner_since(self, asked, member, operator):
        promoted = member(operator)
        promoted.role = Membership.Role.OWNER
        for act in (
            lambda: approve(promoted, asked),
            lambda: services.decline(
                membership=promoted, request_id=asked.pk, declined_at=NOON, note="No."
            ),
        ):
            with pytest.raises(NotYours):
                act()
        assert state_of(asked) == State.WAITING
        assert RunsQuota.objects.count() == 0

    def test_and_the_table_itself_refuses_it(self, asked, operator):
        for state in (State.APPROVED, State.DECLINED):
            with pytest.raises(IntegrityError), transaction.atomic():
                ApprovalRequest.objects.filter(pk=asked.pk).update(
                    state=state, decided_by=operator.pk, decided_at=NOON
                )
        assert state_of(asked) == State.WAITING

    @pytest.mark.parametrize("role", ["owner", "auditor", "viewer"])
    def test_only_who_may_ask_asks(self, role, member, request):
        with pytest.raises(PermissionDenied):
            ask(member(request.getfixturevalue(role)))
        assert not ApprovalRequest.objects.exists()


class TestDecline:
    def decline(self, membership, request, note="Not this week.", at=NOON):
        return services.decline(
            membership=membership, request_id=request.pk, declined_at=at, note=note
        )

    def test_closes_the_request_and_does_nothing(self, asked, member, owner):
        done = self.decline(member(owner), asked)
        assert (done.state, done.note) == (State.DECLINED, "Not this week.")
        assert get_runs_active_max() == 4
        with pytest.raises(services.NotWaiting):
            approve(member(owner), asked)

    def test_needs_a_reason(self, asked, member, owner):
        with pytest.raises(services.ReasonMissing):
            self.decline(member(owner), asked, note="  ")
        assert state_of(asked) == State.WAITING


class TestWithdraw:
    def test_is_for_the_person_who_asked(self, asked, member, operator, owner):
        with pytest.raises(services.NotYourRequest):
            services.withdraw(membership=member(owner), request_id=asked.pk, withdrawn_at=NOON)
        assert state_of(asked) == State.WAITING
        services.withdraw(membership=member(operator), request_id=asked.pk, withdrawn_at=NOON)
        assert state_of(asked) == State.WITHDRAWN
        with pytest.raises(services.NotWaiting):
            approve(member(owner), asked)


class TestExpiry:
    def test_nothing_is_decided_after_it(self, asked, member, owner, operator):
        with pytest.raises(services.NotWaiting, match="expired"):
            approve(member(owner), asked, at=asked.expires_at)
        assert get_runs_active_max() == 4
        assert approve(member(owner), asked, at=asked.expires_at - DAY).state == State.APPROVED

    def test_the_next_request_closes_it(self, asked, member, owner, operator):
        later = asked.expires_at + DAY
        ask(member(operator), active_max=9, at=later)
        assert state_of(asked) == State.EXPIRED
        assert [each.state for each in approvals.list_closed(later)] == [State.EXPIRED]


class TestWhatIsApproved:
    def test_is_what_was_read(self, asked, member, owner):
        with pytest.raises(services.ParametersChanged):
            approve(member(owner), asked, seen="0" * 64)
        ApprovalRequest.objects.filter(pk=asked.pk).update(
            parameters_text='{"active_max":32,"was":4}'
        )
        with pytest.raises(services.ParametersChanged):
            approve(member(owner), asked)
        assert (state_of(asked), get_runs_active_max()) == (State.WAITING, 4)

    def test_still_fits(self, asked, member, owner, operator):
        other = ask(member(operator), active_max=6)
        approve(member(owner), other)
        with pytest.raises(QuotaChanged):
            approve(member(owner), asked)
        assert (state_of(asked), get_runs_active_max()) == (State.WAITING, 6)

    @pytest.mark.django_db(databases=["default", "owner"], transaction=True)
    @pytest.mark.parametrize("change", ["role", "gone"])
    def test_was_asked_by_somebody_who_may_still_ask(self, change, asked, member, owner, operator):
        import os

        import psycopg

        membership = member(operator)
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as database:
            where = "WHERE id = %s"
            if change == "role":
                database.execute(
                    f"UPDATE tenants_membership SET role = 'VIEWER' {where}", [membership.pk]
                )
            else:
                database.execute(
                    "UPDATE tenants_user SET is_active = false WHERE id = %s", [operator.pk]
                )
            try:
                with pytest.raises(services.RequesterMayNot):
                    approve(member(owner), asked)
            finally:
                database.execute(
                    f"UPDATE tenants_membership SET role = 'OPERATOR' {where}", [membership.pk]
                )
                database.execute(
                    "UPDATE tenants_user SET is_active = true WHERE id = %s", [operator.pk]
                )
        assert (state_of(asked), get_runs_active_max()) == (State.WAITING, 4)


@pytest.mark.parametrize("active_max", [-1, 0, 4, 33])
def test_a_quota_that_cannot_be_is_not_asked_for(active_max, member, operator):
    with pytest.raises(QuotaOutOfRange):
        ask(member(operator), active_max=active_max)
    assert not ApprovalRequest.objects.exists()


def test_no_more_wait_than_anybody_reads(member, operator, monkeypatch):
    monkeypatch.setattr(services, "WAITING_MAX", 2)
    ask(member(operator), active_max=8)
    ask(member(operator), active_max=9)
    with pytest.raises(services.TooManyWaiting):
        ask(member(operator), active_max=10)


def test_what_waits_for_whom(asked, member, owner, operator, auditor):
    assert list(approvals.list_waiting_for(member(owner), NOON)) == [asked]
    assert list(approvals.list_waiting_for(member(owner), asked.expires_at)) == []
    for person in (operator, auditor):
        assert list(approvals.list_waiting_for(member(person), NOON)) == []


@pytest.mark.django_db(transaction=True)
def test_two_who_approve_at_once_do_it_once(asked, acme, owner):
    """Both read "waiting"; the row's lock lets one of them act."""
    answers: list[str] = []
    start = threading.Barrier(2)

    def decide() -> None:
        with tenant_context("acme"):
            membership = selectors.find_membership(owner, acme)
            start.wait(10)
            try:
                answers.append(approve(membership, asked).state)
            except services.NotWaiting:
                answers.append("refused")
            finally:
                connection.close()

    threads = [threading.Thread(target=decide) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == ["APPROVED", "refused"]
    assert RunsQuota.objects.count() == 1


def test_every_kind_can_be_withdrawn_by_whom_may_ask_and_decided_by_whom_may_approve():
    from tenants.permissions import find_permission

    for kind in KINDS.values():
        assert find_permission(kind.ask).roles <= find_permission("approvals.withdraw").roles
        assert find_permission(kind.approve).roles <= find_permission("approvals.decide").roles
        both = (
            find_permission("approvals.withdraw").roles | find_permission("approvals.decide").roles
        )
        assert both <= find_permission("approvals.view").roles


class TestThePages:
    """The whole way in two sessions."""

    @pytest.fixture
    def request_now(self, member, operator):
        return ask(member(operator), at=timezone.now())

    def test_the_sticky_bar_counts_what_waits_for_me(
        self, request_now, client_for, owner, operator, acme
    ):
        words = "Waiting for your approval"
        assert words in client_for(owner, acme).get("/runs/").content.decode()
        assert words not in client_for(operator, acme).get("/runs/").content.decode()

    def test_an_owner_approves_what_the_page_shows(self, request_now, client_for, owner, acme):
        client = client_for(owner, acme)
        page = client.get(request_now.get_absolute_url())
        seen = page.context["shown"].parameters_sha256
        assert "Approve" in page.content.decode()
        answer = client.post(f"{request_now.get_absolute_url()}approve/", {"seen_sha256": seen})
        assert answer.status_code == 302
        assert get_runs_active_max() == 8
        text = client.get("/approvals/?tab=decided").content.decode()
        assert owner.email in text and "Approved" in text

    def test_without_what_was_read_nothing_is_approved(self, request_now, client_for, owner, acme):
        answer = client_for(owner, acme).post(f"{request_now.get_absolute_url()}approve/")
        assert answer.status_code == 409
        assert get_runs_active_max() == 4

    def test_who_asked_sees_how_to_withdraw_and_nothing_to_approve(
        self, request_now, client_for, operator, acme
    ):
        client = client_for(operator, acme)
        text = client.get(request_now.get_absolute_url()).content.decode()
        assert "Withdraw the request" in text and ">Approve" not in text
        client.post(f"{request_now.get_absolute_url()}withdraw/")
        assert state_of(request_now) == State.WITHDRAWN

    def test_to_decline_without_a_note_shows_what_is_missing(
        self, request_now, client_for, owner, acme
    ):
        answer = client_for(owner, acme).post(f"{request_now.get_absolute_url()}decline/")
        assert answer.status_code == 422
        assert "Say why you decline." in answer.content.decode()
        assert state_of(request_now) == State.WAITING

    def test_the_quota_is_asked_for_on_its_page(self, client_for, operator, in_acme):
        client = client_for(operator, in_acme)
        bad = client.post("/quotas/request/", {"active_max": "99", "reason": "More."})
        assert bad.status_code == 422 and "1 to 32" in bad.content.decode()
        good = client.post("/quotas/request/", {"active_max": "8", "reason": "More."})
        assert good["Location"] == ApprovalRequest.objects.get().get_absolute_url()
