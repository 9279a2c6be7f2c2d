"""SAML 2.0 against a real provider: who enters, and every answer that opens nothing."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta

import pytest

from audit.models import Entry
from tenants.context import tenant_context
from tenants.single_sign_on import saml
from tests.tenants.sign_on.conftest import (
    browser,
    by_saml,
    is_in,
    nobody_entered,
    post_answer,
    start,
)
from tests.tenants.sign_on.saml_idp import ENTITY

pytestmark = pytest.mark.django_db


class TestEntering:
    def test_a_member_enters(self, saml_idp, with_saml, owner, viewer):
        row = with_saml(owner)
        client = browser()
        answer = by_saml(client, row, saml_idp, viewer.email, next="/alerts/")
        assert answer["Location"] == "/alerts/"
        assert is_in(client)
        here = f"http://acme.localhost/accounts/single-sign-on/{row.pk}"
        assert saml_idp.asked["acs"] == f"{here}/acs/"
        assert saml_idp.asked["issuer"] == f"{here}/metadata/"

    def test_our_metadata_say_the_same(self, with_saml, owner):
        row = with_saml(owner)
        answer = browser().get(f"/accounts/single-sign-on/{row.pk}/metadata/")
        text = answer.content.decode()
        here = f"http://acme.localhost/accounts/single-sign-on/{row.pk}"
        assert f'entityID="{here}/metadata/"' in text and f'Location="{here}/acs/"' in text
        assert 'WantAssertionsSigned="true"' in text

    def test_the_configured_attribute_alone_names_the_person(
        self, saml_idp, with_saml, owner, viewer, operator
    ):
        saml_idp.bent = {"name_id": viewer.email, "email": operator.email}
        for attribute, expected in (("NameID", viewer), ("email", operator)):
            row = with_saml(owner, name=attribute, email_attribute=attribute)
            client = browser()
            by_saml(client, row, saml_idp, "")
            with tenant_context("acme"):
                assert client.session["_auth_user_id"] == str(expected.pk)

    def test_the_assertion_is_good_once(self, saml_idp, with_saml, owner, viewer):
        client, row = browser(), with_saml(owner)
        answer = saml_idp.respond(start(client, row), viewer.email)
        assert post_answer(client, row, answer).status_code == 302
        for again in (client, browser()):
            assert post_answer(again, row, answer).status_code == 403
        # The same assertion, in an envelope for a new request of one's own.
        thief = browser()
        asked = saml_idp.read(start(thief, row))
        xml = base64.b64decode(answer).decode()
        assertion = xml[xml.index("<saml:Assertion") : xml.index("</samlp:Response>")]
        assert post_answer(thief, row, saml_idp.pack(assertion, asked)).status_code == 403
        assert not is_in(thief)


def _later(seconds: int) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


BENT = {
    "issuer": {"issuer": "https://evil.example"},
    "audience": {"audience": "https://another.example"},
    "no audience": {"audience": ""},
    "recipient": {"recipient": "https://another.example/acs"},
    "longer recipient": {"recipient": "http://acme.localhost/x"},
    "another request": {"in_response_to": "_other"},
    "no request": {"in_response_to": ""},
    "expired": {"end": _later(-3600)},
    "not yet": {"end": _later(86_400)},
    "no address": {"email": "", "name_id": "somebody"},
    "two names": {"email": "a@x.example</saml:AttributeValue><saml:AttributeValue>b@x.example"},
    "of another tenant": {"email": "operator@globex.example"},
    "a stranger": {"email": "stranger@acme.example"},
    "cut by a comment": {"email": "viewer@acme.example<!---->.evil.example"},
}


class TestRefused:
    def refused(self, client, row, answer) -> bool:
        got = post_answer(client, row, answer)
        return got.status_code == 403 and not is_in(client) and nobody_entered()

    @pytest.mark.parametrize("bent", BENT, ids=lambda name: name.replace(" ", "-"))
    def test_bent_assertions(self, saml_idp, with_saml, owner, viewer, bent):
        client, row = browser(), with_saml(owner)
        saml_idp.bent = BENT[bent]
        assert self.refused(client, row, saml_idp.respond(start(client, row), viewer.email))
        with tenant_context("acme"):
            assert Entry.objects.latest("number").action == "sign_on.refused"

    @pytest.mark.parametrize("how", ["unsigned", "envelope alone", "other key", "changed"])
    def test_bent_signatures(self, saml_idp, with_saml, owner, viewer, how):
        client, row = browser(), with_saml(owner)
        saml_idp.signs = how not in ("unsigned", "envelope alone")
        saml_idp.signs_envelope = how == "envelope alone"
        if how == "other key":
            saml_idp.signer = (saml_idp.other_key, saml_idp.other_certificate)
        address = start(client, row)
        answer = saml_idp.respond(
            address, "stranger@acme.example" if how == "changed" else viewer.email
        )
        if how == "changed":
            xml = base64.b64decode(answer).decode()
            answer = base64.b64encode(xml.replace("stranger@", "viewer@").encode()).decode()
        assert self.refused(client, row, answer)

    @pytest.mark.parametrize("where", ["before", "after", "inside", "around"])
    def test_signature_wrapping(self, saml_idp, with_saml, owner, viewer, where):
        """A genuine assertion about a stranger, with a forged one about a member around it."""
        client, row = browser(), with_saml(owner)
        saml_idp.asked = saml_idp.read(start(client, row))
        genuine = saml_idp.assertion("stranger@acme.example")
        signature = re.search(r"<ds:Signature.*</ds:Signature>", genuine, re.DOTALL)[0]
        forged = genuine.replace(signature, "").replace("stranger@", "viewer@")
        other = re.sub(r' ID="[^"]+"', ' ID="_forged"', forged, count=1)
        packed = {
            "before": other + genuine,
            "after": genuine + other,
            "inside": other.replace(
                "</saml:Issuer>",
                "</saml:Issuer>"
                + signature.replace(
                    "</ds:Signature>", f"<ds:Object>{genuine}</ds:Object></ds:Signature>"
                ),
                1,
            ),
            "around": other.replace(
                "</saml:Assertion>", f"<saml:Advice>{genuine}</saml:Advice></saml:Assertion>"
            ),
        }[where]
        assert self.refused(client, row, saml_idp.pack(packed, saml_idp.asked))

    def test_external_entities(self, saml_idp, with_saml, owner, tmp_path):
        client, row = browser(), with_saml(owner)
        (tmp_path / "secret").write_text("viewer@acme.example")
        evil = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{tmp_path}/secret">]>'
        saml_idp.asked = saml_idp.read(start(client, row))
        saml_idp.signs = False
        assertion = saml_idp.assertion("&e;")
        assert self.refused(client, row, saml_idp.pack(assertion, saml_idp.asked, extra=evil))
        with pytest.raises(saml.MetadataUnreadable):
            saml.read_metadata(saml_idp.metadata(evil).replace(ENTITY.encode(), b"&e;"))

    def test_answers_that_nobody_asked_for(self, saml_idp, with_saml, owner, viewer):
        client, row = browser(), with_saml(owner)
        # Of another browser: signed and fresh, and its request is not ours.
        answer = saml_idp.respond(start(browser(), row), viewer.email)
        assert self.refused(client, row, answer)
        # By the provider's own wish: no request at all.
        saml_idp.asked["id"] = ""
        saml_idp.bent = {"in_response_to": ""}
        assertion = saml_idp.assertion(viewer.email)
        assert self.refused(client, row, saml_idp.pack(assertion, saml_idp.asked))

    @pytest.mark.parametrize("answer", ["", "!", "eA==", "x" * 300_001])
    def test_what_is_no_answer(self, with_saml, owner, answer):
        client, row = browser(), with_saml(owner)
        start(client, row)
        assert self.refused(client, row, answer)

    def test_an_answer_for_another_tenants_door(self, saml_idp, with_saml, owner, consultant):
        here, there = with_saml(owner), with_saml(consultant, "globex")
        answer = saml_idp.respond(start(browser(), here), consultant.email)
        other = browser("globex")
        start(other, there)
        assert post_answer(other, there, answer).status_code == 403
        assert not is_in(other) and nobody_entered("globex")


@pytest.mark.parametrize(
    "xml",
    [b"", b"<x/>", b"\xff\x00", b"<md:EntityDescriptor", b"<a>" * 5000, b"not xml at all"],
    ids=["empty", "other", "bytes", "cut", "deep", "text"],
)
def test_what_is_no_metadata(xml):
    with pytest.raises(saml.MetadataUnreadable):
        saml.read_metadata(xml)


def test_metadata_with_a_broken_certificate(saml_idp):
    der = "".join(saml_idp.certificate.splitlines()[1:-1])
    with pytest.raises(saml.MetadataUnreadable):
        saml.read_metadata(saml_idp.metadata().replace(der.encode(), b"AAAA"))
