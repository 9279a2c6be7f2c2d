"""SAML 2.0: requests and answers by python3-saml, and what it leaves open.

Asked for are a signed assertion and one answer to one request of this browser: audience, recipient
and InResponseTo have to stand in the signed part, and an assertion opens once. Nobody enters by an
answer that was not asked for; a provider's portal links to the sign-in page in its place.
"""

from __future__ import annotations

import binascii
import time
from base64 import b64decode
from typing import Any

from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.saml.provider import SAMLProvider
from cryptography import x509
from django.core.cache import cache
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.constants import OneLogin_Saml2_Constants as Constants
from onelogin.saml2.errors import OneLogin_Saml2_Error, OneLogin_Saml2_ValidationError
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser
from onelogin.saml2.settings import OneLogin_Saml2_Settings
from onelogin.saml2.utils import OneLogin_Saml2_Utils
from onelogin.saml2.xml_utils import OneLogin_Saml2_XML

from tenants.errors import Invalid
from tenants.single_sign_on.admission import AnswerRefused, Assertion
from tenants.single_sign_on.fetching import check_address
from tenants.single_sign_on.login import MemberLogin
from tenants.single_sign_on.models import IdentityProvider

SUBJECT_MAX = 255
# An assertion's own end is minutes away; longer than this its id need not be remembered.
REMEMBERED_S_MAX = 24 * 3600
CERTIFICATES_MAX = 10
EMAIL_ATTRIBUTES = (
    "email",
    "mail",
    "emailAddress",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
)
NAME_ATTRIBUTES = (
    "displayName",
    "name",
    "urn:oid:2.16.840.1.113730.3.1.241",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
)
# Ways of signing in there that are more than a password.
FACTORS = frozenset(
    {
        "https://refeds.org/profile/mfa",
        "http://schemas.microsoft.com/claims/multipleauthn",
        "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract",
        "urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken",
        "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI",
    }
)
_MICROSOFT_METHODS = "http://schemas.microsoft.com/claims/authnmethodsreferences"
_NS = {"saml": Constants.NS_SAML}
_XML_TROUBLE = (ValueError, SyntaxError, KeyError, TypeError, AttributeError, IndexError)
_SECURITY = {
    "wantAssertionsSigned": True,
    "wantAttributeStatement": False,
    "wantNameId": False,
    "rejectDeprecatedAlgorithm": True,
    "requestedAuthnContext": False,
    "allowRepeatAttributeName": True,
    "allowSingleLabelDomains": True,
    "signatureAlgorithm": Constants.RSA_SHA256,
    "digestAlgorithm": Constants.SHA256,
}


class MetadataUnreadable(Invalid):
    """What was given is no description of an identity provider."""

    code = "metadata_unreadable"


def read_metadata(xml: bytes) -> dict[str, Any]:
    """Return issuer, address and certificates from a provider's metadata.

    Raises ``MetadataUnreadable``; a document type definition is refused, entities with it.
    """
    try:
        found = OneLogin_Saml2_IdPMetadataParser.parse(xml).get("idp") or {}
    except (*_XML_TROUBLE, OneLogin_Saml2_Error) as error:
        raise MetadataUnreadable("This is not the metadata of an identity provider.") from error
    multiple = found.get("x509certMulti", {}).get("signing", [])
    certificates = [found["x509cert"]] if "x509cert" in found else multiple
    address = found.get("singleSignOnService", {}).get("url", "")
    issuer = str(found.get("entityId") or "")
    if not issuer or not address or not 0 < len(certificates) <= CERTIFICATES_MAX:
        raise MetadataUnreadable(
            "The metadata has to name an entity id, an address for sign-ins by HTTP-Redirect and"
            " a certificate to sign with."
        )
    if len(issuer) > 500 or len(address) > 500:
        raise MetadataUnreadable("The entity id or the address is too long.")
    check_address(address)
    kept = ["".join(each.split()) for each in certificates]
    try:
        for each in kept:
            x509.load_der_x509_certificate(b64decode(each, validate=True))
    except ValueError as error:
        raise MetadataUnreadable("A certificate in the metadata cannot be read.") from error
    return {"issuer": issuer, "sso_url": address, "certificates": kept}


def entity_id(request: HttpRequest, row: IdentityProvider) -> str:
    """Return our name towards a provider: where our metadata lies, on this tenant's host."""
    return request.build_absolute_uri(reverse("single_sign_on_metadata", args=[row.pk]))


def acs_url(request: HttpRequest, row: IdentityProvider) -> str:
    """Return where the provider's answers go."""
    return request.build_absolute_uri(reverse("single_sign_on_acs", args=[row.pk]))


def our_metadata(request: HttpRequest, row: IdentityProvider) -> bytes:
    """Return our own description, for the provider's side."""
    config = {"strict": True, "security": _SECURITY, "sp": _our_side(request, row)}
    text = OneLogin_Saml2_Settings(config, sp_validation_only=True).get_sp_metadata()
    return text if isinstance(text, bytes) else text.encode()


def _our_side(request: HttpRequest, row: IdentityProvider) -> dict[str, Any]:
    return {
        "entityId": entity_id(request, row),
        "assertionConsumerService": {
            "url": acs_url(request, row),
            "binding": Constants.BINDING_HTTP_POST,
        },
    }


def _auth(request: HttpRequest, row: IdentityProvider, answer: str = "") -> Any:
    config = {
        "strict": True,
        "security": _SECURITY,
        "sp": _our_side(request, row),
        "idp": {
            "entityId": row.issuer,
            "singleSignOnService": {
                "url": row.sso_url,
                "binding": Constants.BINDING_HTTP_REDIRECT,
            },
            "x509certMulti": {"signing": row.certificates},
        },
    }
    asked = {
        "https": "on" if request.is_secure() else "off",
        "http_host": request.get_host(),
        "script_name": reverse("single_sign_on_acs", args=[row.pk]),
        "get_data": {},
        "post_data": {"SAMLResponse": answer} if answer else {},
    }
    return OneLogin_Saml2_Auth(asked, config)


class MemberSAMLProvider(SAMLProvider):
    """A provider of the tenant, as allauth wants it."""

    def __init__(self, request: HttpRequest, row: IdentityProvider) -> None:
        self.row = row
        app = SocialApp(provider=self.id, provider_id=str(row.pk), name=row.name)
        super().__init__(request, app=app)

    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> HttpResponseRedirect:
        """Send somebody there; the request's id is what the answer has to name."""
        auth = _auth(request, self.row)
        address = auth.login(return_to="", force_authn=bool(kwargs.get("is_fresh")))
        self.stash_redirect_state(
            request, process, next_url, data, state_id=auth.get_last_request_id()
        )
        return HttpResponseRedirect(address)


def read_answer(request: HttpRequest, row: IdentityProvider, answer: str) -> MemberLogin:
    """Return what a genuine answer to a request of this browser says. Raises ``AnswerRefused``."""
    auth = _auth(request, row, answer)
    try:
        auth.process_response()
    except (*_XML_TROUBLE, OneLogin_Saml2_Error, OneLogin_Saml2_ValidationError) as error:
        raise AnswerRefused(f"The answer cannot be read: {type(error).__name__}.") from error
    if auth.get_errors() or not auth.is_authenticated():
        raise AnswerRefused(f"The answer is not good: {auth.get_last_error_reason()!s:.200}")
    request_id = auth.get_last_response_in_response_to() or ""
    state = statekit.unstash_state(request, provider_id=str(row.pk), state_id=request_id)
    if state is None:
        raise AnswerRefused("Nobody here asked for this answer, or it was used already.")
    signed = _signed_part(auth.get_last_response_xml())
    _check_bounds(
        signed,
        request_id=request_id,
        recipient=acs_url(request, row),
        audience=entity_id(request, row),
    )
    _spend(row, auth)
    login = MemberLogin(MemberSAMLProvider(request, row), row, _read(row, auth, signed))
    login.state = state
    return login


def _signed_part(xml: Any) -> Any:
    # One assertion, and that it is the signed one, python3-saml has checked.
    return OneLogin_Saml2_XML.to_etree(xml).find("saml:Assertion", _NS)


def _check_bounds(signed: Any, *, request_id: str, recipient: str, audience: str) -> None:
    """Refuse an assertion that does not itself say whom it is for: the envelope is not signed."""
    audiences = signed.iterfind("saml:Conditions/saml:AudienceRestriction/saml:Audience", _NS)
    if audience not in [(each.text or "").strip() for each in audiences]:
        raise AnswerRefused("The assertion was made for somebody else (audience).")
    path = "saml:Subject/saml:SubjectConfirmation[@Method='{}']/saml:SubjectConfirmationData"
    bearers = signed.findall(path.format(Constants.CM_BEARER), _NS)
    if len(bearers) != 1 or not bearers[0].get("NotOnOrAfter"):
        raise AnswerRefused("The assertion has to be for one bearer, with an end.")
    if bearers[0].get("InResponseTo") != request_id or bearers[0].get("Recipient") != recipient:
        raise AnswerRefused("The assertion was made for another sign-in.")


def _spend(row: IdentityProvider, auth: Any) -> None:
    end_s = auth.get_last_assertion_not_on_or_after() or 0
    remembered_s = min(max(end_s - time.time(), 0) + 3600, REMEMBERED_S_MAX)
    key = f"saml-assertion:{row.pk}:{auth.get_last_assertion_id()}"
    if not cache.add(key, 1, remembered_s):
        raise AnswerRefused("This assertion was used already.")


def _read(row: IdentityProvider, auth: Any, signed: Any) -> Assertion:
    attributes: dict[str, list[str]] = auth.get_attributes()
    name_id = auth.get_nameid() or ""
    email = _email(row, attributes, name_id)
    subject = email if auth.get_nameid_format() == Constants.NAMEID_TRANSIENT else name_id
    if not 0 < len(subject or email) <= SUBJECT_MAX:
        raise AnswerRefused("The assertion names nobody.")
    said = {*auth.get_last_authn_contexts(), *attributes.get(_MICROSOFT_METHODS, [])}
    statement = signed.find("saml:AuthnStatement", _NS)
    proved_at = statement.get("AuthnInstant") if statement is not None else None
    return Assertion(
        subject=subject or email,
        email=email,
        # The tenant's owner chose where the address stands; SAML has no word for "verified".
        is_email_verified=bool(email),
        name=_one(attributes, NAME_ATTRIBUTES),
        used_second_factor=bool(FACTORS & said),
        proved_at_s=float(OneLogin_Saml2_Utils.parse_SAML_to_time(proved_at))
        if proved_at
        else None,
    )


def _email(row: IdentityProvider, attributes: dict[str, list[str]], name_id: str) -> str:
    if row.email_attribute == "NameID":
        return name_id
    if row.email_attribute:
        return _one(attributes, (row.email_attribute,))
    named = tuple(name for name in EMAIL_ATTRIBUTES if name in attributes)
    if named:
        return _one(attributes, named[:1])
    return name_id if "@" in name_id else ""


def _one(attributes: dict[str, list[str]], names: tuple[str, ...]) -> str:
    """Return the first attribute that has exactly one value; two addresses would be a choice."""
    for name in names:
        values = [each for each in attributes.get(name, []) if isinstance(each, str)]
        if len(values) == 1:
            return values[0].strip()
    return ""


def is_base64(answer: str) -> bool:
    """Tell whether an answer can be one at all."""
    try:
        return bool(b64decode(answer))
    except (binascii.Error, ValueError):
        return False
