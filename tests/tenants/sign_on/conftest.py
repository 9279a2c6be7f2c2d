"""A provider of each protocol, set up in acme by its owner; and a person's way through it."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from tenants.context import tenant_context
from tenants.models import Membership, User
from tenants.sessions.models import PersonSession
from tenants.single_sign_on import saml, services
from tenants.single_sign_on.models import Link
from tests.cast import NOON, host
from tests.tenants.sign_on.oidc_idp import CLIENT_ID, CLIENT_SECRET, OIDCIdP
from tests.tenants.sign_on.saml_idp import SAMLIdP

STAY_OUT = services.Rules(factor_counts=False, join_role="", join_domains=[])


@pytest.fixture(scope="session")
def _oidc_idp():
    idp = OIDCIdP()
    yield idp
    idp.server.shutdown()
    idp.server.server_close()


@pytest.fixture
def oidc_idp(_oidc_idp):
    _oidc_idp.reset()
    return _oidc_idp


@pytest.fixture(scope="session")
def _saml_idp():
    return SAMLIdP()


@pytest.fixture
def saml_idp(_saml_idp):
    _saml_idp.reset()
    return _saml_idp


def set_up(owner: User, *, kind: str, slug: str, rules=STAY_OUT, name="Corp", **protocol):
    with tenant_context(slug):
        row = services.add_provider(acting_user=owner, kind=kind, name=name, added_at=NOON)
        services.configure(
            acting_user=owner,
            provider_id=row.pk,
            rules=rules,
            protocol=protocol,
            changed_at=NOON,
        )
        tenant = owner.memberships.select_related("tenant").get(tenant__slug=slug).tenant
        return services.switch(
            acting_user=owner, tenant=tenant, provider_id=row.pk, on=True, switched_at=NOON
        )


@pytest.fixture
def with_oidc(oidc_idp):
    """Return a function that sets the provider up in a tenant."""
    protocol = {
        "issuer": oidc_idp.issuer,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
    }

    def make(owner, slug="acme", **changes):
        return set_up(owner, kind="OIDC", slug=slug, **{**protocol, **changes})

    return make


@pytest.fixture
def with_saml(saml_idp):
    def make(owner, slug="acme", **changes):
        protocol = saml.read_metadata(saml_idp.metadata())
        return set_up(owner, kind="SAML", slug=slug, **{**protocol, **changes})

    return make


def browser(slug: str = "acme") -> Client:
    return Client(headers={"host": host(slug)})


def start(client: Client, row, *, path: str = "", **form: str) -> str:
    """Press the button; return the address that the browser goes to by itself."""
    answer = client.post(path or f"/accounts/single-sign-on/{row.pk}/", form)
    assert answer.status_code == 200, answer
    assert "Location" not in answer
    return answer["Refresh"].removeprefix("0; url=")


def by_oidc(client: Client, row, idp: OIDCIdP, email: str, **form: str):
    back = idp.authorize(start(client, row, **form), email)
    return client.get("/" + back.split("/", 3)[3])


def by_saml(client: Client, row, idp: SAMLIdP, email: str, **form: str):
    return post_answer(client, row, idp.respond(start(client, row, **form), email))


def post_answer(client: Client, row, answer: str):
    """Post as the provider's page does, without the session's cookie; then go on with it."""
    stranger = Client(headers={"host": client.defaults["HTTP_HOST"]})
    got = stranger.post(f"/accounts/single-sign-on/{row.pk}/acs/", {"SAMLResponse": answer})
    if got.status_code != 302:
        return got
    assert not got.cookies
    return client.get(got["Location"])


def is_in(client: Client) -> bool:
    return client.get("/runs/").status_code == 200


def nobody_entered(slug: str = "acme") -> bool:
    """Tell whether no session of anybody, no member and no link was written."""
    with tenant_context(slug):
        return (
            not PersonSession.objects.filter(user_id__isnull=False).exists()
            and not Link.objects.exists()
            and Membership.objects.count() == {"acme": 5, "globex": 2}[slug]
        )


@pytest.fixture(autouse=True)
def _nothing_kept():
    with tenant_context("acme"):
        cache.clear()
