"""Single sign-on beside the rest: passwords, second factors, fresh proofs, newcomers."""

from __future__ import annotations

import time

import pytest
import time_machine
from django.conf import settings
from django.db import connection

from tenants.context import public_context, tenant_context
from tenants.models import Membership, Tenant, User
from tenants.sessions.models import PersonSession
from tenants.single_sign_on import services
from tenants.single_sign_on.models import IdentityProvider
from tests.cast import NOON, PASSWORD
from tests.tenants.sign_on.conftest import (
    STAY_OUT,
    browser,
    by_oidc,
    by_saml,
    is_in,
    nobody_entered,
    start,
)
from tests.tenants.test_second_factors import INDEX, give_app

pytestmark = pytest.mark.django_db
COUNTS = services.Rules(factor_counts=True, join_role="", join_domains=[])
JOIN = services.Rules(factor_counts=False, join_role="VIEWER", join_domains=["new.example"])


def by_password(email: str, slug: str = "acme", password: str = PASSWORD):
    client = browser(slug)
    answer = client.post("/accounts/login/", {"login": email, "password": password})
    return client, answer


def require(owner, acme, *, tested: bool = True) -> None:
    with tenant_context("acme"):
        if tested:
            IdentityProvider.objects.update(tested_at=NOON)
        services.require_single_sign_on(
            acting_user=owner, tenant=acme, is_required=True, changed_at=NOON
        )


class TestTheOnlyWayIn:
    def test_members_are_refused_at_the_password_door_as_strangers_are(
        self, oidc_idp, with_oidc, owner, viewer, acme
    ):
        row = with_oidc(owner)
        require(owner, acme)
        told = set()
        for email, password in (
            (viewer.email, PASSWORD),
            (viewer.email, "wrong"),
            ("nobody@acme.example", "wrong"),
        ):
            client, answer = by_password(email, password=password)
            assert not is_in(client)
            page = answer.content.decode()
            assert "Members of Acme Robotics sign in this way" in page
            told.add(page[page.index("form-errors") :][:300] if "form-errors" in page else page[:0])
        assert len(told) == 1
        assert nobody_entered()
        client = browser()
        by_oidc(client, row, oidc_idp, viewer.email)
        assert is_in(client)

    def test_an_owner_keeps_the_way_back_in(self, with_oidc, owner, acme):
        with_oidc(owner)
        require(owner, acme)
        _, answer = by_password(owner.email)
        assert answer.status_code == 302

    def test_it_ends_the_sessions_of_passwords_but_not_of_owners(
        self, oidc_idp, with_oidc, client_for, owner, viewer, operator, acme
    ):
        by_sign_on = browser()
        by_oidc(by_sign_on, with_oidc(owner), oidc_idp, viewer.email)
        others = client_for(operator, acme), client_for(owner, acme)
        require(owner, acme)
        assert [is_in(each) for each in (by_sign_on, *others)] == [True, False, True]

    def test_it_takes_a_provider_that_works_and_keeps_one(self, with_oidc, owner, acme):
        row = with_oidc(owner)
        with pytest.raises(services.NothingToRequire):
            require(owner, acme, tested=False)
        require(owner, acme)
        with tenant_context("acme"):
            with pytest.raises(services.StillRequired):
                services.switch(
                    acting_user=owner, tenant=acme, provider_id=row.pk, on=False, switched_at=NOON
                )
            with pytest.raises(services.StillRequired):
                services.delete_provider(
                    acting_user=owner,
                    tenant=acme,
                    provider_id=row.pk,
                    confirmation="Corp",
                    deleted_at=NOON,
                )
            assert IdentityProvider.objects.filter(is_enabled=True).count() == 1

    def test_the_other_tenant_goes_on_as_before(self, with_oidc, owner, consultant, acme):
        with_oidc(owner)
        require(owner, acme)
        assert not is_in(by_password(consultant.email)[0])
        assert is_in(by_password(consultant.email, "globex")[0])


class TestSecondFactor:
    def test_ours_is_asked_for_where_the_provider_has_none(
        self, oidc_idp, with_oidc, owner, viewer
    ):
        give_app(viewer)
        client = browser()
        answer = by_oidc(client, with_oidc(owner), oidc_idp, viewer.email)
        assert answer["Location"] == f"{INDEX}authenticate/"
        assert not is_in(client)

    @pytest.mark.parametrize(
        ("rules", "methods", "is_enough"),
        [
            (COUNTS, ["pwd", "mfa"], True),
            (COUNTS, ["hwk"], True),
            (COUNTS, ["pwd"], False),
            (COUNTS, "mfa", False),
            (COUNTS, None, False),
            (None, ["pwd", "mfa"], False),
        ],
        ids=["mfa", "key", "password", "text", "silent", "does-not-count"],
    )
    def test_the_providers_counts_where_the_owner_says_so(
        self, oidc_idp, with_oidc, owner, auditor, rules, methods, is_enough
    ):
        row = with_oidc(owner, **({"rules": rules} if rules else {}))
        oidc_idp.claims = {"amr": methods}
        client = browser()
        by_oidc(client, row, oidc_idp, auditor.email)
        # An auditor needs one for every page.
        assert is_in(client) == is_enough

    def test_who_came_by_it_is_out_once_it_counts_no_longer(
        self, oidc_idp, with_oidc, client_for, owner, auditor, acme
    ):
        row = with_oidc(owner, rules=COUNTS)
        oidc_idp.claims = {"amr": ["mfa"]}
        client, other = browser(), client_for(auditor, acme)
        by_oidc(client, row, oidc_idp, auditor.email)
        with tenant_context("acme"):
            services.configure(
                acting_user=owner,
                provider_id=row.pk,
                rules=STAY_OUT,
                protocol={},
                changed_at=NOON,
            )
        assert [is_in(each) for each in (client, other)] == [False, True]

    @pytest.mark.parametrize("is_enough", [True, False])
    def test_so_does_that_of_saml(self, saml_idp, with_saml, owner, auditor, is_enough):
        row = with_saml(owner, rules=COUNTS)
        if is_enough:
            saml_idp.bent = {"context": "https://refeds.org/profile/mfa"}
        client = browser()
        by_saml(client, row, saml_idp, auditor.email)
        assert is_in(client) == is_enough


class TestFreshProof:
    PATH = "/accounts/single-sign-on/confirm/"

    def old_session(self, oidc_idp, with_oidc, owner):
        row = with_oidc(owner, rules=COUNTS)
        oidc_idp.claims = {"amr": ["mfa"]}
        client = browser()
        with time_machine.travel(time.time() - 900, tick=True):
            by_oidc(client, row, oidc_idp, owner.email)
        answer = client.get("/members/")
        assert answer.status_code == 200
        answer = client.post("/members/invite/", {"email": "x@y.example", "role": "VIEWER"})
        assert answer["Location"].startswith(self.PATH)
        return client, row

    def confirm(self, client, row, oidc_idp, email, **claims):
        address = start(client, row, path=self.PATH, next="/members/")
        assert "prompt=login" in address and "max_age=0" in address
        oidc_idp.claims = {"amr": ["mfa"], **claims}
        back = oidc_idp.authorize(address, email)
        return client.get("/" + back.split("/", 3)[3])

    def test_the_provider_asks_again_and_the_session_stays(self, oidc_idp, with_oidc, owner):
        client, row = self.old_session(oidc_idp, with_oidc, owner)
        assert "asks you again" in client.get(self.PATH).content.decode()
        key = client.cookies[settings.SESSION_COOKIE_NAME].value
        answer = self.confirm(client, row, oidc_idp, owner.email, auth_time=int(time.time()))
        assert answer["Location"] == "/members/"
        assert client.cookies[settings.SESSION_COOKIE_NAME].value == key
        form = {"email": "x@y.example", "role": "VIEWER"}
        assert client.post("/members/invite/", form).status_code == 200

    @pytest.mark.parametrize("case", ["silent", "old", "somebody else"])
    def test_what_is_no_fresh_proof(self, oidc_idp, with_oidc, owner, operator, case):
        client, row = self.old_session(oidc_idp, with_oidc, owner)
        now_s = int(time.time())
        claims = {"silent": {}, "old": {"auth_time": now_s - 600}}.get(case, {"auth_time": now_s})
        email = operator.email if case == "somebody else" else owner.email
        assert self.confirm(client, row, oidc_idp, email, **claims).status_code == 403
        answer = client.post("/members/invite/", {"email": "x@y.example", "role": "VIEWER"})
        assert answer["Location"].startswith(self.PATH)


class TestWhatIsOnesOwn:
    """acme's owner runs acme's provider, which may call itself anybody: the consultant's password
    and factors are good at globex, and stay out of its reach.
    """

    PAGES = (
        "/accounts/password/change/",
        *(f"{INDEX}{page}" for page in ("totp/activate/", "webauthn/", "recovery-codes/generate/")),
    )

    def test_a_providers_word_changes_no_password_and_no_factor(
        self, oidc_idp, with_oidc, owner, consultant
    ):
        row = with_oidc(owner, rules=COUNTS)
        oidc_idp.claims = {"amr": ["mfa"]}
        client = browser()
        by_oidc(client, row, oidc_idp, consultant.email)
        assert is_in(client)
        for path in self.PAGES:
            for method in (client.get, client.post):
                assert method(path)["Location"].startswith("/accounts/reauthenticate/"), path
        # By the password it goes on.
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
        for path in self.PAGES[:2]:
            assert client.get(path).status_code == 200

    def test_nor_where_the_person_has_nothing_of_their_own(
        self, oidc_idp, with_oidc, owner, consultant
    ):
        with tenant_context("acme"):
            User.objects.filter(pk=consultant.pk).update(password="!")
        client = browser()
        by_oidc(client, with_oidc(owner), oidc_idp, consultant.email)
        for path in (*self.PAGES[1:], "/accounts/password/set/"):
            assert client.post(path).status_code == 403, path
        with tenant_context("acme"):
            assert User.objects.get(pk=consultant.pk).password == "!"

    def test_who_belongs_here_alone_may_begin_by_it(self, oidc_idp, with_oidc, owner, viewer):
        with tenant_context("acme"):
            User.objects.filter(pk=viewer.pk).update(password="!")
        client = browser()
        by_oidc(client, with_oidc(owner), oidc_idp, viewer.email)
        assert client.get(f"{INDEX}totp/activate/").status_code == 200
        assert client.post("/accounts/password/set/").status_code == 403


class TestNewcomers:
    def test_somebody_of_a_named_domain_becomes_what_was_chosen(self, oidc_idp, with_oidc, owner):
        row = with_oidc(owner, rules=JOIN)
        client = browser()
        by_oidc(client, row, oidc_idp, "Ada@new.example")
        assert is_in(client)
        with tenant_context("acme"):
            membership = Membership.objects.get(user__email="ada@new.example")
            assert membership.role == "VIEWER"
            assert membership.added_by == "single sign-on, Corp"
            assert not membership.user.has_usable_password()

    @pytest.mark.parametrize(
        "email",
        [
            "ada@other.example",
            "ada@evil-new.example",
            "ada@new.example.evil.example",
            "@new.example",
        ],
    )
    def test_nobody_else_does(self, oidc_idp, with_oidc, owner, email):
        client = browser()
        assert by_oidc(client, with_oidc(owner, rules=JOIN), oidc_idp, email).status_code == 403
        assert nobody_entered()

    def test_nor_somebody_with_an_account_at_another_tenant(
        self, oidc_idp, with_oidc, owner, outsider
    ):
        rules = services.Rules(
            factor_counts=False, join_role="OPERATOR", join_domains=["globex.example"]
        )
        client = browser()
        answer = by_oidc(client, with_oidc(owner, rules=rules), oidc_idp, outsider.email)
        assert answer.status_code == 403
        assert nobody_entered()
        with tenant_context("acme"):
            assert not User.objects.filter(email=outsider.email).exists()

    @pytest.mark.parametrize("role", ["OWNER", "AUDITOR", "", "x"])
    def test_the_database_gives_no_higher_role(self, acme, role):
        with public_context(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT public.aii_join_by_sign_on(%s, 'a@new.example', '', %s, 'x', now())",
                [acme.pk, role],
            )
            assert cursor.fetchone() == (None,)


def test_a_removed_member_leaves_no_link(oidc_idp, with_oidc, owner, viewer, acme):
    from tenants.members.services import remove

    row = with_oidc(owner)
    client = browser()
    by_oidc(client, row, oidc_idp, viewer.email)
    with tenant_context("acme"):
        remove(
            membership=Membership.objects.select_related("user", "tenant").get(
                user=owner, tenant=acme
            ),
            user_id=viewer.pk,
            confirmation=viewer.email,
            removed_at=NOON,
        )
        assert not row.links.exists()
    assert not is_in(client)
    assert by_oidc(client, row, oidc_idp, viewer.email).status_code == 403


def test_tenants_see_their_own_rule_alone(owner, acme, with_oidc):
    with_oidc(owner)
    require(owner, acme)
    with tenant_context("globex"):
        assert not Tenant.objects.get(slug="globex").single_sign_on_required
        assert not PersonSession.objects.exists()
