"""The byte formats, alone: no database, no settings."""

from __future__ import annotations

import os
import uuid

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from audit.encryption import envelope
from audit.encryption.errors import SealBroken

KEY = bytes(range(32))
CIPHER = AESGCM(KEY)
KEY_ID = uuid.UUID(int=7)
BOND = envelope.additional_data("acme", "notes|text", "person:1", 1)


def open_again(sealed: bytes, bond: bytes = BOND) -> bytes:
    return envelope.open_parts(CIPHER, envelope.take_apart(sealed), bond)


def test_the_format_is_the_one_that_is_written_down():
    """Independent oracle: the layout of the module's text, taken apart by hand."""
    sealed = envelope.seal(CIPHER, KEY_ID, b"hello", BOND)
    assert len(sealed) == envelope.OVERHEAD_BYTES + 5
    assert sealed[:17] == b"\x01" + KEY_ID.bytes
    assert AESGCM(KEY).decrypt(sealed[17:29], sealed[29:], sealed[:17] + BOND) == b"hello"


@given(st.binary(max_size=200))
def test_what_is_sealed_opens(plaintext):
    assert open_again(envelope.seal(CIPHER, KEY_ID, plaintext, BOND)) == plaintext


@given(st.binary(max_size=40), st.data())
def test_one_flipped_bit_and_it_does_not_open(plaintext, data):
    sealed = bytearray(envelope.seal(CIPHER, KEY_ID, plaintext, BOND))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        open_again(bytes(sealed))


def test_every_bit_of_one_message_matters():
    sealed = envelope.seal(CIPHER, KEY_ID, b"x", BOND)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            open_again(bytes(changed))


@given(st.binary(max_size=120))
def test_foreign_bytes_are_refused_and_nothing_else_happens(junk):
    with pytest.raises(SealBroken):
        open_again(junk)


@given(st.binary(max_size=40), st.integers(1, 60))
def test_a_cut_or_lengthened_message_does_not_open(plaintext, count):
    sealed = envelope.seal(CIPHER, KEY_ID, plaintext, BOND)
    for changed in (sealed[:-count], sealed + bytes(count), sealed[count:]):
        with pytest.raises(SealBroken):
            open_again(changed)


PART = st.text(alphabet=st.characters(codec="utf-8"), max_size=8)


@given(st.lists(PART, max_size=4), st.lists(PART, max_size=4))
def test_other_parts_give_other_additional_data(first, second):
    same = envelope.additional_data(*first) == envelope.additional_data(*second)
    assert same == (first == second)


@pytest.mark.parametrize(
    "place",
    [
        ("globex", "notes|text", "person:1", 1),
        ("acme", "notes|other", "person:1", 1),
        ("acme", "notes|text", "person:2", 1),
        ("acme", "notes|text", "person:1", 2),
        ("acme", "notes", "text", "person:1", 1),
    ],
)
def test_content_moved_elsewhere_does_not_open(place):
    sealed = envelope.seal(CIPHER, KEY_ID, b"hello", BOND)
    with pytest.raises(SealBroken):
        open_again(sealed, envelope.additional_data(*place))


def test_the_same_content_is_sealed_differently_each_time():
    assert len({envelope.seal(CIPHER, KEY_ID, b"same", BOND) for _ in range(1000)}) == 1000


def test_too_much_content_is_refused():
    with pytest.raises(ValueError, match="At most"):
        envelope.seal(CIPHER, KEY_ID, bytes(envelope.PLAINTEXT_BYTES_MAX + 1), BOND)


@given(st.data())
def test_a_wrapped_key_with_one_flipped_bit_does_not_open(data):
    wrapped = bytearray(envelope.wrap(CIPHER, os.urandom(32), BOND))
    bit = data.draw(st.integers(0, 8 * len(wrapped) - 1))
    wrapped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealBroken):
        envelope.unwrap(CIPHER, bytes(wrapped), BOND)


def test_a_wrapped_key_opens_only_where_it_belongs():
    wrapped = envelope.wrap(CIPHER, KEY, BOND)
    assert envelope.unwrap(CIPHER, wrapped, BOND) == KEY
    assert KEY not in wrapped
    for bond, bytes_ in ((BOND + b"x", wrapped), (BOND, wrapped[:-1]), (BOND, b"")):
        with pytest.raises(SealBroken):
            envelope.unwrap(CIPHER, bytes_, bond)
