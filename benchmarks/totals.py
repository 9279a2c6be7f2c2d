"""T6: a conservation audit over 10 000 encrypted totals; how long it takes to prove and to verify.

Ours: keys of 2048 bits, encryption from prepared powers of one base, proof and check on gmpy2. The
peers, in the same run: Paillier's own encryption of 1999 (a fresh random r to the n-th power, no
preparation) on gmpy2, and the stranger's check, which is the same check in plain Python. The proved
sum is compared with the plain one, and one forged sum must be refused, before anything is printed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import gmpy2

from benchmarks._report import Row, median, publish
from conservation import paillier, verify_totals
from conservation.totals import publish_key

TOTALS = 10_000
PEER_TOTALS = 40
ROUNDS = 5


@dataclass(frozen=True)
class Figures:
    """Seconds of each round, and what was encrypted in how long."""

    prove: list[float]
    verify: list[float]
    alone: list[float]
    prepare_s: float
    encrypt_s: float
    plain_s: float


def main() -> None:
    found = measure()
    publish(
        "totals",
        [
            *rows(found),
            Row(
                "encryptions (peer: unprepared, as in 1999)",
                TOTALS / found.encrypt_s,
                "1/s",
                peer=PEER_TOTALS / found.plain_s,
                more_is_better=True,
            ),
            Row("prepare the powers of the base, once", found.prepare_s, "s"),
        ],
        [
            "Keys of 2048 bits; totals of up to 500 bits, exact.",
            f"The stand-alone check reads digits and checks the key: {median(found.alone):.2f} s.",
            f"Medians of {ROUNDS}; the best: prove {min(found.prove):.3f} s, verify"
            f" {min(found.verify):.3f} s.",
        ],
    )


def rows(found: Figures) -> list[Row]:
    """Return the two rows of T6."""
    return [
        Row("T6 prove the sum of 10 000 encrypted totals", median(found.prove), "s", goal=1),
        Row(
            "T6 verify it without a secret (peer: the file alone)",
            median(found.verify),
            "s",
            peer=median(found.alone),
            goal=1,
        ),
    ]


def measure() -> Figures:
    private = paillier.generate_key()
    key = private.public
    values = [secrets.randbelow(2**500) - 2**499 for _ in range(TOTALS)]

    prepare_s, table = timed(lambda: paillier.Encryptor(key))
    encrypt_s, hidden = timed(lambda: [table.encrypt(value).ciphertext for value in values])
    plain_s, _ = timed(lambda: [as_in_1999(key, value) for value in values[:PEER_TOTALS]])

    prove: list[float] = []
    verify: list[float] = []
    alone: list[float] = []
    for _ in range(ROUNDS):
        seconds, proof = timed(lambda: prove_all(private, hidden))
        assert proof.total == sum(values)
        prove.append(seconds)
        verify.append(timed(lambda proof=proof: verify_all(key, hidden, proof))[0])
        alone.append(timed(lambda proof=proof: verify_alone(private, hidden, proof))[0])
    refuse_a_forgery(key, hidden, proof)

    return Figures(prove, verify, alone, prepare_s, encrypt_s, plain_s)


def timed(way: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = way()
    return time.perf_counter() - start, result


def as_in_1999(key: paillier.PublicKey, value: int) -> int:
    r = secrets.randbelow(key.n - 1) + 1
    hidden = gmpy2.powmod(r, key.n, key.n_squared)
    return int((1 + value * gmpy2.mpz(key.n)) * hidden % key.n_squared)


def prove_all(private: paillier.PrivateKey, hidden: list) -> paillier.SumProof:
    whole = paillier.product(private.public, hidden)
    return paillier.prove_sum(private, whole, len(hidden))


def verify_all(key: paillier.PublicKey, hidden: list, proof: paillier.SumProof) -> None:
    paillier.verify_sum(key, paillier.product(key, hidden), proof, len(hidden))


def verify_alone(private: paillier.PrivateKey, hidden: list, proof: paillier.SumProof) -> None:
    """What the stranger's file does with 10 000 ciphertexts, from their digits, without gmpy2."""
    verify_totals.powmod = pow
    digits = [each.to_hex(private.public) for each in hidden]
    key = verify_totals.Key(publish_key(private), 2048)
    whole = key.product([key.read(text, "the sum") for text in digits], "the sum")
    stated = {"sum": str(proof.total), "randomness": format(proof.randomness, "x")}
    assert key.check_sum(whole, stated, len(hidden), "the sum") == proof.total


def refuse_a_forgery(key: paillier.PublicKey, hidden: list, proof: paillier.SumProof) -> None:
    forged = paillier.SumProof(proof.total + 1, proof.randomness)
    try:
        verify_all(key, hidden, forged)
    except paillier.ProofFailed:
        return
    raise AssertionError("a forged sum was verified")


if __name__ == "__main__":
    main()
