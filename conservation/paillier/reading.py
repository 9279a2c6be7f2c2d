"""Keys and ciphertexts from outside: every text is hostile until it is read."""

from __future__ import annotations

import re
from typing import Any

from conservation.paillier.ciphertexts import Ciphertext, product
from conservation.paillier.errors import Refused
from conservation.paillier.keys import BITS_MAX, BITS_MIN, PrivateKey, PublicKey

_HEX = re.compile(r"[0-9a-f]+\Z")


def read_public_key(text: Any, *, bits_min: int = BITS_MIN) -> PublicKey:
    """Return the key that hexadecimal digits name, or raise ``Refused``."""
    n = read_hex(text, digits_max=BITS_MAX // 4, what="the modulus")
    if not bits_min <= n.bit_length() <= BITS_MAX:
        raise Refused(f"a key has {bits_min} to {BITS_MAX} bits, this one {n.bit_length()}")
    if text.startswith("0"):
        raise Refused("the modulus begins with a zero")
    return PublicKey(n)


def read_ciphertext(key: PublicKey, text: Any, *, key_id: Any = None) -> Ciphertext:
    """Return the ciphertext that a text holds, or raise ``Refused``.

    Exactly ``key.hex_digits`` small digits, in range, prime to n; of this key where one is named.
    """
    if key_id is not None and key_id != key.key_id:
        raise Refused("a ciphertext belongs to another key")
    c = read_hex(text, digits_max=key.hex_digits, what="a ciphertext")
    if len(text) != key.hex_digits:
        raise Refused(f"a ciphertext has {key.hex_digits} digits, this one {len(text)}")
    return product(key, [Ciphertext(key.key_id, c)])


def read_hex(text: Any, *, digits_max: int, what: str) -> int:
    """Return the number that small hexadecimal digits write, or raise ``Refused``."""
    if not isinstance(text, str) or len(text) > digits_max or not _HEX.match(text):
        raise Refused(f"{what} is not written in up to {digits_max} small hexadecimal digits")
    return int(text, 16)


def write_private_key(private: PrivateKey) -> dict[str, str]:
    """Return a private key as plain values, for a file that its owner alone may read."""
    return {"p": format(private.p, "x"), "q": format(private.q, "x")}


def read_private_key(values: Any, *, bits_min: int = BITS_MIN) -> PrivateKey:
    """Return the private key that plain values hold, or raise ``Refused``; never quotes them."""
    if not isinstance(values, dict) or set(values) != {"p", "q"}:
        raise Refused("a private key holds p and q")
    p, q = (read_hex(values[each], digits_max=BITS_MAX // 8, what="a prime") for each in "pq")
    private = PrivateKey(p, q)
    if not bits_min <= private.public.bits <= BITS_MAX:
        raise Refused(f"a key has {bits_min} to {BITS_MAX} bits")
    return private
