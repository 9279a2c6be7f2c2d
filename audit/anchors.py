"""What is told of the log outside the database: the newest head, and a head an hour for good.

Each anchor is a line of a file that is only appended to, and where they are configured a message to
an HTTP address and a time stamp (RFC 3161) of an authority. A file on the same machine is the same
trust domain: copy it away, or let the hook do so.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates
from django.conf import settings
from rfc3161_client import (
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)
from rfc3161_client.base import HashAlgorithm

from audit.database import Connection
from audit.signing import public_path

# An anchor is due each hour: two that failed are a gap.
LATE = timedelta(hours=2)
ANSWER_S_MAX = 10.0
ANSWER_BYTES_MAX = 1_000_000


@dataclass(frozen=True)
class Anchor:
    """One way in which a head was told outside; ``trouble`` where it failed."""

    means: str
    trouble: str = ""


def head_path() -> Path:
    """Return the file that keeps the newest head of the whole: beside the public keys."""
    return public_path().with_name("log-head.note")


def anchors_path() -> Path:
    """Return the file to which anchors are appended."""
    return public_path().with_name("log-anchors.jsonl")


def kept_heads() -> list[str]:
    """Return the heads of the whole that are kept outside the database, as signed notes."""
    newest = [head_path().read_text()] if head_path().exists() else []
    return newest + anchored_heads()


def anchored_heads() -> list[str]:
    """Return the heads in the file of anchors."""
    if not anchors_path().exists():
        return []
    return [json.loads(line)["note"] for line in anchors_path().read_text().splitlines() if line]


def keep_head(note: str) -> None:
    """Replace the newest head: cutting the log off before it contradicts this file from now on."""
    fresh = head_path().with_name("log-head.note.new")
    fresh.write_text(note)
    fresh.replace(head_path())


def anchor_newest(connection: Connection, anchored_at: datetime) -> list[Anchor]:
    """Anchor the newest head in every way that is configured and has not told of it yet.

    A way that fails does not keep the others from being tried, and is tried again the next time.
    """
    newest = connection.execute(
        "SELECT size, note FROM public.audit_checkpoint ORDER BY size DESC LIMIT 1"
    ).fetchone()
    if newest is None:
        return []
    size, note = newest
    done = []
    for means, way in _ways().items():
        if _is_anchored(connection, means, size, note):
            continue
        try:
            token = way(note, anchored_at)
        except (OSError, ValueError) as error:
            done.append(Anchor(means, f"{type(error).__name__}: {error}"))
            continue
        connection.execute(
            "INSERT INTO public.audit_anchor (anchored_at, size, means, token)"
            " VALUES (%s, %s, %s, %s)",
            [anchored_at, size, means, token],
        )
        done.append(Anchor(means))
    return done


def late_ways(connection: Connection, now: datetime) -> list[str]:
    """Return the ways in which a head has waited for its anchor for longer than ``LATE``."""
    return [means for means in _ways() if _waits_since(connection, means, now) > LATE]


def _ways() -> dict[str, Callable[[str, datetime], bytes]]:
    ways: dict[str, Callable[[str, datetime], bytes]] = {"file": _append}
    if settings.AII_LOG_ANCHOR_URL:
        ways["http"] = _post
    if settings.AII_LOG_TSA_URL:
        ways["rfc3161"] = _stamp
    return ways


def _is_anchored(connection: Connection, means: str, size: int, note: str) -> bool:
    found = connection.execute(
        "SELECT 1 FROM public.audit_anchor WHERE size = %s AND means = %s", [size, means]
    )
    return found.fetchone() is not None and (means != "file" or note in anchored_heads())


def _waits_since(connection: Connection, means: str, now: datetime) -> timedelta:
    found = connection.execute(
        "SELECT made_at FROM public.audit_checkpoint WHERE size > coalesce("
        "(SELECT max(size) FROM public.audit_anchor WHERE means = %s), 0) ORDER BY size LIMIT 1",
        [means],
    ).fetchone()
    return now - found[0] if found else timedelta(0)


def _append(note: str, at: datetime) -> bytes:
    # It is there already where the process ended before the database knew.
    if note not in anchored_heads():
        _append_line(note, at)
    return sha256(note.encode()).digest()


def _append_line(note: str, at: datetime) -> None:
    line = json.dumps({"at": at.isoformat(), "note": note})
    with os.fdopen(
        os.open(anchors_path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w"
    ) as file:
        file.write(f"{line}\n")
        file.flush()
        os.fsync(file.fileno())


def _post(note: str, at: datetime) -> bytes:
    content = json.dumps({"at": at.isoformat(), "note": note}).encode()
    return _send(settings.AII_LOG_ANCHOR_URL, content, "application/json")


def _stamp(note: str, at: datetime) -> bytes:
    """Return the authority's answer, verified where its root certificates are at hand."""
    request = (
        TimestampRequestBuilder().data(note.encode()).hash_algorithm(HashAlgorithm.SHA256).build()
    )
    answer = _send(settings.AII_LOG_TSA_URL, request.as_bytes(), "application/timestamp-query")
    response = decode_timestamp_response(answer)
    if response.status != 0:
        raise ValueError(f"the authority refused: status {response.status}")
    if response.tst_info.message_imprint.message != sha256(note.encode()).digest():
        raise ValueError("the authority stamped something else")
    if settings.AII_LOG_TSA_ROOTS:
        verify_stamp(answer, note, Path(settings.AII_LOG_TSA_ROOTS), nonce=request.nonce)
    return answer


def verify_stamp(token: bytes, note: str, roots: Path, *, nonce: int | None = None) -> datetime:
    """Return when an authority below one of the root certificates (PEM) stamped a head.

    Raises ``ValueError`` for any other authority, head or nonce, and ``OSError`` without the file.
    """
    builder = VerifierBuilder() if nonce is None else VerifierBuilder().nonce(nonce)
    for certificate in load_pem_x509_certificates(roots.read_bytes()):
        builder = builder.add_root_certificate(certificate)
    try:
        response = decode_timestamp_response(token)
        builder.build().verify_message(response, note.encode())
    except VerificationError as refusal:
        raise ValueError(f"the time stamp does not verify: {refusal}") from None
    return response.tst_info.gen_time


def _send(url: str, content: bytes, kind: str) -> bytes:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url!r} is not an HTTP address")
    request = urllib.request.Request(url, content, {"Content-Type": kind})  # noqa: S310
    with urllib.request.urlopen(request, timeout=ANSWER_S_MAX) as answer:  # noqa: S310  # nosec B310
        return bytes(answer.read(ANSWER_BYTES_MAX))
