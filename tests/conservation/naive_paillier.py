"""Paillier's scheme as the paper of 1999 writes it, in Python's own integers: an oracle that shares
no code with ``conservation.paillier``. Any base g; sums, openings and decryption by lambda.
"""

from __future__ import annotations

import math


def encrypt(n: int, g: int, m: int, r: int) -> int:
    return pow(g, m, n * n) * pow(r, n, n * n) % (n * n)


def decrypt(p: int, q: int, g: int, c: int) -> int:
    n = p * q
    carmichael = math.lcm(p - 1, q - 1)

    def quotient(u: int) -> int:
        assert u % n == 1
        return (u - 1) // n

    of_c = quotient(pow(c, carmichael, n * n))
    of_g = quotient(pow(g, carmichael, n * n))
    return of_c * pow(of_g, -1, n) % n


def randomness(p: int, q: int, c: int) -> int:
    n = p * q
    return pow(c % n, pow(n, -1, (p - 1) * (q - 1)), n)


def product(n: int, ciphertexts: list[int]) -> int:
    return math.prod(ciphertexts) % (n * n)
