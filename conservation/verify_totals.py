"""Check a published round of encrypted totals, alone: one file, Python 3.11 and nothing else.

    python verify_totals.py ROUND.json [--previous EARLIER.json] [--json]

Exit 0: VERIFIED, each sum is what the ciphertexts hold and each verdict follows from the sums.
Exit 3: the first thing that does not hold is named. Exit 2: the file cannot be read as a round.

What is checked: the key is well-formed (each ciphertext holds one number); every participant is
there once, or named as silent; (1+n)^sum · r^n is the product of the ciphertexts modulo n²; each
verdict is the one that the sums call for. With ``--previous``: that what participants say they
held before is what they posted then, and that nobody who posted then begins anew.

VERIFIED is about the arithmetic: a round whose verdict is VIOLATED verifies too. It says nothing
about whether participants encrypted the truth. The mathematics is told in ``paillier/__init__.py``
of AII and in docs/explanation/encrypted-totals.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import sys
from typing import Any

try:
    # Where it happens to be installed: the same integers in a tenth of the time.
    from gmpy2 import powmod
except ImportError:
    powmod = pow

FORMAT = "aii-totals/1"
BITS_MIN, BITS_MAX = 2048, 8192
KEY_ROOTS = 8
TRIAL_BELOW = 2**16
TERMS_MAX = 2**32
# The gravest first.
VERDICTS = ("VIOLATED", "UNKNOWN", "BOUNDED", "CONSERVED")
KINDS = ("exact", "round-off", "bounded")
HEX = re.compile(r"[0-9a-f]+\Z")
INTEGER = re.compile(r"(0|-?[1-9][0-9]{0,2500})\Z")
SHA256 = re.compile(r"[0-9a-f]{64}\Z")
FILE_BYTES_MAX = 1 << 30


class Malformed(Exception):
    """The file is not a published round."""


class Failed(Exception):
    """Something in the round does not hold."""


# --- reading: every file is hostile until it is read ---------------------------------------------


def load(data: bytes) -> dict[str, Any]:
    """Return the JSON object in a file's bytes, or raise ``Malformed``."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Malformed("a name stands twice in the same object")
        return found

    def no_float(text: str) -> Any:
        raise Malformed(f"{text[:40]} is not an integer")

    try:
        document = json.loads(
            data, object_pairs_hook=once, parse_float=no_float, parse_constant=no_float
        )
    except Malformed:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the file is not JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Malformed(f"the file is not of the format {FORMAT}")
    return document


def take(values: Any, name: str, kind: type, where: str) -> Any:
    """Return a field of the wanted type, or raise ``Malformed``."""
    if not isinstance(values, dict) or name not in values:
        raise Malformed(f"{where} has no {name!r}")
    value = values[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Malformed(f"{name!r} of {where} is not what it should be")
    return value


def read_hex(text: Any, digits_max: int, what: str) -> int:
    """Return the number that small hexadecimal digits write."""
    if not isinstance(text, str) or len(text) > digits_max or not HEX.match(text):
        raise Malformed(f"{what} is not written in up to {digits_max} small hexadecimal digits")
    return int(text, 16)


def read_names(values: list[Any], where: str) -> list[str]:
    """Return a list of different texts."""
    if not all(isinstance(name, str) and name for name in values):
        raise Malformed(f"the participants of {where} are not all named")
    if len(set(values)) != len(values):
        raise Failed(f"a participant stands twice in {where}")
    return values


# --- the key -------------------------------------------------------------------------------------


PROVED: set[tuple[int, ...]] = set()


class Key:
    """The modulus, once it has been proved."""

    def __init__(self, values: Any, bits_min: int) -> None:
        text = take(values, "n", str, "the key")
        self.n = n = read_hex(text, BITS_MAX // 4, "the modulus")
        if not bits_min <= n.bit_length() <= BITS_MAX or text.startswith("0"):
            raise Failed(f"the key has {n.bit_length()} bits, not {bits_min} to {BITS_MAX}")
        self.square = n * n
        self.digits = (2 * n.bit_length() + 3) // 4
        self.value_max = n >> 33
        self.key_id = hashlib.sha256(b"aii/paillier/1\n" + text.encode()).hexdigest()
        if take(values, "id", str, "the key") != self.key_id:
            raise Failed("the key's id is not the one of its modulus")
        roots = [
            read_hex(each, len(text), "a root") for each in take(values, "roots", list, "the key")
        ]
        # Two rounds under one key: once is enough.
        if (n, *roots) not in PROVED:
            self._prove(roots, text)
            PROVED.add((n, *roots))

    def _prove(self, roots: list[int], text: str) -> None:
        """n has no small prime, and numbers that n fixes have n-th roots: see the explanation."""
        sieve = bytearray([1]) * TRIAL_BELOW
        for prime in range(2, TRIAL_BELOW):
            if sieve[prime]:
                sieve[prime * prime :: prime] = bytes(len(sieve[prime * prime :: prime]))
                if self.n % prime == 0:
                    raise Failed(f"the key is divisible by {prime}")
        if math.isqrt(self.n) ** 2 == self.n:
            raise Failed("the key is a square")
        if len(roots) != KEY_ROOTS:
            raise Failed(f"the key is proved by {KEY_ROOTS} roots, not {len(roots)}")
        for index, root in enumerate(roots):
            if not 0 < root < self.n or powmod(root, self.n, self.n) != self._challenge(
                text, index
            ):
                raise Failed(f"root {index} of the key does not fit: the key may be malformed")

    def _challenge(self, text: str, index: int) -> int:
        blocks = -(-(self.n.bit_length() + 128) // 256)
        purpose = b"aii/paillier/root/1"
        stream = b"".join(
            hashlib.sha256(b"%s\n%s\n%d %d" % (purpose, text.encode(), index, block)).digest()
            for block in range(blocks)
        )
        return int.from_bytes(stream, "big") % self.n

    def read(self, text: Any, where: str) -> int:
        """Return a ciphertext in range."""
        c = read_hex(text, self.digits, f"a ciphertext of {where}")
        if len(text) != self.digits:
            raise Malformed(f"a ciphertext of {where} has not {self.digits} digits")
        if not 0 < c < self.square:
            raise Failed(f"a ciphertext of {where} lies outside of its range")
        return c

    def product(self, ciphertexts: list[int], where: str) -> int:
        """Return the ciphertext of the sum."""
        result, square = 1, self.square
        for c in ciphertexts:
            result = result * c % square
        if math.gcd(result, self.n) != 1:
            raise Failed(f"a ciphertext of {where} shares a factor with the key")
        return result

    def check_sum(self, whole: int, values: Any, terms: int, where: str) -> int:
        """Return the stated sum once it is known to be what ``whole`` holds."""
        text = take(values, "sum", str, where)
        if not INTEGER.match(text):
            raise Malformed(f"the sum of {where} is not an integer")
        total = int(text)
        r = read_hex(take(values, "randomness", str, where), self.digits, f"randomness of {where}")
        if terms > TERMS_MAX or abs(total) > terms * self.value_max:
            raise Failed(f"the sum of {where} is larger than so many numbers can make it")
        if not 0 < r < self.n or math.gcd(r, self.n) != 1:
            raise Failed(f"the randomness of {where} lies outside of its range")
        if (1 + total * self.n) * powmod(r, self.n, self.square) % self.square != whole:
            raise Failed(f"the sum of {where} is not what its ciphertexts hold")
        return total


# --- a law ---------------------------------------------------------------------------------------


def check_law(key: Key, law: dict[str, Any], participants: list[str]) -> dict[str, Any]:
    """Return what was found about one law, or raise."""
    name = take(law, "quantity", str, "a law")
    kind = take(law, "kind", str, name)
    if kind not in KINDS:
        raise Malformed(f"{kind!r} is no kind of law")
    postings, silent = take(law, "postings", list, name), take(law, "silent", list, name)
    seen = [take(each, "participant", str, name) for each in [*postings, *silent]]
    for each in silent:
        take(each, "why", str, name)
    if sorted(read_names(seen, name)) != sorted(participants):
        raise Failed(f"not every participant is accounted for in {name}")
    began, after, gone, limits = [], [], [], []
    for each in postings:
        if each.get("before") is None:
            # Nothing to compare with yet; it binds from now on.
            began.append(key.read(take(each, "now", str, name), name))
            continue
        after.append(key.read(take(each, "now", str, name), name))
        gone += [key.read(take(each, part, str, name), name) for part in ("before", "flux")]
        limits.append(key.read(take(each, "limit", str, name), name))
    key.product(began, name)
    whole = pow(key.product(gone, name), -1, key.square) * key.product(after, name) % key.square
    sums = read_sums(key, law, whole, key.product(limits, name), len(after))
    verdict = judge(kind, *sums) if sums and not silent else "UNKNOWN"
    if take(law, "verdict", str, name) != verdict:
        raise Failed(f"the verdict of {name} is {law['verdict'][:20]!r}; the sums say {verdict!r}")
    return {
        "quantity": name,
        "unit": take(law, "unit", str, name),
        "quantum": take(law, "quantum", str, name),
        "compared": len(after),
        "began": len(began),
        "silent": len(silent),
        "problem": law.get("problem"),
        "balance": str(sums[0]) if sums else None,
        "limit": str(sums[1]) if sums else None,
        "verdict": verdict,
    }


def read_sums(
    key: Key, law: dict[str, Any], whole: int, allowed: int, compared: int
) -> tuple[int, int] | None:
    """Return balance and limit once both are known to be what the products hold; None without."""
    name = law["quantity"]
    if law.get("problem") is not None:
        # The key's holder could not read the sums: not known, and so never fine.
        take(law, "problem", str, name)
    elif compared:
        parts = take(law, "balance", dict, name), take(law, "limit", dict, name)
        balance = key.check_sum(whole, parts[0], 3 * compared, f"the balance of {name}")
        return balance, key.check_sum(allowed, parts[1], compared, f"the limit of {name}")
    if law.get("balance") is not None or law.get("limit") is not None:
        raise Failed(f"{name} states a sum that nothing calls for")
    return None


def judge(kind: str, balance: int, limit: int) -> str:
    """Return the verdict on a sum; a limit below 0, or any at all on an exact law, is a breach."""
    if limit < 0 or abs(balance) > limit or (kind == "exact" and limit != 0):
        return "VIOLATED"
    return "BOUNDED" if kind == "bounded" else "CONSERVED"


# --- the round -----------------------------------------------------------------------------------


def check(document: dict[str, Any], *, bits_min: int = BITS_MIN) -> dict[str, Any]:
    """Return what was found about a round; raise ``Malformed`` or ``Failed``."""
    number = take(document, "round", int, "the round")
    cut_off = take(document, "cut_off_at", str, "the round")
    participants = read_names(take(document, "participants", list, "the round"), "the round")
    key = Key(take(document, "key", dict, "the round"), bits_min)
    laws = take(document, "laws", list, "the round")
    names = [take(law, "quantity", str, "a law") for law in laws]
    if len(set(names)) != len(names):
        raise Failed("a quantity stands twice in the round")
    found = [check_law(key, law, participants) for law in laws]
    verdict = min((law["verdict"] for law in found), key=VERDICTS.index, default="UNKNOWN")
    if take(document, "verdict", str, "the round") != verdict:
        raise Failed(f"the round says {document['verdict'][:20]!r}; its laws say {verdict!r}")
    return {
        "round": number,
        "cut_off_at": cut_off,
        "key_id": key.key_id,
        "participants": len(participants),
        "laws": found,
        "verdict": verdict,
    }


def check_chain(document: dict[str, Any], earlier: dict[str, Any], earlier_bytes: bytes) -> None:
    """Raise ``Failed`` unless the round goes on where the earlier one ended. Both were checked."""
    link = document.get("previous")
    if link is None:
        raise Failed("the round names no previous round")
    if take(link, "sha256", str, "the link") != hashlib.sha256(earlier_bytes).hexdigest():
        raise Failed("the round follows another round than the one given")
    if not take(link, "round", int, "the link") == earlier["round"] == document["round"] - 1:
        raise Failed("the rounds do not follow each other")
    gone = set(earlier["participants"]) - set(document["participants"])
    if gone:
        raise Failed(f"{min(gone)[:60]} took part then and is not even named as silent now")
    same_key = document["key"]["id"] == earlier["key"]["id"]
    then = {law["quantity"]: law for law in earlier["laws"]}
    for law in document["laws"]:
        postings = then.get(law["quantity"], {"postings": []})["postings"] if same_key else []
        held = {each["participant"]: each["now"] for each in postings}
        for each in law["postings"]:
            if each.get("before") != held.get(each["participant"]):
                name = each["participant"][:60]
                raise Failed(f"{name} did not hold before what it says of {law['quantity']}")


# --- the command line ----------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Read, check, say what was found; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("round", help="the published JSON of a round")
    parser.add_argument("--previous", help="the published JSON of the round before")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    answer: dict[str, Any] = {"verified": False}
    code = 0
    try:
        data = read_file(options.round)
        document = load(data)
        answer.update(check(document))
        if options.previous:
            earlier_bytes = read_file(options.previous)
            earlier = load(earlier_bytes)
            check(earlier)
            check_chain(document, earlier, earlier_bytes)
            answer["follows"] = earlier["round"]
        answer["verified"] = True
    except Malformed as problem:
        code, answer["problem"] = 2, str(problem)
    except Failed as problem:
        code, answer["problem"] = 3, str(problem)
    print(json.dumps(answer) if options.json else tell(answer, code))
    return code


def read_file(name: str) -> bytes:
    """Return a file's bytes, or raise ``Malformed``."""
    try:
        with open(name, "rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Malformed(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise Malformed(f"{name} is larger than a gigabyte")
    return data


def tell(answer: dict[str, Any], code: int) -> str:
    """Return the answer for people."""
    if code:
        return ("FAILED: " if code == 3 else "Not a round: ") + answer["problem"]
    lines = [
        f"VERIFIED: round {answer['round']} of {answer['cut_off_at']},"
        f" {answer['participants']} participants. Its verdict: {answer['verdict']}."
    ]
    for law in answer["laws"]:
        sums = f"balance {law['balance']}, limit {law['limit']} in {law['quantum']} {law['unit']}"
        lines.append(
            f"  {law['quantity']}: {law['verdict']}. {law['compared']} compared,"
            f" {law['began']} began, {law['silent']} silent" + (f"; {sums}" if law["limit"] else "")
        )
    if "follows" in answer:
        lines.append(f"  It goes on where round {answer['follows']} ended.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
