"""The sum of hidden numbers, proved by the key's holder and checked by anybody."""

from __future__ import annotations

from dataclasses import dataclass

import gmpy2
from gmpy2 import mpz

from conservation.paillier.ciphertexts import Ciphertext, check_range, check_value, product
from conservation.paillier.errors import ProofFailed, Refused
from conservation.paillier.keys import PrivateKey, PublicKey

TERMS_MAX = 2**32


@dataclass(frozen=True)
class SumProof:
    """The sum of some ciphertexts, and the randomness that proves it to anybody."""

    total: int
    randomness: int


def prove_sum(private: PrivateKey, whole: Ciphertext, terms: int) -> SumProof:
    """Return the sum that a product of ``terms`` ciphertexts holds, with its proof.

    ``whole`` must be a product of more than one participant's ciphertexts wherever a single number
    is nobody's business: this function cannot tell. Raises ``Refused`` where the sum lies outside
    of what ``terms`` numbers in range can make.
    """
    key = private.public
    c = mpz(product(key, [whole]).c)
    total = _signed(key, private.decode(c), terms)
    return SumProof(total, private.root_of(c % key.n))


def verify_sum(key: PublicKey, whole: Ciphertext, proof: SumProof, terms: int) -> None:
    """Raise ``ProofFailed`` unless the sum inside ``whole`` is the one stated. No secret needed."""
    check_range(key, whole)
    if isinstance(proof.total, bool) or not isinstance(proof.total, int):
        raise ProofFailed("the sum is no integer")
    if abs(proof.total) > _total_max(key, terms):
        raise ProofFailed("the sum is larger than so many numbers can make it")
    _verify_opening(key, whole, proof.total, proof.randomness)


def verify_value(key: PublicKey, ciphertext: Ciphertext, value: int, randomness: int) -> None:
    """Raise ``ProofFailed`` unless one opened ciphertext holds this number."""
    check_range(key, ciphertext)
    check_value(key, value)
    _verify_opening(key, ciphertext, value, randomness)


def _verify_opening(key: PublicKey, ciphertext: Ciphertext, value: int, r: int) -> None:
    if isinstance(r, bool) or not isinstance(r, int) or not 0 < r < key.n:
        raise ProofFailed("the randomness lies outside of its range")
    if gmpy2.gcd(r, key.n) != 1:
        raise ProofFailed("the randomness shares a factor with the key")
    made = (1 + value * mpz(key.n)) * gmpy2.powmod(r, key.n, key.n_squared) % key.n_squared
    if made != ciphertext.c:
        raise ProofFailed("the number and its randomness do not give the ciphertext")


def _signed(key: PublicKey, residue: int, terms: int) -> int:
    total = residue - key.n if residue > key.n // 2 else residue
    if abs(total) > _total_max(key, terms):
        raise Refused("the sum is out of range: a participant posted more than may be posted")
    return total


def _total_max(key: PublicKey, terms: int) -> int:
    if isinstance(terms, bool) or not isinstance(terms, int) or not 0 <= terms <= TERMS_MAX:
        raise Refused(f"a sum has 0 to {TERMS_MAX} terms")
    return terms * key.value_max
