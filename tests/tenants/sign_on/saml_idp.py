"""A SAML identity provider: real requests read, real answers signed with xmlsec."""

from __future__ import annotations

import base64
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from lxml import etree
from onelogin.saml2.utils import OneLogin_Saml2_Utils

ENTITY = "https://saml.example/idp"
SSO_URL = "https://saml.example/sso"
_NS = 'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"'
_PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"


def key_and_certificate() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=9000))
        .not_valid_after(now + timedelta(days=9000))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


class SAMLIdP:
    """What it says can be bent by the tests."""

    def __init__(self) -> None:
        self.key, self.certificate = key_and_certificate()
        self.other_key, self.other_certificate = key_and_certificate()
        self.reset()

    def reset(self) -> None:
        self.signer = (self.key, self.certificate)
        self.sso_url = SSO_URL
        self.bent: dict[str, Any] = {}
        self.signs, self.signs_envelope = True, False
        self.asked: dict[str, str] = {}

    def metadata(self, extra: str = "") -> bytes:
        der = "".join(self.certificate.splitlines()[1:-1])
        return f"""<?xml version="1.0"?>{extra}
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{ENTITY}">
<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
<ds:X509Data><ds:X509Certificate>{der}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>
</md:KeyDescriptor>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
 Location="{self.sso_url}"/></md:IDPSSODescriptor></md:EntityDescriptor>""".encode()

    def read(self, address: str) -> dict[str, str]:
        """Return what a request asks."""
        assert address.startswith(f"{self.sso_url}?")
        packed = parse_qs(urlsplit(address).query)["SAMLRequest"][0]
        request = etree.fromstring(zlib.decompress(base64.b64decode(packed), -15))
        return {
            "id": request.get("ID"),
            "acs": request.get("AssertionConsumerServiceURL"),
            "issuer": request.findtext("{urn:oasis:names:tc:SAML:2.0:assertion}Issuer"),
            "force": request.get("ForceAuthn", ""),
        }

    def respond(self, address: str, email: str) -> str:
        """Return the answer that a person's browser posts back, in base64."""
        self.asked = self.read(address)
        return self.pack(self.assertion(email), self.asked)

    def assertion(self, email: str) -> str:
        now = datetime.now(UTC)
        said = {
            "id": f"_{uuid4().hex}",
            "issuer": ENTITY,
            "audience": self.asked["issuer"],
            "recipient": self.asked["acs"],
            "in_response_to": self.asked["id"],
            "end": now + timedelta(minutes=5),
            "context": _PASSWORD,
            "instant": now,
            "name_id": email,
            "email": email,
            **self.bent,
        }
        end, start = _at(said["end"]), _at(said["end"] - timedelta(minutes=10))
        for_whom = (
            f"<saml:AudienceRestriction><saml:Audience>{said['audience']}</saml:Audience>"
            "</saml:AudienceRestriction>"
            if said["audience"]
            else ""
        )
        asked_by = f' InResponseTo="{said["in_response_to"]}"' if said["in_response_to"] else ""
        xml = (
            f'<saml:Assertion {_NS} ID="{said["id"]}" Version="2.0" IssueInstant="{_at(now)}">'
            f"<saml:Issuer>{said['issuer']}</saml:Issuer><saml:Subject><saml:NameID"
            ' Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">'
            f"{said['name_id']}</saml:NameID><saml:SubjectConfirmation"
            ' Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData'
            f' NotOnOrAfter="{end}" Recipient="{said["recipient"]}"{asked_by}/>'
            f'</saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{start}"'
            f' NotOnOrAfter="{end}">{for_whom}</saml:Conditions>'
            f'<saml:AuthnStatement AuthnInstant="{_at(said["instant"])}"><saml:AuthnContext>'
            f"<saml:AuthnContextClassRef>{said['context']}</saml:AuthnContextClassRef>"
            "</saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>"
            '<saml:Attribute Name="email"><saml:AttributeValue>'
            f"{said['email']}</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>"
            "</saml:Assertion>"
        )
        return sign(xml, *self.signer) if self.signs else xml

    def pack(self, assertion: str, asked: dict[str, str], *, extra: str = "") -> str:
        answer = (
            '<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
            f' {_NS} ID="_{uuid4().hex}" Version="2.0" IssueInstant="{_at(datetime.now(UTC))}"'
            f' Destination="{asked["acs"]}"'
            + (f' InResponseTo="{asked["id"]}"' if asked["id"] else "")
            + f"><saml:Issuer>{ENTITY}</saml:Issuer><samlp:Status><samlp:StatusCode"
            ' Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
            f"{assertion}</samlp:Response>"
        )
        if self.signs_envelope:
            answer = sign(answer, *self.signer)
        return base64.b64encode((extra + answer).encode()).decode()


def sign(xml: str, key: str, certificate: str) -> str:
    signed: Any = OneLogin_Saml2_Utils.add_sign(xml, key, certificate)
    return signed.decode() if isinstance(signed, bytes) else signed


def _at(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"
