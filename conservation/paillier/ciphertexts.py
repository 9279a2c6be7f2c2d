"""Hiding numbers, and adding what is hidden."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

import gmpy2
from gmpy2 import mpz

from conservation.paillier.errors import Refused
from conservation.paillier.keys import PublicKey

_WINDOW_BITS = 7


@dataclass(frozen=True)
class Ciphertext:
    """A number that is hidden under one key: ``key_id`` says which."""

    key_id: str
    c: int

    def to_hex(self, key: PublicKey) -> str:
        """Return its digits, always as many as the key's ``hex_digits``."""
        return format(self.c, f"0{key.hex_digits}x")


@dataclass(frozen=True)
class Sealed:
    """A ciphertext with what opens it: for the one who encrypted, and nobody else."""

    ciphertext: Ciphertext
    value: int
    exponent: int = field(repr=False)

    def randomness(self, key: PublicKey) -> int:
        """Return r, with which anybody can check ``value``."""
        return int(gmpy2.powmod_sec(key.h, mpz(self.exponent), mpz(key.n))) if self.exponent else 1


def encrypt(key: PublicKey, value: int) -> Sealed:
    """Hide one number, about 15 ms at 2048 bits; for many use an ``Encryptor``.

    Raises ``Refused`` for anything but an integer of at most ``key.value_max`` in size.
    """
    exponent = secrets.randbits(key.exponent_bits)
    hidden = gmpy2.powmod_sec(key.base, mpz(exponent), key.n_squared) if exponent else mpz(1)
    return _seal(key, value, exponent, hidden)


class Encryptor:
    """Hides many numbers under one key: powers of its base are prepared once.

    The table takes about 10 MB and as long as twenty plain encryptions at 2048 bits.
    """

    def __init__(self, key: PublicKey) -> None:
        self.key = key
        self._rows: list[list[mpz]] = []
        power, square = key.base, key.n_squared
        for _ in range(0, key.exponent_bits, _WINDOW_BITS):
            row = [mpz(1), power]
            for _ in range(2**_WINDOW_BITS - 2):
                row.append(row[-1] * power % square)
            self._rows.append(row)
            power = row[-1] * power % square

    def encrypt(self, value: int) -> Sealed:
        """Hide one number; as ``encrypt``, some ten times faster."""
        exponent = secrets.randbits(self.key.exponent_bits)
        square, hidden, rest = self.key.n_squared, mpz(1), exponent
        for row in self._rows:
            digit = rest & (2**_WINDOW_BITS - 1)
            if digit:
                hidden = hidden * row[digit] % square
            rest >>= _WINDOW_BITS
        return _seal(self.key, value, exponent, hidden)


def _seal(key: PublicKey, value: int, exponent: int, hidden: mpz) -> Sealed:
    check_value(key, value)
    c = (1 + value * mpz(key.n)) * hidden % key.n_squared
    return Sealed(Ciphertext(key.key_id, int(c)), value, exponent)


def check_value(key: PublicKey, value: int) -> None:
    """Raise ``Refused`` for what may not be encrypted: anything but an integer in range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(f"only integers are encrypted, not {type(value).__name__}")
    if abs(value) > key.value_max:
        raise Refused("the number is too large: sums of such numbers could wrap around")


def product(key: PublicKey, ciphertexts: Iterable[Ciphertext]) -> Ciphertext:
    """Return the ciphertext of the sum; the empty sum is 1, which holds 0.

    Raises ``Refused`` where one is of another key, out of range, or shares a factor with n.
    10 000 take about 0.1 s at 2048 bits.
    """
    square, result = key.n_squared, mpz(1)
    for each in ciphertexts:
        check_range(key, each)
        result = result * each.c % square
    # One test for all: a factor of n in any of them is a factor of their product.
    if gmpy2.gcd(result, key.n) != 1:
        raise Refused("a ciphertext shares a factor with the key: it was not made by encrypting")
    return Ciphertext(key.key_id, int(result))


def negate(key: PublicKey, ciphertext: Ciphertext) -> Ciphertext:
    """Return a ciphertext of the opposite number."""
    inverse = gmpy2.invert(mpz(product(key, [ciphertext]).c), key.n_squared)
    return Ciphertext(key.key_id, int(inverse))


def check_range(key: PublicKey, ciphertext: Ciphertext) -> None:
    """Raise ``Refused`` for a ciphertext of another key or outside of (0, n²)."""
    if ciphertext.key_id != key.key_id:
        raise Refused("a ciphertext belongs to another key")
    if not 0 < ciphertext.c < key.n_squared:
        raise Refused("a ciphertext lies outside of its range")
