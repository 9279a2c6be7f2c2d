"""Who belongs to a tenant: invited, joined, given a role, removed; and the fence around it."""

from __future__ import annotations

import datetime
import os
import threading

import psycopg
import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.core import mail
from django.db import connection, connections
from django.test import Client
from django.utils import timezone
from psycopg import sql

from tenants import selectors
from tenants.context import public_context, tenant_context
from tenants.members import joining, services
from tenants.models import Invitation, Membership, User
from tenants.permissions import NotYours, PermissionDenied
from tenants.sessions.models import PersonSession
from tests.cast import NOON, PASSWORD, host
from tests.conftest import session_for

DAY = datetime.timedelta(days=1)
NEW = "newcomer@acme.example"
GOOD = "quite a good new horse"


@pytest.fixture
def member(in_acme):
    return lambda person: selectors.find_membership(person, in_acme)


@pytest.fixture
def invited(member, owner):
    """A newcomer is invited as operator; returns the code."""
    return invite(member(owner))


def invite(membership, email=NEW, role="OPERATOR", at=NOON) -> str:
    return services.invite(membership=membership, email=email, role=role, invited_at=at)[1]


def join(acme, code, password=GOOD, again=None, at=NOON, name="Nora"):
    return joining.join(
        tenant=acme,
        code=code,
        password=password,
        password_again=password if again is None else again,
        name=name,
        joined_at=at,
    )


def role_of(person) -> str | None:
    found = Membership.objects.filter(user_id=person.pk).first()
    return found.role if found else None


def people() -> set[str]:
    return set(User.objects.values_list("email", flat=True))


class TestInvite:
    def test_keeps_no_code(self, invited):
        row = Invitation.objects.get()
        assert (row.email, row.role, row.expires_at) == (NEW, "OPERATOR", NOON + 7 * DAY)
        assert invited not in str(Invitation.objects.values().get())

    @pytest.mark.parametrize("role", ["operator", "auditor", "viewer"])
    def test_is_for_owners(self, role, member, request):
        with pytest.raises(PermissionDenied):
            invite(member(request.getfixturevalue(role)))
        assert not Invitation.objects.exists()

    @pytest.mark.parametrize(
        ("email", "role", "refusal"),
        [
            ("operator@acme.example", "OWNER", "already_member"),
            ("no e-mail", "OWNER", "invalid"),
            (NEW, "KING", "invalid"),
        ],
    )
    def test_refuses_and_leaves_no_trace(self, email, role, refusal, member, owner):
        with pytest.raises(services.Invalid if refusal == "invalid" else services.AlreadyMember):
            invite(member(owner), email=email, role=role)
        assert not Invitation.objects.exists()

    def test_a_second_one_makes_the_first_worthless(self, invited, acme, member, owner):
        again = invite(member(owner), role="VIEWER")
        with pytest.raises(joining.InvitationNotGood):
            join(acme, invited)
        assert role_of(join(acme, again)) == "VIEWER"


class TestJoin:
    def test_makes_an_account_and_a_membership_once(self, invited, acme):
        person = join(acme, invited)
        assert (person.email, person.name, role_of(person)) == (NEW, "Nora", "OPERATOR")
        assert person.check_password(GOOD)
        with pytest.raises(joining.InvitationNotGood):
            join(acme, invited)

    @pytest.mark.parametrize("case", ["unknown", "withdrawn", "expired", "other tenant"])
    def test_needs_an_invitation_that_is_good_here(
        self, case, invited, acme, globex, member, owner
    ):
        tenant, code, at = acme, invited, NOON
        if case == "unknown":
            code = "x" * 43
        elif case == "withdrawn":
            services.withdraw_invitation(
                membership=member(owner),
                invitation_id=Invitation.objects.get().pk,
                withdrawn_at=NOON,
            )
        elif case == "expired":
            at = NOON + 7 * DAY
        else:
            tenant = globex
        with pytest.raises(joining.InvitationNotGood), tenant_context(tenant.schema_name):
            join(tenant, code, at=at)
        assert NEW not in people()

    @pytest.mark.parametrize(
        ("password", "again"), [(GOOD, "another"), ("short", "short"), ("password1234", None)]
    )
    def test_a_new_password_has_to_do(self, password, again, invited, acme):
        with pytest.raises(joining.PasswordRefused):
            join(acme, invited, password=password, again=again)
        assert NEW not in people()

    def test_who_has_an_account_proves_it_and_keeps_their_password(
        self, acme, member, owner, outsider
    ):
        code = invite(member(owner), email=outsider.email, role="VIEWER")
        with pytest.raises(joining.PasswordRefused):
            join(acme, code, password=GOOD)
        assert outsider.email not in people()

        person = join(acme, code, password=PASSWORD, again="")

        assert (person.pk, role_of(person)) == (outsider.pk, "VIEWER")
        assert person.check_password(PASSWORD)

    @pytest.mark.django_db(transaction=True)
    def test_a_code_is_no_key_to_guess_a_password_with(self, acme, member, owner, outsider):
        code = invite(member(owner), email=outsider.email)
        for _ in range(10):
            with pytest.raises(joining.PasswordRefused):
                join(acme, code, password="guess")
        with pytest.raises(joining.InvitationNotGood):
            join(acme, code, password=PASSWORD)


class TestChangeRole:
    def change(self, membership, person, role, seen=None):
        return services.change_role(
            membership=membership,
            user_id=person.pk,
            role=role,
            seen_role=seen or role_of(person),
            changed_at=NOON,
        )

    def test_gives_another_role(self, member, owner, viewer):
        self.change(member(owner), viewer, "AUDITOR")
        assert role_of(viewer) == "AUDITOR"

    def test_nobody_changes_their_own(self, member, owner):
        with pytest.raises(NotYours):
            self.change(member(owner), owner, "VIEWER")
        assert role_of(owner) == "OWNER"

    @pytest.mark.parametrize("role", ["operator", "auditor", "viewer"])
    def test_only_owners_do(self, role, member, request, viewer):
        with pytest.raises(PermissionDenied):
            self.change(member(request.getfixturevalue(role)), viewer, "OWNER")
        assert role_of(viewer) == "VIEWER"

    def test_not_of_another_tenants_person(self, member, owner, outsider):
        with pytest.raises(services.MemberUnknown):
            self.change(member(owner), outsider, "VIEWER", seen="OPERATOR")

    def test_not_when_somebody_changed_it_meanwhile(self, member, owner, viewer):
        with pytest.raises(services.RoleChangedMeanwhile):
            self.change(member(owner), viewer, "OWNER", seen="OPERATOR")
        assert role_of(viewer) == "VIEWER"

    def test_the_last_owner_stays_one(self, member, owner, viewer):
        self.change(member(owner), viewer, "OWNER")
        second = member(viewer)
        self.change(second, owner, "OPERATOR")
        second.refresh_from_db()
        # The first one's request was on its way with the role that they had.
        stale = member(owner)
        stale.role = "OWNER"
        with pytest.raises(services.LastOwner):
            self.change(stale, viewer, "OPERATOR")
        assert (role_of(viewer), role_of(owner)) == ("OWNER", "OPERATOR")


class TestRemove:
    def remove(self, membership, person, confirmation=None):
        services.remove(
            membership=membership,
            user_id=person.pk,
            confirmation=person.email if confirmation is None else confirmation,
            removed_at=NOON,
        )

    def test_ends_access_and_sessions(self, member, owner, viewer):
        key = session_for(viewer, "acme")
        PersonSession.objects.filter(session_key=key).update(user_id=viewer.pk)
        self.remove(member(owner), viewer)
        assert role_of(viewer) is None
        assert viewer.email not in people()
        assert not PersonSession.objects.filter(session_key=key).exists()

    def test_keeps_what_they_have_elsewhere(self, member, owner, consultant):
        self.remove(member(owner), consultant)
        with tenant_context("globex"):
            assert role_of(consultant) == "OPERATOR"

    def test_wants_the_name_typed(self, member, owner, viewer):
        with pytest.raises(services.NotConfirmed):
            self.remove(member(owner), viewer, confirmation="viewer")
        assert role_of(viewer) == "VIEWER"

    def test_is_not_for_oneself(self, member, owner):
        with pytest.raises(NotYours):
            self.remove(member(owner), owner)


@pytest.mark.django_db(transaction=True)
def test_two_owners_who_demote_each_other_at_once_leave_one(acme, owner, viewer):
    with tenant_context("acme"):
        first = selectors.find_membership(owner, acme)
        services.change_role(
            membership=first,
            user_id=viewer.pk,
            role="OWNER",
            seen_role="VIEWER",
            changed_at=NOON,
        )
    answers: list[str] = []
    start = threading.Barrier(2)

    def demote(actor, target) -> None:
        with tenant_context("acme"):
            membership = selectors.find_membership(actor, acme)
            start.wait(10)
            try:
                services.change_role(
                    membership=membership,
                    user_id=target.pk,
                    role="VIEWER",
                    seen_role="OWNER",
                    changed_at=NOON,
                )
                answers.append("done")
            except services.LastOwner:
                answers.append("refused")
            finally:
                connection.close()

    pairs = [(owner, viewer), (viewer, owner)]
    threads = [threading.Thread(target=demote, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    try:
        assert sorted(answers) == ["done", "refused"]
    finally:
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as database:
            for person, role in ((owner, "OWNER"), (viewer, "VIEWER")):
                database.execute(
                    "UPDATE tenants_membership SET role = %s WHERE user_id = %s",
                    [role, person.pk],
                )


# --- what the database refuses, whatever the code asks -----------------------------------------


@pytest.fixture
def as_role():
    """Return a function that runs SQL as a role of the application, and rolls back."""
    database = connections["default"].settings_dict

    def run(statement, parameters=(), role: str | None = "t_acme"):
        with psycopg.connect(
            host=database["HOST"],
            port=database["PORT"],
            user=database["USER"],
            password=database["PASSWORD"],
            dbname=database["NAME"],
        ) as application:
            if role:
                application.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            cursor = application.execute(statement, parameters)
            rows = cursor.fetchall() if cursor.description else cursor.rowcount
            application.rollback()
            return rows

    return run


@pytest.fixture
def ids(db, owner, outsider, acme, globex):
    return {"mine": acme.pk, "theirs": globex.pk, "me": owner.pk, "foreign": outsider.pk}


INSERT_MEMBER = (
    "INSERT INTO public.tenants_membership (user_id, tenant_id, role, added_at, added_by)"
    " VALUES (%(foreign)s, %(mine)s, 'VIEWER', now(), 'x')"
)
INSERT_INVITATION = (
    "INSERT INTO public.tenants_invitation (id, tenant_id, email, role, code_sha256, invited_at,"
    " invited_by_email, expires_at, tries) VALUES (gen_random_uuid(), {tenant}, 'a@b.example',"
    " 'OWNER', 'x', now(), 'x', now() + interval '1 day', 0)"
)
DENIED = {
    "add a membership": INSERT_MEMBER,
    "add an account": "INSERT INTO public.tenants_user (id, email, password, name, is_active,"
    " joined_at, session_epoch) VALUES (gen_random_uuid(), 'a@b.example', '', '', true, now(), 0)",
    "move a membership": "UPDATE public.tenants_membership SET tenant_id = %(theirs)s",
    "give a membership to another": "UPDATE public.tenants_membership SET user_id = %(foreign)s",
    "change who is invited": "UPDATE public.tenants_invitation SET email = 'a@b.example'",
    "change as what": "UPDATE public.tenants_invitation SET role = 'OWNER'",
    "change a code": "UPDATE public.tenants_invitation SET code_sha256 = 'x'",
    "prolong an invitation": "UPDATE public.tenants_invitation SET expires_at = now()",
    "forget tries": "UPDATE public.tenants_invitation SET tries = 0",
    "use an invitation again": "UPDATE public.tenants_invitation SET accepted_at = NULL",
    "delete an invitation": "DELETE FROM public.tenants_invitation",
    "invite into another tenant": INSERT_INVITATION.format(tenant="%(theirs)s"),
    "read a hash by a code": "SELECT * FROM public.aii_try_invitation('x', %(mine)s, now())",
    "join": "SELECT * FROM public.aii_accept_invitation('x', %(mine)s, now(), true, '', '')",
    "call the trigger": "SELECT public.aii_keep_an_owner()",
    "drop the trigger": "DROP TRIGGER keep_an_owner ON public.tenants_membership",
    "switch the trigger off": "ALTER TABLE public.tenants_membership DISABLE TRIGGER keep_an_owner",
    "skip triggers": "SET session_replication_role = replica",
}


@pytest.mark.parametrize("statement", DENIED.values(), ids=DENIED.keys())
def test_a_tenants_role_may_not(statement, ids, as_role):
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException)):
        as_role(statement, ids)


@pytest.mark.parametrize(
    "statement",
    [
        *(DENIED[name] for name in DENIED if name not in ("read a hash by a code", "join")),
        "SELECT * FROM public.tenants_user",
        "SELECT * FROM public.tenants_invitation",
        "UPDATE public.tenants_membership SET role = 'OWNER'",
        "DELETE FROM public.tenants_membership",
    ],
)
def test_the_application_outside_a_tenant_may_not_either(statement, ids, as_role):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(statement, ids, role=None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE public.tenants_membership SET role = 'OWNER' WHERE tenant_id = %(theirs)s",
        "DELETE FROM public.tenants_membership WHERE tenant_id = %(theirs)s",
        "UPDATE public.tenants_invitation SET withdrawn_at = now() WHERE tenant_id = %(theirs)s",
        "UPDATE public.tenants_user SET password = 'x' WHERE id = %(foreign)s",
    ],
)
def test_rows_of_another_tenant_are_not_there(statement, ids, as_role):
    assert as_role(statement, ids) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM public.tenants_membership",
        "UPDATE public.tenants_membership SET role = 'VIEWER'",
        "DELETE FROM public.tenants_membership WHERE user_id = %(me)s",
    ],
)
def test_the_last_owner_cannot_go_whoever_asks(statement, ids, as_role):
    with pytest.raises(psycopg.Error, match="keeps an owner"):
        as_role(statement, ids)


@pytest.mark.django_db(transaction=True)
def test_an_account_is_not_taken_over_by_a_code_alone(acme, owner, outsider, as_role):
    """Not proven, an account that exists is joined to nothing; proven, a new one is not made."""
    with tenant_context("acme"):
        membership = selectors.find_membership(owner, acme)
        codes = {email: invite(membership, email=email) for email in (outsider.email, NEW)}
    for email, is_proven in ((outsider.email, False), (NEW, True)):
        rows = as_role(
            "SELECT * FROM public.aii_accept_invitation(%s, %s, %s, %s, %s, '')",
            [services.hash_code(codes[email]), acme.pk, NOON, is_proven, make_password("x")],
            role=None,
        )
        assert rows == []


def test_no_other_role_may_call_what_runs_as_the_owner(db):
    """Every function that runs as its owner: with a search path of its own, and not for all."""
    with public_context(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT p.proname, p.proconfig, has_function_privilege('aii_tenant', p.oid, 'EXECUTE')"
            " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE p.prosecdef AND p.proname LIKE 'aii\\_%%'"
        )
        rows = cursor.fetchall()
    assert {name for name, _, _ in rows} >= {"aii_try_invitation", "aii_accept_invitation"}
    for name, config, is_open in rows:
        assert config == ["search_path=pg_catalog, pg_temp"], name
        assert not is_open, name


# --- the pages ------------------------------------------------------------------------------------


class TestThePages:
    def test_the_link_is_shown_once_and_works(self, client_for, owner, in_acme):
        client = client_for(owner, in_acme)
        page = client.post("/members/invite/", {"email": NEW, "role": "OPERATOR"})
        link = page.context["link"]
        assert link.startswith("http://acme.localhost/join/#")
        assert link not in client.get("/members/").content.decode()
        assert not mail.outbox

        visitor = Client(headers={"host": host("acme")})
        assert visitor.get("/join/").status_code == 200
        form = {"code": link.split("#")[1], "name": "Nora", "password": GOOD}
        bad = visitor.post("/join/", form)
        assert bad.status_code == 422 and "differ" in bad.content.decode()
        done = visitor.post("/join/", form | {"password_again": GOOD})
        assert done["Location"] == "/accounts/login/"
        assert NEW in people()
        signed = visitor.post("/accounts/login/", {"login": NEW, "password": GOOD})
        assert signed.status_code == 302

    def test_with_a_mail_server_the_link_is_mailed_and_not_shown(
        self, client_for, owner, in_acme, settings
    ):
        settings.AII_SENDS_MAIL = True
        page = client_for(owner, in_acme).post(
            "/members/invite/", {"email": NEW, "role": "VIEWER"}, follow=True
        )
        (sent,) = mail.outbox
        assert sent.to == [NEW]
        code = sent.body.split("/join/#")[1].split()[0]
        assert code not in page.content.decode()
        assert role_of(join(in_acme, code, at=Invitation.objects.get().invited_at)) == "VIEWER"

    def test_a_difference_is_shown_before_it_is_saved(self, client_for, owner, viewer, in_acme):
        client = client_for(owner, in_acme)
        page = client.get(f"/members/{viewer.pk}/", {"role": "AUDITOR"}).content.decode()
        assert "Export entries" in page and "Make viewer@acme.example auditor" in page
        assert role_of(viewer) == "VIEWER"
        client.post(f"/members/{viewer.pk}/role/", {"role": "AUDITOR", "seen_role": "VIEWER"})
        assert role_of(viewer) == "AUDITOR"

    def test_the_removal_wants_the_e_mail(self, client_for, owner, viewer, in_acme):
        client = client_for(owner, in_acme)
        bad = client.post(f"/members/{viewer.pk}/remove/", {"confirmation": "yes"})
        assert bad.status_code == 422 and role_of(viewer) == "VIEWER"
        client.post(f"/members/{viewer.pk}/remove/", {"confirmation": viewer.email})
        assert role_of(viewer) is None

    def test_an_auditor_reads_and_changes_nothing(self, client_for, auditor, viewer, in_acme):
        client = client_for(auditor, in_acme)
        text = client.get("/members/").content.decode()
        assert "viewer@acme.example" in text and "Invite" not in text
        text = client.get(f"/members/{viewer.pk}/").content.decode()
        assert "Remove" not in text and "Show the difference" not in text

    def test_the_matrix_is_the_table(self, client_for, auditor, in_acme):
        from tenants.permissions import PERMISSIONS

        text = client_for(auditor, in_acme).get("/roles/").content.decode()
        for permission in PERMISSIONS:
            assert permission.sentence.replace("'", "&#x27;") in text

    def test_says_who_has_a_second_factor_and_when_they_were_seen(
        self, client_for, owner, auditor, viewer, in_acme
    ):
        now = timezone.now()
        Authenticator.objects.create(user=auditor, type="totp", data={})
        Authenticator.objects.create(user=viewer, type="recovery_codes", data={})
        session_for(viewer, "acme")
        PersonSession.objects.update(user_id=viewer.pk, seen_at=now)
        rows = {
            row.email: row for row in client_for(owner, in_acme).get("/members/").context["members"]
        }
        assert rows[auditor.email].has_second_factor
        # Recovery codes alone are none.
        assert not rows[viewer.email].has_second_factor
        assert rows[viewer.email].last_seen_at == now
        assert rows[auditor.email].last_seen_at is None

    def test_nobody_is_offered_to_change_themselves(self, client_for, owner, in_acme):
        text = client_for(owner, in_acme).get(f"/members/{owner.pk}/").content.decode()
        assert "Nobody changes their own access" in text and "Show the difference" not in text
