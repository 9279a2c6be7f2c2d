"""Heads stamped by a real time-stamping authority (RFC 3161): openssl behind an HTTP server."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from audit.anchors import anchored_heads, verify_stamp
from monitoring.tasks import anchor_log
from tests.audit.conftest import add_entries, key_file, sequencer  # noqa: F401  (fixtures)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl answers for the authority"),
]
CONFIG = """
[tsa]
default_tsa = own
[own]
serial = {folder}/serial
default_policy = 1.2.3.4.1
digests = sha256
signer_digest = sha256
accuracy = secs:1
"""


def certify(name: str, key, issuer: x509.Certificate | None, issuer_key) -> x509.Certificate:
    """Return a certificate of an authority: its own root, or one that may stamp."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        stamps = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(stamps, critical=True)
    return builder.sign(issuer_key, hashes.SHA256())


class Authority:
    """A folder with a root, a certificate that stamps, and what openssl needs to answer."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
        root = certify("root", root_key, None, root_key)
        stamper = certify("stamper", key, root, root_key)
        for name, certificate in (("root", root), ("stamper", stamper)):
            pem = certificate.public_bytes(serialization.Encoding.PEM)
            (folder / f"{name}.pem").write_bytes(pem)
        (folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))

    @property
    def roots(self) -> Path:
        return self.folder / "root.pem"

    def answer(self, query: bytes) -> bytes:
        (self.folder / "query.tsq").write_bytes(query)
        files = {"-queryfile": "query.tsq", "-signer": "stamper.pem", "-inkey": "key.pem"}
        files |= {"-config": "tsa.cnf", "-out": "answer.tsr"}
        named = [part for name, file in files.items() for part in (name, f"{self.folder}/{file}")]
        subprocess.run(["openssl", "ts", "-reply", *named], check=True, capture_output=True)
        return (self.folder / "answer.tsr").read_bytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as an authority does."""

    def do_POST(self):
        assert self.headers["Content-Type"] == "application/timestamp-query"
        query = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.server.kept or self.server.authority.answer(query)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tsa") / "own")


@pytest.fixture
def server(authority, settings):
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.authority, server.kept = authority, b""
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings.AII_LOG_TSA_URL = f"http://127.0.0.1:{server.server_port}/"
        settings.AII_LOG_TSA_ROOTS = str(authority.roots)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def superuser_tokens():
    """Return a function that reads the stamps that are kept."""
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as superuser:
        yield lambda: [
            bytes(row[0])
            for row in superuser.execute(
                "SELECT token FROM public.audit_anchor WHERE means = 'rfc3161' ORDER BY number"
            )
        ]


@pytest.fixture
def head(sequencer):  # noqa: F811
    add_entries("acme", 1)
    return sequencer.round().checkpoint


def test_a_stamp_is_kept_and_says_when(head, server, authority, superuser_tokens):
    anchor_log()
    (token,) = superuser_tokens()
    assert anchored_heads() == [head]
    stamped_at = verify_stamp(token, head, authority.roots)
    assert abs(stamped_at - datetime.now(UTC)) < timedelta(minutes=5)
    with pytest.raises(ValueError, match="does not verify"):
        verify_stamp(token, head.replace("\n", "\n\n", 1), authority.roots)
    with pytest.raises(ValueError, match="does not verify"):
        verify_stamp(token, head, authority.roots, nonce=1)


def test_the_stamp_of_an_authority_that_is_not_ours_is_refused_and_not_kept(
    head, server, tmp_path, settings, caplog, superuser_tokens
):
    settings.AII_LOG_TSA_ROOTS = str(Authority(tmp_path / "other").roots)
    anchor_log()
    assert "was not anchored (rfc3161): ValueError: the time stamp does not verify" in caplog.text
    assert superuser_tokens() == []
    # The other ways are not kept from it.
    assert anchored_heads() == [head]


def test_an_earlier_answer_played_again_is_refused(
    head,
    server,
    caplog,
    superuser_tokens,
    sequencer,  # noqa: F811
):
    anchor_log()
    (server.kept,) = superuser_tokens()
    add_entries("acme", 1)
    sequencer.round()
    anchor_log()
    assert "was not anchored (rfc3161): ValueError: the authority stamped something else" in (
        caplog.text
    )
    assert superuser_tokens() == [server.kept]
