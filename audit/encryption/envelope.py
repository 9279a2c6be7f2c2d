"""The byte formats: content sealed under a data key, and a data key wrapped under a KEK.

Sealed content is ``version (1 byte, 1) | key id (16) | nonce (12) | ciphertext and tag`` of
AES-256-GCM; a wrapped data key ``version (1) | nonce (12) | ciphertext and tag (48)``. What must
not be exchangeable goes into the additional data, each part with its length before it, so no two
lists of parts give the same bytes. Nonces are random: NIST SP 800-38D allows 2**32 of them for one
key, far above what one subject gets. Limit: the length of the content shows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.encryption.errors import SealBroken

KEY_BYTES = 32
PLAINTEXT_BYTES_MAX = 1024 * 1024

_VERSION = b"\x01"
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 16, 12, 16
_HEADER_BYTES = 1 + _ID_BYTES
OVERHEAD_BYTES = _HEADER_BYTES + _NONCE_BYTES + _TAG_BYTES
_WRAPPED_BYTES = 1 + _NONCE_BYTES + KEY_BYTES + _TAG_BYTES


@dataclass(frozen=True, slots=True)
class Parts:
    """Sealed content, taken apart."""

    key_id: UUID
    nonce: bytes
    ciphertext: bytes


def additional_data(*parts: str | int) -> bytes:
    """Return the parts as bytes that no other list of parts gives."""
    encoded = [str(part).encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def seal(cipher: AESGCM, key_id: UUID, plaintext: bytes, bound_to: bytes) -> bytes:
    """Return the plaintext under a data key, bound to ``bound_to``."""
    if len(plaintext) > PLAINTEXT_BYTES_MAX:
        raise ValueError(f"At most {PLAINTEXT_BYTES_MAX} bytes are sealed in one piece.")
    header = _VERSION + key_id.bytes
    nonce = os.urandom(_NONCE_BYTES)
    return header + nonce + cipher.encrypt(nonce, plaintext, header + bound_to)


def take_apart(sealed: bytes) -> Parts:
    """Return the parts of sealed content; raise ``SealBroken`` where the shape is wrong."""
    if not OVERHEAD_BYTES <= len(sealed) <= OVERHEAD_BYTES + PLAINTEXT_BYTES_MAX:
        raise SealBroken(f"{len(sealed)} bytes are no sealed content.")
    if sealed[:1] != _VERSION:
        raise SealBroken(f"Version {sealed[0]} of sealed content is not known.")
    nonce_end = _HEADER_BYTES + _NONCE_BYTES
    return Parts(
        UUID(bytes=sealed[1:_HEADER_BYTES]), sealed[_HEADER_BYTES:nonce_end], sealed[nonce_end:]
    )


def key_ids(sealed: Iterable[bytes]) -> set[UUID]:
    """Return the ids of the keys of much content; what has no readable one is left out."""
    found = {bytes(each[1:_HEADER_BYTES]) for each in sealed}
    return {UUID(bytes=each) for each in found if len(each) == _ID_BYTES}


def open_parts(cipher: AESGCM, parts: Parts, bound_to: bytes) -> bytes:
    """Return the plaintext; raise ``SealBroken`` unless every bit and every bond is as sealed."""
    header = _VERSION + parts.key_id.bytes
    try:
        return cipher.decrypt(parts.nonce, parts.ciphertext, header + bound_to)
    except InvalidTag:
        raise SealBroken("The content was altered, or sealed for another place.") from None


def wrap(cipher: AESGCM, data_key: bytes, bound_to: bytes) -> bytes:
    """Return a data key under a KEK, bound to ``bound_to``."""
    nonce = os.urandom(_NONCE_BYTES)
    return _VERSION + nonce + cipher.encrypt(nonce, data_key, _VERSION + bound_to)


def unwrap(cipher: AESGCM, wrapped: bytes, bound_to: bytes) -> bytes:
    """Return the data key; raise ``SealBroken`` unless every bit and every bond is as wrapped."""
    if len(wrapped) != _WRAPPED_BYTES or wrapped[:1] != _VERSION:
        raise SealBroken("This is no wrapped data key of version 1.")
    nonce_end = 1 + _NONCE_BYTES
    try:
        return cipher.decrypt(wrapped[1:nonce_end], wrapped[nonce_end:], _VERSION + bound_to)
    except InvalidTag:
        raise SealBroken("The wrapped data key was altered, or belongs elsewhere.") from None
