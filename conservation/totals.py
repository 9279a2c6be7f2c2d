"""A round of encrypted totals: what each participant posts, what the key's holder publishes.

Each participant posts, for each quantity, ciphertexts of four integers: what it held at the
previous round (the ciphertext that it posted then, so it is bound to it), what it holds now, what
came in or left through declared sources and sinks since then (its *flux*), and by how much its own
laws let it stray (its *limit*, 0 where all are exact). The law of the round is

    | sum of (now - before - flux) |  <=  sum of limits

over all participants. Both sums, and nothing else, are decrypted and proved. It can fail: where a
holding changed without a declared source or sink, at whichever participant. Errors of two
participants that cancel are not seen, and should not be: a transfer between them is such a pair.

A participant's first posting is a beginning: it binds, and is compared in the next round. Where
somebody did not answer, or nobody has anything to compare, the verdict is UNKNOWN.

**Integers.** A finite double is an integer times a power of two. Holdings in SI are counted in
2^-200 of their unit, in which every double of at least 2^-148 in size is exact; smaller ones are
rounded to the nearest, and each rounded one adds one quantum to the limit. Bits and minor units are
counted by one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from conservation import paillier
from conservation.laws import Kind
from conservation.paillier import Ciphertext, PrivateKey, PublicKey
from conservation.verification import Status, worst

FORMAT = "aii-totals/1"
# 2^-200 of an SI unit; a double is at most 2^300 of it here (about 2e90).
FINE_QUANTUM_LOG2 = -200
_SIZE_MAX_LOG2 = 300


@dataclass(frozen=True)
class GlobalLaw:
    """A quantity whose sum over participants is verified, and the integer that counts it."""

    quantity: str
    unit: str
    quantum_log2: int
    kind: Kind

    @property
    def quantum(self) -> str:
        """Its quantum as people write it."""
        return "1" if self.quantum_log2 == 0 else f"2^{self.quantum_log2}"

    def to_quanta(self, value: float) -> tuple[int, bool]:
        """Return a number in quanta, and whether it had to be rounded; half goes to even.

        Raises ``Refused`` for a number that is not finite or is past 2^300 units.
        """
        if not math.isfinite(value) or abs(value) > 2.0**_SIZE_MAX_LOG2:
            raise paillier.Refused("the number is not finite, or past 2^300 units")
        exact = Fraction(value) / Fraction(2) ** self.quantum_log2
        quanta = round(exact)
        return quanta, quanta != exact

    def to_float(self, quanta: int) -> float:
        """Return quanta in units, as near as a double comes."""
        return float(Fraction(quanta) * Fraction(2) ** self.quantum_log2)


@dataclass(frozen=True)
class Posting:
    """One participant's ciphertexts of one quantity. ``before`` is None in its first round."""

    participant: str
    now: Ciphertext
    before: Ciphertext | None = None
    flux: Ciphertext | None = None
    limit: Ciphertext | None = None

    def __post_init__(self) -> None:
        if len({each is None for each in (self.before, self.flux, self.limit)}) != 1:
            raise paillier.Refused("a posting has before, flux and limit, or none of them")


@dataclass(frozen=True)
class Silence:
    """A participant that did not answer for one quantity, and why."""

    participant: str
    why: str


def publish_law(
    private: PrivateKey, law: GlobalLaw, postings: Sequence[Posting], silent: Sequence[Silence]
) -> dict[str, Any]:
    """Return the published part of one law, its two sums decrypted and proved.

    Raises ``Refused`` where a ciphertext will not do. A sum out of range is published as a problem,
    and the verdict is UNKNOWN. A product for each of four columns and two decryptions: about half a
    second for 10 000 participants.
    """
    compared = [each for each in postings if each.before is not None]
    published: dict[str, Any] = {
        "quantity": law.quantity,
        "unit": law.unit,
        "quantum": law.quantum,
        "kind": str(law.kind),
        "postings": [_written(private.public, each) for each in postings],
        "silent": [{"participant": each.participant, "why": each.why} for each in silent],
        "balance": None,
        "limit": None,
        "problem": None,
        "verdict": str(Status.UNKNOWN),
    }
    # The beginnings are not summed; they are checked all the same.
    paillier.product(private.public, [each.now for each in postings])
    if not compared:
        return published
    whole, allowed = balance_of(private.public, compared), limit_of(private.public, compared)
    try:
        balance = paillier.prove_sum(private, whole, 3 * len(compared))
        limit = paillier.prove_sum(private, allowed, len(compared))
    except paillier.Refused as refusal:
        # Somebody encrypted what may not be posted. Who is not known, so nothing is.
        published["problem"] = str(refusal)
        return published
    published["balance"] = _proof(balance)
    published["limit"] = _proof(limit)
    if not silent:
        published["verdict"] = str(judge(law.kind, balance.total, limit.total))
    return published


def balance_of(key: PublicKey, compared: Sequence[Posting]) -> Ciphertext:
    """Return the ciphertext of the sum of now - before - flux."""
    gone = [c for each in compared for c in (each.before, each.flux) if c is not None]
    held = paillier.product(key, [each.now for each in compared])
    return paillier.product(key, [held, paillier.negate(key, paillier.product(key, gone))])


def limit_of(key: PublicKey, compared: Sequence[Posting]) -> Ciphertext:
    """Return the ciphertext of the sum of the limits."""
    return paillier.product(key, [each.limit for each in compared if each.limit is not None])


def judge(kind: Kind, balance: int, limit: int) -> Status:
    """Return the verdict on the sums of a law; exact integers, so no rounding can tip it."""
    if limit < 0 or abs(balance) > limit or (kind is Kind.EXACT and limit != 0):
        return Status.VIOLATED
    return Status.BOUNDED if kind is Kind.BOUNDED else Status.CONSERVED


def publish_round(
    key: dict[str, Any],
    *,
    number: int,
    cut_off_at: str,
    previous: dict[str, Any] | None,
    participants: Sequence[str],
    laws: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return the document of a round from its laws, as ``verify_totals`` reads it."""
    return {
        "format": FORMAT,
        "round": number,
        "cut_off_at": cut_off_at,
        "previous": previous,
        "key": key,
        "participants": sorted(participants),
        "laws": list(laws),
        "verdict": str(worst([Status(law["verdict"]) for law in laws])),
    }


def publish_key(private: PrivateKey) -> dict[str, Any]:
    """Return the public key with the proof that it is well-formed."""
    key = private.public
    roots = [format(root, "x") for root in paillier.prove_key(private)]
    return {"id": key.key_id, "bits": key.bits, "n": key.to_hex(), "roots": roots}


def _written(key: PublicKey, posting: Posting) -> dict[str, Any]:
    parts = {"before": posting.before, "now": posting.now}
    parts |= {"flux": posting.flux, "limit": posting.limit}
    return {
        "participant": posting.participant,
        **{name: None if c is None else c.to_hex(key) for name, c in parts.items()},
    }


def _proof(proof: paillier.SumProof) -> dict[str, str]:
    return {"sum": str(proof.total), "randomness": format(proof.randomness, "x")}
