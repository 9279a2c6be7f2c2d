"""A second role for a while: conflicts are refused at grant, exceptions are on record and end."""

from __future__ import annotations

import datetime

import pytest
import time_machine
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import Entry
from audit.reading import open_entries
from simulation.models import RunsQuota
from simulation.services import ask_for_quota
from tenants import selectors
from tenants.approvals import services as approvals
from tenants.errors import Invalid
from tenants.members import services as members
from tenants.members.services import DutiesConflict
from tenants.permissions import NotYours, PermissionDenied, has_permission, needs_second_factor
from tenants.second_roles import services
from tenants.second_roles.models import SecondRole
from tenants.second_roles.selectors import list_breaches
from tests.cast import NOON

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)


@pytest.fixture
def member(in_acme):
    """Return a function that loads a person's membership of acme anew."""
    return lambda person: selectors.find_membership(person, in_acme)


def give(membership, person, role, *, days=10, is_exception=False, reason="Ada is ill.", at=None):
    at = at or timezone.now()
    return services.grant(
        membership=membership,
        user_id=person.pk,
        role=role,
        reason=reason,
        expires_at=at + days * DAY,
        is_exception=is_exception,
        granted_at=at,
    )


def ask(membership, at, active_max=8):
    return ask_for_quota(
        membership=membership, active_max=active_max, reason="More.", requested_at=at
    )


def approve(membership, asked, at):
    return approvals.approve(
        membership=membership,
        request_id=asked.pk,
        seen_sha256=asked.parameters_sha256,
        approved_at=at,
    )


def actions(name: str) -> int:
    return Entry.objects.filter(action=name).count()


class TestAtGrant:
    def test_duties_that_conflict_are_refused_and_nothing_is_written(self, member, owner, operator):
        with pytest.raises(DutiesConflict, match="nobody holds together"):
            give(member(owner), operator, "OWNER")
        assert not SecondRole.objects.exists() and actions("second_role.granted") == 0
        assert not has_permission(member(operator), "simulation.approve_quota")

    def test_duties_that_do_not_are_given_and_used(self, member, owner, operator):
        assert give(member(owner), operator, "AUDITOR").conflicts == []
        assert has_permission(member(operator), "audit.export")
        assert has_permission(member(operator), "simulation.inject_fault")
        assert needs_second_factor(member(operator))

    def test_a_change_of_role_counts_the_second_one(self, member, owner, operator):
        given = give(member(owner), operator, "AUDITOR")
        change = {
            "membership": member(owner),
            "user_id": operator.pk,
            "role": "OWNER",
            "seen_role": "OPERATOR",
            "changed_at": timezone.now(),
        }
        with pytest.raises(DutiesConflict, match="End the second role first"):
            members.change_role(**change)
        assert member(operator).role == "OPERATOR"
        services.end(membership=member(owner), second_role_id=given.pk, ended_at=timezone.now())
        assert members.change_role(**change).role == "OWNER"

    @pytest.mark.parametrize(
        ("options", "refusal"),
        [
            ({"role": "OWNER", "is_exception": True, "days": 31}, Invalid),
            ({"role": "AUDITOR", "days": 366}, Invalid),
            ({"role": "AUDITOR", "days": 0}, Invalid),
            ({"role": "AUDITOR", "reason": " "}, Invalid),
            ({"role": "AUDITOR", "reason": "x" * 501}, Invalid),
            ({"role": "CAPTAIN"}, Invalid),
            ({"role": "OPERATOR"}, services.SecondRoleHeld),
        ],
        ids=str,
    )
    def test_what_is_refused(self, options, refusal, member, owner, operator):
        with pytest.raises(refusal):
            give(member(owner), operator, options.pop("role"), **options)
        assert not SecondRole.objects.exists()

    def test_nobody_gives_themselves_one(self, member, owner, operator, in_acme):
        with pytest.raises(NotYours):
            give(member(owner), owner, "OPERATOR", is_exception=True)
        with pytest.raises(PermissionDenied):
            give(member(operator), owner, "OPERATOR", is_exception=True)
        given = give(member(owner), operator, "VIEWER")
        with pytest.raises(IntegrityError, match="by_somebody_else"), transaction.atomic():
            SecondRole.objects.filter(pk=given.pk).update(user=owner)


class TestAnException:
    def test_lets_both_duties_be_used_on_record_but_never_for_ones_own_request(
        self, member, owner, operator, auditor
    ):
        now = timezone.now()
        give(member(owner), operator, "OWNER", is_exception=True)
        own = ask(member(operator), now)
        with pytest.raises(NotYours):
            approve(member(operator), own, now)
        assert actions("second_role.exception_used") == 1  # To ask was one; the refusal is none.
        give(member(owner), auditor, "OPERATOR")
        approvals.withdraw(membership=member(operator), request_id=own.pk, withdrawn_at=now)
        approve(member(operator), ask(member(auditor), now), now)
        assert RunsQuota.objects.count() == 1
        assert actions("second_role.exception_used") == 2

    def test_each_form_of_a_duty_is_on_record_and_reading_is_none(
        self, client_for, member, owner, auditor, operator, in_acme
    ):
        give(member(owner), auditor, "OWNER", is_exception=True)
        client = client_for(auditor, in_acme)
        client.get("/audit/")
        client.get("/members/")
        client_for(owner, in_acme).post(f"/members/{operator.pk}/role/", {"role": "VIEWER"})
        assert actions("second_role.exception_used") == 0
        assert b"".join(client.post("/audit/export/", {"format": "csv"}).streaming_content)
        assert client.post(f"/members/{operator.pk}/role/", {"role": "x"}).status_code == 422
        used = Entry.objects.filter(action="second_role.exception_used").order_by("number")
        assert {(each.who_id, each.subject_type) for each in used} == {
            (str(auditor.pk), "second_role")
        }
        assert [each.details.said["after"]["duty"] for each in open_entries(used)] == [
            "audit.export",
            "tenants.manage_members",
        ]

    def test_has_no_effect_once_it_is_over(self, member, owner, operator):
        with time_machine.travel(NOON, tick=False) as clock:
            give(member(owner), operator, "OWNER", is_exception=True, days=2)
            assert has_permission(member(operator), "simulation.approve_quota")
            clock.shift(2 * DAY)
            assert not has_permission(member(operator), "simulation.approve_quota")
            assert not needs_second_factor(member(operator))
            # And a new one is possible.
            given = give(member(owner), operator, "OWNER", is_exception=True)
            services.end(membership=member(owner), second_role_id=given.pk, ended_at=timezone.now())
            assert not has_permission(member(operator), "simulation.approve_quota")
            with pytest.raises(services.SecondRoleUnknown):
                services.end(
                    membership=member(owner), second_role_id=given.pk, ended_at=timezone.now()
                )

    def test_goes_with_the_access(self, member, owner, operator):
        given = give(member(owner), operator, "OWNER", is_exception=True)
        members.remove(
            membership=member(owner),
            user_id=operator.pk,
            confirmation=operator.email,
            removed_at=timezone.now(),
        )
        given.refresh_from_db()
        assert given.ended_at is not None


class TestTheHistory:
    def test_of_real_use_holds_no_breach(self, member, owner, operator, auditor, in_acme):
        now = timezone.now()
        approve(member(owner), ask(member(operator), now), now)
        give(member(owner), operator, "OWNER", is_exception=True)
        give(member(owner), auditor, "OPERATOR")
        approve(member(operator), ask(member(auditor), now, 9), now)
        assert list_breaches(in_acme.pk, now) == []

    def test_shows_what_somebody_forced_past_the_rules(self, member, owner, operator, in_acme):
        now = timezone.now()
        asked = ask(member(operator), now)
        with connection.cursor() as cursor:
            # As who rules the database might: the log still says who asked and who decided.
            cursor.execute(
                "INSERT INTO audit_entry (id, at, kind, action, who_kind, who_id, subject_type,"
                " subject_id, actor, details, actor_digest, details_digest)"
                " SELECT gen_random_uuid(), at, kind, 'approval.approved', who_kind, who_id,"
                " subject_type, subject_id, actor, details, actor_digest, details_digest"
                " FROM audit_entry WHERE action = 'approval.requested'"
            )
        assert list_breaches(in_acme.pk, now) == [f"request {asked.pk}"]
        given = give(member(owner), operator, "OWNER", is_exception=True)
        SecondRole.objects.filter(pk=given.pk).update(conflicts=[])
        assert f"duties of {operator.pk}" in list_breaches(in_acme.pk, now)


class TestThePage:
    def form(self, person, values):
        day = timezone.now().date() + 5 * DAY
        return {"person": person.pk, "role": "OWNER", "until": day, "reason": "Ill."} | values

    def test_gives_lists_and_ends(self, client_for, owner, operator, in_acme, member):
        client = client_for(owner, in_acme)
        url = "/members/second-roles/"
        refused = client.post(f"{url}grant/", self.form(operator, {}))
        assert refused.status_code == 409 and "exception" in refused.content.decode()
        assert not SecondRole.objects.exists()
        answer = client.post(f"{url}grant/", self.form(operator, {"is_exception": "on"}))
        assert answer.status_code == 302
        text = client.get(url).content.decode()
        assert operator.email in text and "in force" in text and "Checked now" in text
        given = SecondRole.objects.get()
        client.post(f"{url}{given.pk}/end/")
        assert "in force" not in client.get(url).content.decode()
        assert not has_permission(member(operator), "simulation.approve_quota")

    @pytest.mark.parametrize(
        "bad", [{"person": "x"}, {"until": "9999-12-31"}, {"until": "-"}, {"role": ""}], ids=str
    )
    def test_bad_input_gets_a_sentence(self, bad, client_for, owner, operator, in_acme):
        client = client_for(owner, in_acme)
        answer = client.post("/members/second-roles/grant/", self.form(operator, bad))
        assert answer.status_code == 422
        assert not SecondRole.objects.exists()
