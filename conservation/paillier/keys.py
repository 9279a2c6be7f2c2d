"""Keys of Paillier's cryptosystem: made, and proved well-formed to anybody."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import gmpy2
from gmpy2 import mpz

from conservation.paillier.errors import ProofFailed, Refused

BITS = 2048
# What a key from outside must have; less is for tests, which make their own.
BITS_MIN, BITS_MAX = 2048, 8192
# Roots that prove a key: each lets a malformed n pass with probability below 2^-16.
KEY_ROOTS = 8
_TRIAL_PRIMES_BELOW = 2**16


@dataclass(frozen=True)
class PublicKey:
    """Encrypts and verifies. ``n`` is all there is to it; the rest follows from n."""

    n: int

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, int):
            raise Refused("the modulus of a key is an integer")
        if self.n < 15 or self.n % 2 == 0 or gmpy2.is_square(self.n):
            raise Refused("the modulus of a key is a product of two different odd primes")

    @cached_property
    def key_id(self) -> str:
        """SHA-256 of the modulus, written as in ``to_hex``."""
        return hashlib.sha256(b"aii/paillier/1\n" + self.to_hex().encode()).hexdigest()

    @property
    def bits(self) -> int:
        """The length of the modulus."""
        return self.n.bit_length()

    @cached_property
    def n_squared(self) -> mpz:
        """The modulus of ciphertexts."""
        return mpz(self.n) ** 2

    @property
    def value_max(self) -> int:
        """The largest size of a number that may be encrypted: 2^32 of them sum without wrapping."""
        return self.n >> 33

    @cached_property
    def h(self) -> mpz:
        """-x² mod n for an x that n itself fixes; every r is a power of it."""
        x = _hash_to_number(b"aii/paillier/h/1", self.n, 0)
        return mpz(self.n) - x * x % self.n

    @cached_property
    def base(self) -> mpz:
        """h^n mod n²: the base of all that hides a number."""
        return gmpy2.powmod(self.h, self.n, self.n_squared)

    @property
    def exponent_bits(self) -> int:
        """The length of the random exponent: half of the modulus."""
        return (self.bits + 1) // 2

    @property
    def hex_digits(self) -> int:
        """How many digits a ciphertext is written with."""
        return (2 * self.bits + 3) // 4

    def to_hex(self) -> str:
        """Return the modulus in small hexadecimal digits without leading zeros."""
        return format(self.n, "x")

    def __repr__(self) -> str:
        return f"PublicKey({self.key_id[:16]}…, {self.bits} bits)"


@dataclass(frozen=True)
class PrivateKey:
    """The two primes. Proves sums and the key; keep it where no ciphertext's owner has to trust."""

    p: int = field(repr=False)
    q: int = field(repr=False)

    def __post_init__(self) -> None:
        for prime in (self.p, self.q):
            if isinstance(prime, bool) or not isinstance(prime, int) or prime < 3:
                raise Refused("a private key is two odd primes")
            if prime % 4 != 3 or not gmpy2.is_prime(prime, 40):
                raise Refused("a private key is two primes that leave 3 when divided by 4")
        if gmpy2.gcd(self.p - 1, self.q - 1) != 2:
            raise Refused("p-1 and q-1 of a private key share no factor but 2")
        n = self.p * self.q
        if self.p == self.q or gmpy2.gcd(n, (self.p - 1) * (self.q - 1)) != 1:
            raise Refused("the primes of a private key do not fit together")

    @cached_property
    def public(self) -> PublicKey:
        """The part that everybody may know."""
        return PublicKey(self.p * self.q)

    def decode(self, c: mpz) -> int:
        """Return the number in [0, n) that c holds, by its remainders at p and q."""
        residues = []
        for prime in (mpz(self.p), mpz(self.q)):
            square, n = prime * prime, mpz(self.public.n)
            # L((1+n)^(p-1)) = n/p · (p-1) = -n/p mod p.
            inverse = gmpy2.invert(-(n // prime), prime)
            power = gmpy2.powmod_sec(c % square, prime - 1, square)
            residues.append((power - 1) // prime * inverse % prime)
        return self._join(*residues)

    def root_of(self, c: mpz) -> int:
        """Return the only number whose n-th power modulo n is c."""
        residues = []
        for prime in (mpz(self.p), mpz(self.q)):
            exponent = gmpy2.invert(self.public.n, prime - 1)
            residues.append(gmpy2.powmod_sec(c % prime, exponent, prime))
        return self._join(*residues)

    def _join(self, at_p: mpz, at_q: mpz) -> int:
        p, q = mpz(self.p), mpz(self.q)
        return int(at_p + p * ((at_q - at_p) * gmpy2.invert(p, q) % q))


def generate_key(bits: int = BITS) -> PrivateKey:
    """Return a new key from the system's randomness. About a second at 2048 bits."""
    if bits % 2 or not 64 <= bits <= BITS_MAX:
        raise Refused(f"a key has an even number of bits from 64 to {BITS_MAX}, not {bits}")
    while True:
        p, q = _prime(bits // 2), _prime(bits // 2)
        # Primes that lie close together are found by Fermat's method.
        far_apart = abs(p - q).bit_length() > max(bits // 2 - 100, bits // 4)
        if far_apart and gmpy2.gcd(p - 1, q - 1) == 2 and (p * q).bit_length() == bits:
            return PrivateKey(p, q)


def _prime(bits: int) -> int:
    """Return p ≡ 3 (mod 4) with its two highest bits set and no small prime in (p-1)/2."""
    # Among the few primes of a test's short keys there may be none so good.
    small = _small_primes() if bits >= 128 else [mpz(1)]
    while True:
        p = mpz(secrets.randbits(bits)) | 3 | 3 << (bits - 2)
        candidate = p * ((p - 1) // 2)
        if all(gmpy2.gcd(candidate, each) == 1 for each in small) and gmpy2.is_prime(p, 40):
            return int(p)


def _small_primes() -> list[mpz]:
    """Return the odd primes below 2^16 as products: one division by each tests them all."""
    small = gmpy2.primorial(1000) // 2
    return [small, gmpy2.primorial(_TRIAL_PRIMES_BELOW - 1) // 2 // small]


def prove_key(private: PrivateKey) -> tuple[int, ...]:
    """Return the n-th roots of numbers that n fixes: they exist for a well-formed n alone.

    If a prime of n divides (p-1)(q-1), a ciphertext could be opened as several numbers. But then
    taking n-th powers is not one to one, and of all numbers at most the share 1/prime has a root.
    With all primes of n above 2^16, eight numbers that nobody chose all have one with a probability
    below 2^-128.
    """
    key = private.public
    return tuple(private.root_of(each) for each in challenges(key))


def verify_key(key: PublicKey, roots: Sequence[int]) -> None:
    """Raise ``ProofFailed`` unless the roots prove that each ciphertext holds one number alone."""
    if any(gmpy2.gcd(key.n, part) != 1 for part in [mpz(2), *_small_primes()]):
        raise ProofFailed("the key has a small factor")
    if len(roots) != KEY_ROOTS:
        raise ProofFailed(f"a key is proved by {KEY_ROOTS} roots, not {len(roots)}")
    for root, challenge in zip(roots, challenges(key), strict=True):
        if isinstance(root, bool) or not isinstance(root, int) or not 0 < root < key.n:
            raise ProofFailed("a root lies outside of its range")
        if gmpy2.powmod(root, key.n, key.n) != challenge:
            raise ProofFailed("a root does not fit: the key may be malformed")


def challenges(key: PublicKey) -> list[mpz]:
    """Return the numbers whose n-th roots prove the key: n fixes them, nobody chooses."""
    return [_hash_to_number(b"aii/paillier/root/1", key.n, i) for i in range(KEY_ROOTS)]


def _hash_to_number(purpose: bytes, n: int, index: int) -> mpz:
    """Return a number below n: SHA-256 in counter mode, 128 bits longer than n, then modulo n."""
    digits = format(n, "x").encode()
    blocks = -(-(n.bit_length() + 128) // 256)
    stream = b"".join(
        hashlib.sha256(b"%s\n%s\n%d %d" % (purpose, digits, index, block)).digest()
        for block in range(blocks)
    )
    return mpz(int.from_bytes(stream, "big")) % n
