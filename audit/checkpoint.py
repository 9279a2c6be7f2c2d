"""Signed heads as text: C2SP ``tlog-checkpoint`` in a ``signed-note``, Ed25519. Pure.

A note is text, an empty line, and signature lines ``— <name> <base64 of key id and signature>``.
A checkpoint's text is origin, size and root (base64), a line each, then extension lines. The key id
is the first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key), so a key counts under one name
alone: ours is the origin.

Notes come from files and from other machines: whatever is not exactly of this form is refused.
Signatures under other names or ids, such as those of witnesses, are left alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.merkle import HASH_BYTES, SIZE_MAX

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
# A head has one line of each witness. Longer texts are refused before anything is computed.
NOTE_CHARS_MAX = 64_000
SIGNATURES_MAX = 64
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


class NoteRefused(Exception):
    """A note, a checkpoint or a key is not what it claims to be; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a tree: whose it is, how many leaves, which root, and further lines."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """Return the checkpoint as a note that this key has signed under the origin's name."""
    text = text_of(checkpoint)
    return sign_text(text, checkpoint.origin, key)


def parse_and_verify(note: str, public_key: Ed25519PublicKey, origin: str) -> Checkpoint:
    """Return the checkpoint of a note that this key has signed for this origin.

    The origin is asked for because one key may sign for several logs, and a head of one must not
    pass for a head of another. Raises ``NoteRefused``.
    """
    text = open_note(note, public_key, origin)
    checkpoint = parse_text(text)
    if checkpoint.origin != origin:
        raise NoteRefused(f"The head is of {checkpoint.origin}, not of {origin}.")
    return checkpoint


def text_of(checkpoint: Checkpoint) -> str:
    """Return the text that is signed. Raises ``NoteRefused`` when it would not read back."""
    root = base64.b64encode(checkpoint.root).decode()
    lines = [checkpoint.origin, str(checkpoint.size), root, *checkpoint.extensions]
    text = "".join(f"{line}\n" for line in lines)
    if parse_text(text) != checkpoint:
        raise NoteRefused("A line of a checkpoint holds no line break.")
    return text


def parse_text(text: str) -> Checkpoint:
    """Return what the text of a checkpoint says, its signatures apart. Raises ``NoteRefused``."""
    _check_text(text)
    lines = text[:-1].split("\n")
    if len(lines) < 3 or "" in lines:
        raise NoteRefused("A checkpoint has three lines or more, and none of them is empty.")
    origin, size, root, *extensions = lines
    if not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or int(size) > SIZE_MAX:
        raise NoteRefused("The size of a checkpoint is a decimal number.")
    root_bytes = _decode(root)
    if len(root_bytes) != HASH_BYTES:
        raise NoteRefused(f"The root of a checkpoint has {HASH_BYTES} bytes.")
    return Checkpoint(origin, int(size), root_bytes, tuple(extensions))


def sign_text(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """Return any text as a note with one signature under ``name``."""
    _check_text(text)
    _check_name(name)
    signed = key_id(name, key.public_key()) + key.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(signed).decode()}\n"


def open_note(note: str, public_key: Ed25519PublicKey, name: str) -> str:
    """Return the text of a note that this key has signed under this name.

    Raises ``NoteRefused`` when no signature is of this key, and when one is and is wrong.
    """
    text, signatures = split_note(note)
    wanted = key_id(name, public_key)
    ours = [each for each in signatures if (each.name, each.key_id) == (name, wanted)]
    if not ours:
        raise NoteRefused(f"The note is not signed by {name} with this key.")
    for each in ours:
        try:
            public_key.verify(each.signature, text.encode())
        except InvalidSignature:
            raise NoteRefused(f"The signature of {name} is wrong.") from None
    return text


def signed_text(note: str) -> str:
    """Return the text of a note without looking at who signed it."""
    return split_note(note)[0]


def split_note(note: str) -> tuple[str, list[Signature]]:
    """Return the text of a note and its signatures, none of them verified."""
    if len(note) > NOTE_CHARS_MAX:
        raise NoteRefused(f"A note has at most {NOTE_CHARS_MAX} characters.")
    _check_text(note)
    text, empty_line, signed = note.rpartition("\n\n")
    lines = signed[:-1].split("\n")
    if not empty_line or not text or len(lines) > SIGNATURES_MAX:
        raise NoteRefused(
            f"A note is text, an empty line, and one to {SIGNATURES_MAX} signature lines."
        )
    return f"{text}\n", [_parse_signature(line) for line in lines]


def key_id(name: str, public_key: Ed25519PublicKey) -> bytes:
    """Return the four bytes by which a signature line names its key."""
    typed = _ED25519 + public_key.public_bytes_raw()
    return sha256(name.encode() + b"\n" + typed).digest()[:_KEY_ID_BYTES]


def verifier_key(name: str, public_key: Ed25519PublicKey) -> str:
    """Return the key as ``<name>+<key id>+<base64>``, the form in which verifiers are given it."""
    _check_name(name)
    typed = base64.b64encode(_ED25519 + public_key.public_bytes_raw()).decode()
    return f"{name}+{key_id(name, public_key).hex()}+{typed}"


def parse_verifier_key(text: str) -> tuple[str, Ed25519PublicKey]:
    """Return the name and the key of ``<name>+<key id>+<base64>``. Raises ``NoteRefused``."""
    name, _, rest = text.partition("+")
    identifier, _, typed_text = rest.partition("+")
    _check_name(name)
    typed = _decode(typed_text)
    if len(typed) != 33 or typed[:1] != _ED25519:
        raise NoteRefused("The key is not one of Ed25519.")
    public_key = Ed25519PublicKey.from_public_bytes(typed[1:])
    if identifier != key_id(name, public_key).hex():
        raise NoteRefused("The id of the key does not fit its name and bytes.")
    return name, public_key


def _parse_signature(line: str) -> Signature:
    match = re.fullmatch(r"— (\S+) (\S+)", line)
    if match is None:
        raise NoteRefused("A signature line is a dash, a name and base64.")
    name, encoded = match.groups()
    _check_name(name)
    signed = _decode(encoded)
    # Witnesses and later algorithms have signatures of other lengths; ours is checked by the id.
    if len(signed) <= _KEY_ID_BYTES:
        raise NoteRefused("A signature line holds no signature.")
    return Signature(name, signed[:_KEY_ID_BYTES], signed[_KEY_ID_BYTES:])


def _decode(text: str) -> bytes:
    """Decode base64 that is written in its one standard way."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found or base64.b64encode(found).decode() != text:
        raise NoteRefused("It is not base64.")
    return found


def _check_text(text: str) -> None:
    if not text.endswith("\n") or _CONTROL.search(text):
        raise NoteRefused("A note is lines of text without control characters.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NoteRefused("A note is UTF-8.") from None


def _check_name(name: str) -> None:
    if not name or "+" in name or any(each.isspace() for each in name) or _CONTROL.search(name):
        raise NoteRefused("The name of a key has neither spaces nor plus signs.")
