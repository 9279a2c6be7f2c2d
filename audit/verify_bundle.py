#!/usr/bin/env python3
"""Verify an audit bundle offline: this one file, Python 3.10 or later, nothing to install.

    python verify_bundle.py BUNDLE.json [--key KEY] [--earlier FILE] [--json]

Exit 0: VERIFIED. Exit 3: something was changed, left out, added or signed by somebody else; the
first entry that fails is named. Exit 2: the input cannot be read.

What is recomputed, from the entries upwards:

1. each entry's contents against the digests in its leaf, and each leaf from the entry's own lines;
2. the root over all leaves of the window and the hashes beside it: the entries are all that
   there are between the two heads (RFC 9162 trees, SHA-256);
3. that the later head's tree begins with the earlier head's;
4. the signatures of the heads (C2SP signed notes, Ed25519) and the order of their times;
5. that the later head stands in the platform's global tree, whose head is signed, too.

The key inside a bundle shows only that the bundle agrees with itself: give the key that you got
another way with --key (the key, or a file with one key a line). --earlier takes a bundle or a
signed head that you kept: the log must have continued from it. This file imports nothing of the
platform that writes the bundles.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    HAS_LIBRARY = False
else:
    HAS_LIBRARY = True

EMPTY_ROOT = hashlib.sha256(b"").digest()
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
WORD = re.compile(r"[A-Za-z0-9._:/+-]*")
KEY = re.compile(r"[A-Za-z0-9._:/-]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+")
# The values of an entry that stand in its leaf, in this order; “kind” and “number” come before.
WORDS = (
    *("xact", "inserted_at", "id", "at", "action"),
    *("who_kind", "who_id", "subject_type", "subject_id"),
)
BUNDLE = {"format", "log", "tenant", "window", "keys", "start", "end", "checkpoint", "proofs"}
BUNDLE |= {"entries"}
ENTRY = {"index", "kind", "number", *WORDS, "leaf", "actor", "details"}


class Unreadable(Exception):
    """The input is not a bundle."""


class Failed(Exception):
    """A proof does not hold. ``entry`` is the index of the first entry that fails, if one does."""

    def __init__(self, reason: str, entry: int | None = None) -> None:
        super().__init__(reason)
        self.entry = entry


# -- Ed25519, RFC 8032 §5.1.7 -------------------------------------------------------------------

Point = tuple[int, int, int, int]
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def point(encoded: bytes) -> Point | None:
    """Return the point of 32 bytes in extended coordinates, or None where there is none."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def add(one: Point, other: Point) -> Point:
    """Add two points."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(factor: int, base: Point) -> Point:
    """Multiply a point."""
    total: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = add(total, base)
        base, factor = add(base, base), factor >> 1
    return total


GENERATOR = point(bytes([0x58] + [0x66] * 31)) or (0, 1, 1, 0)


def is_signed_slowly(public: bytes, signature: bytes, message: bytes) -> bool:
    """Verify with the arithmetic above, without any library."""
    key, r = point(public), point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or key is None or r is None or s >= L:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    left = times(s, GENERATOR)
    right = add(r, times(int.from_bytes(digest, "little") % L, key))
    return all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Verify with the library `cryptography` where it is, else slowly."""
    if not HAS_LIBRARY:
        return is_signed_slowly(public, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# -- Trees, RFC 9162 §2.1 -----------------------------------------------------------------------


def leaf_hash(data: bytes) -> bytes:
    """Hash an entry."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def push(peaks: list[tuple[int, bytes]], level: int, found: bytes) -> None:
    """Put a full subtree at the right edge; ``peaks`` is a list of (level, hash), left to right."""
    while peaks and peaks[-1][0] == level:
        found, level = node_hash(peaks.pop()[1], found), level + 1
    peaks.append((level, found))


def fold(peaks: Sequence[tuple[int, bytes]]) -> bytes:
    """Return the root over subtrees from left to right."""
    found = peaks[-1][1] if peaks else EMPTY_ROOT
    for _, each in reversed(peaks[:-1]):
        found = node_hash(each, found)
    return found


def range_roots(
    leaves: Sequence[bytes], first: int, beside: Sequence[bytes], at_size: int
) -> tuple[bytes, bytes]:
    """Return the root over all leaves, and that over the first ``at_size`` of them.

    ``leaves`` stand from ``first`` on to the end; ``beside`` are the full subtrees to their left.
    """
    if len(beside) != first.bit_count():
        raise Failed(f"The range needs {first.bit_count()} hashes beside it, not {len(beside)}.")
    levels = [level for level in reversed(range(first.bit_length())) if first >> level & 1]
    peaks = list(zip(levels, beside, strict=True))
    on_the_way = fold(peaks)
    for size, leaf in enumerate(leaves, first + 1):
        push(peaks, 0, leaf)
        if size == at_size:
            on_the_way = fold(peaks)
    return fold(peaks), on_the_way


def climb(place: int, final: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the hashes of a path and whether each stands to the left (RFC 9162 §2.1.3.2)."""
    for sibling in path:
        if final == 0:
            raise Failed("A path of hashes is too long.")
        left = place & 1 == 1 or place == final
        yield sibling, left
        while left and place and place & 1 == 0:
            place, final = place >> 1, final >> 1
        place, final = place >> 1, final >> 1
    if final:
        raise Failed("A path of hashes is too short.")


def inclusion_root(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that the path of a leaf leads to."""
    for sibling, left in climb(index, size - 1, path):
        leaf = node_hash(sibling, leaf) if left else node_hash(leaf, sibling)
    return leaf


def check_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Raise unless the newer tree begins with the older (RFC 9162 §2.1.4.2)."""
    if old in (0, new):
        if path or old_root != (new_root if old else EMPTY_ROOT):
            raise Failed("The later head does not continue the earlier one.")
        return
    place, final = old - 1, new - 1
    while place & 1:
        place, final = place >> 1, final >> 1
    path = path if old & (old - 1) else [old_root, *path]
    if not path:
        raise Failed("A path of hashes is too short.")
    older = newer = path[0]
    for sibling, left in climb(place, final, path[1:]):
        if left:
            older = node_hash(sibling, older)
        newer = node_hash(sibling, newer) if left else node_hash(newer, sibling)
    if (older, newer) != (old_root, new_root):
        raise Failed("The later head does not continue the earlier one.")


# -- Keys and signed heads ----------------------------------------------------------------------


def decode(text: Any, what: str, length: int | None = None) -> bytes:
    """Return the bytes of base64 that is written in its one standard way."""
    try:
        found = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        found = b""
    if not found or base64.b64encode(found).decode() != text or length not in (None, len(found)):
        raise Failed(f"{what} is not base64 of the right length.")
    return found


def key_id(name: str, public: bytes) -> bytes:
    """Return the four bytes that name a key in a note."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def read_key(text: str, log: str) -> bytes:
    """Return the public key of ``<log>+<key id>+<base64>``."""
    if not KEY.fullmatch(text):
        raise Unreadable("A key is written as NAME+ID+BASE64.")
    name, given_id, encoded = text.split("+", 2)
    try:
        typed = decode(encoded, "It", 33)
    except Failed:
        typed = b"\0"
    if typed[0] != 1 or given_id != key_id(name, typed[1:]).hex():
        raise Unreadable("A key does not fit its own id: was it copied whole?")
    if name != log:
        raise Unreadable(f"The key is of {name}, the bundle of {log}.")
    return typed[1:]


def read_head(note: str, origin: str, keys: Sequence[bytes], what: str) -> dict[str, Any]:
    """Return size, root, time and text of a head that one of the keys signed for this origin."""
    text, _, lines = note.rpartition("\n\n")
    is_ours = False
    for line in lines.split("\n"):
        if not line.startswith(f"— {origin} "):
            continue  # A witness's.
        signed = decode(line[len(origin) + 3 :], f"A signature of {what}")
        for public in keys:
            if signed[:4] == key_id(origin, public):
                if not is_signed(public, signed[4:], f"{text}\n".encode()):
                    raise Failed(f"The signature of {what} is wrong.")
                is_ours = True
    if not is_ours:
        raise Failed(f"{what[0].upper()}{what[1:]} is not signed for {origin} by a trusted key.")
    named, size, root, *more = [*text.split("\n"), "", ""]
    stamps = [line[5:] for line in more if line.startswith("time ")]
    if named != origin or not re.fullmatch(r"0|[1-9][0-9]{0,18}", size):
        raise Failed(f"{what} is not a head of {origin}.")
    if len(stamps) != 1 or not TIME.fullmatch(stamps[0]):
        raise Failed(f"{what} does not say when it was made.")
    found = decode(root, f"The root of {what}", 32)
    return {"size": int(size), "root": found, "time": stamps[0], "text": f"{text}\n"}


# -- The bundle ---------------------------------------------------------------------------------


def get(holder: Any, name: str, kind: Any, where: str = "The bundle") -> Any:
    """Return a member of this type."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Unreadable(f"{where} has no readable “{name}”.")
    return value


def check_names(holder: dict[str, Any], names: set[str], where: str) -> None:
    """Refuse members that no proof covers: a reader might take them for proven."""
    if extra := sorted(set(holder) - names):
        raise Unreadable(f"{where} holds “{extra[0]!a}”, which no bundle has.")


def get_hashes(bundle: dict[str, Any], name: str) -> list[bytes]:
    """Return the hashes of one of the proofs."""
    proofs = get(bundle, "proofs", dict)
    check_names(proofs, {"head_inclusion", "consistency", "range"}, "“proofs”")
    texts = get(proofs, name, list, "“proofs”")
    return [decode(text, f"A hash of “{name}”", 32) for text in texts]


def part_lines(entry: dict[str, Any], name: str) -> tuple[str, str]:
    """Return the two digests of one sealed part, after holding them against what is shown."""
    part = get(entry, name, dict, "It")
    check_names(part, {"sealed", "sealed_digest", "digest", "opened"}, f"“{name}”")
    digest = get(part, "digest", str, f"“{name}”")
    if "sealed" in part:
        check_names(part, {"sealed", "digest", "opened"}, f"“{name}”")
        sealed_digest = hashlib.sha256(decode(part["sealed"], f"“{name}”")).hexdigest()
    else:
        sealed_digest = get(part, "sealed_digest", str, f"“{name}”")
    opened = part.get("opened")
    if opened is not None:
        salt = get(opened, "salt", str, f"“{name}”")
        text = get(opened, "text", str, f"“{name}”")
        check_names(opened, {"salt", "text"}, f"“{name}”")
        if (
            len(salt) != 32
            or hashlib.sha256(bytes.fromhex(salt) + text.encode()).hexdigest() != digest
        ):
            raise Failed(f"what its {name} shows is not what was logged.")
    return sealed_digest, digest


def entry_leaf(tenant: str, entry: dict[str, Any]) -> bytes:
    """Return the leaf hash of an entry, from its own values."""
    check_names(entry, ENTRY, "it")
    words = [get(entry, name, str, "It") for name in ("kind", *WORDS)]
    if not all(WORD.fullmatch(word) for word in words) or "/" in words[0]:
        raise Failed("it holds a character that no logged value has.")
    number = get(entry, "number", int, "It")
    actor, details = part_lines(entry, "actor"), part_lines(entry, "details")
    lines = [f"aii/{words[0]}/1", tenant, str(number), *words[1:]]
    lines += [actor[0], details[0], actor[1], details[1]]
    return leaf_hash("\n".join(lines).encode())


def check_entry(tenant: str, entry: Any, index: int) -> bytes:
    """Return the leaf hash of the entry at this index, which must be the one it claims."""
    try:
        claimed = get(entry, "index", int, "It")
        if claimed != index:
            raise Failed(f"it says that it is entry {claimed}: one is missing, added or moved.")
        found = entry_leaf(tenant, entry)
        if found.hex() != get(entry, "leaf", str, "It"):
            raise Failed("its values do not give its leaf hash: it was changed.")
    except (Failed, Unreadable, ValueError) as problem:
        action = entry.get("action") if isinstance(entry, dict) else ""
        reason = str(problem)
        raise Failed(f"Entry {index} ({str(action)[:80]!a}): {reason}", index) from None
    return found


def check_window(
    bundle: dict[str, Any], start: dict[str, Any], end: dict[str, Any]
) -> dict[str, str]:
    """Return the window, which must be the one that the two heads cover."""
    window = get(bundle, "window", dict)
    check_names(window, {"from", "to", "covered_to"}, "“window”")
    times = {name: get(window, name, str, "“window”") for name in ("from", "to", "covered_to")}
    if not all(TIME.fullmatch(each) for each in times.values()) or times["from"] > times["to"]:
        raise Unreadable("The window's times cannot be read.")
    if start["size"] > 0 and not start["time"] <= times["from"]:
        raise Failed("The earlier head was made after the window begins: entries may be missing.")
    if start["time"] > end["time"]:
        raise Failed("The later head is dated before the earlier one.")
    if times["covered_to"] != min(times["to"], end["time"]):
        raise Failed("The bundle claims to cover another time than its heads do.")
    return times


def check_heads(
    bundle: dict[str, Any], log: str, origin: str, trusted: Sequence[bytes]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the earlier, the later and the global head, which belong together."""
    end_part, start_part = get(bundle, "end", dict), get(bundle, "start", dict)
    check_names(start_part, {"size", "note"}, "“start”")
    check_names(end_part, {"size", "note", "global_index"}, "“end”")
    end = read_head(get(end_part, "note", str, "“end”"), origin, trusted, "the later head")
    start: dict[str, Any] = {"size": 0, "root": EMPTY_ROOT, "time": ""}
    if start_part.get("note") is not None:
        start = read_head(get(start_part, "note", str), origin, trusted, "the earlier head")
    for part, head in ((start_part, start), (end_part, end)):
        if get(part, "size", int, "A head") != head["size"]:
            raise Failed("The bundle claims another size of the log than its signed heads.")
    path = get_hashes(bundle, "consistency")
    check_consistency(start["size"], start["root"], end["size"], end["root"], path)

    whole = read_head(get(bundle, "checkpoint", str), log, trusted, "the global head")
    whole["index"] = get(end_part, "global_index", int, "“end”")
    leaf = leaf_hash(b"aii/head/1\n" + end["text"].encode())
    if not 0 <= whole["index"] < whole["size"] or whole["root"] != inclusion_root(
        leaf, whole["index"], whole["size"], get_hashes(bundle, "head_inclusion")
    ):
        raise Failed("The later head does not stand in the global tree.")
    if whole["time"] < end["time"]:
        raise Failed("The global head is dated before the head that it holds.")
    return start, end, whole


def check_entries(
    bundle: dict[str, Any], tenant: str, start: dict[str, Any], end: dict[str, Any], way: int
) -> bytes:
    """Verify all entries; return the root that they give for the first ``way`` ones of the log."""
    first, size = start["size"], end["size"]
    entries = get(bundle, "entries", list)
    leaves = [check_entry(tenant, entry, index) for index, entry in enumerate(entries, first)]
    if len(leaves) != size - first:
        reason = f"The heads cover {size - first} entries, the bundle holds {len(leaves)}"
        at = min(first + len(leaves), size)
        raise Failed(f"{reason}: entry {at} is the first that is missing or too many.", at)
    root, on_the_way = range_roots(leaves, first, get_hashes(bundle, "range"), way)
    if root != end["root"]:
        raise Failed(
            "The entries do not lead to the signed root: one was changed together with its leaf"
            " hash, or one was left out, added or moved."
        )
    return on_the_way


def verify(
    bundle: dict[str, Any], keys: Sequence[str], earlier: str | None = None
) -> dict[str, Any]:
    """Return what is proven; raise ``Failed`` or ``Unreadable``."""
    if get(bundle, "format", str) != "aii-bundle/1":
        raise Unreadable("It is not a bundle of the format aii-bundle/1.")
    check_names(bundle, BUNDLE, "The bundle")
    log, tenant = get(bundle, "log", str), get(bundle, "tenant", str)
    if not WORD.fullmatch(log + tenant):
        raise Unreadable("The name of the log cannot be read.")
    key_texts = list(keys) or get(bundle, "keys", list)
    trusted = [read_key(str(text), log) for text in key_texts]
    origin = f"{log}/{tenant}"

    start, end, whole = check_heads(bundle, log, origin, trusted)
    window = check_window(bundle, start, end)
    kept = read_earlier(earlier, origin, trusted) if earlier is not None else None
    if kept and not start["size"] <= kept["size"] <= end["size"]:
        raise Unreadable(
            f"The head that you kept has {kept['size']} entries, outside this bundle's"
            f" {start['size']} to {end['size']}: it cannot be compared."
        )
    held = kept or start
    if check_entries(bundle, tenant, start, end, held["size"]) != held["root"]:
        raise Failed(f"The log was not continued from the head of {held['size']} entries.")
    entries = bundle["entries"]
    shown = [part.get("opened") for entry in entries for part in (entry["actor"], entry["details"])]
    return {
        "verified": True,
        "log": log,
        "tenant": tenant,
        "window": window,
        "count": len(entries),
        "first": start["size"],
        "last": end["size"] - 1,
        "start": {"size": start["size"], "time": start["time"] or None},
        "head": {"size": end["size"], "time": end["time"], "root": end["root"].hex()},
        "global_head": {name: whole[name] for name in ("index", "size", "time")},
        "earlier": {"size": kept["size"], "time": kept["time"]} if kept else None,
        "contents": {"shown": len(shown) - shown.count(None), "withheld": shown.count(None)},
        "keys": key_texts,
        "key_given": bool(keys),
    }


def read_earlier(text: str, origin: str, trusted: Sequence[bytes]) -> dict[str, Any]:
    """Return the head of a bundle or a note that was kept."""
    if text.lstrip().startswith("{"):
        text = get(get(load(text), "end", dict), "note", str, "The earlier bundle")
    return read_head(text, origin, trusted, "the head that you kept")


# -- The command --------------------------------------------------------------------------------


def load(text: str) -> dict[str, Any]:
    """Return a JSON object; one with a name twice would show different things to two readers."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Unreadable("The bundle has a name twice in one object.")
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise Unreadable("It is not JSON.") from None
    if not isinstance(found, dict):
        raise Unreadable("It is not a bundle: a JSON object was expected.")
    return found


def report(found: dict[str, Any]) -> str:
    """Return what was proven, in sentences."""
    window, start, head = found["window"], found["start"], found["head"]
    begin = f"{start['size']} entries, {start['time']}" if start["time"] else "the log's beginning"
    what = f"{found['count']} entries, {found['first']} to {found['last']}"
    lines = [
        f"VERIFIED: {found['log']}/{found['tenant']}",
        f"Entries: {what if found['count'] else 'none'}; unchanged, in order, none left out.",
        f"Window: {window['from']} to {window['to']}, by time of integration.",
        f"From the head of {begin} to the head of {head['size']} entries, {head['time']}.",
        f"Root: {head['root']}",
    ]
    if window["covered_to"] < window["to"]:
        lines.append(f"NOT COVERED: the time after {window['covered_to']}; no later head is here.")
    if found["earlier"]:
        kept = found["earlier"]
        lines.append(f"Continued from the head you kept: {kept['size']} entries, {kept['time']}.")
    place = found["global_head"]
    lines.append(f"Global tree: leaf {place['index']} of {place['size']}, signed {place['time']}.")
    contents = found["contents"]
    lines.append(
        f"Contents: {contents['shown']} parts shown and matching, {contents['withheld']} withheld"
        " or erased."
    )
    lines += [f"Key: {key}" for key in found["keys"]]
    if not found["key_given"]:
        lines.append("The key came with the bundle: compare it with the one you were given.")
    return "\n".join(lines)


def read_file(path: str) -> str:
    """Return the text of a file."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as problem:
        raise Unreadable(f"{path}: {problem.strerror or problem}") from None
    except UnicodeDecodeError as problem:
        raise Unreadable(f"{path}: {problem}") from None


def read_keys(arguments: Sequence[str]) -> list[str]:
    """Return the keys of --key, each a key or a file of keys."""
    texts: list[str] = []
    for argument in arguments:
        # After the key there may stand a remark, as in what the platform prints.
        is_key = re.match(r"[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+(\s|$)", argument)
        lines = [argument] if is_key else read_file(argument).split("\n")
        texts += [line.split()[0] for line in lines if line.strip()]
    if arguments and not texts:
        raise Unreadable("There is no key in the file.")
    return texts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(description="Verify an audit bundle offline.")
    parser.add_argument("bundle", metavar="BUNDLE.json")
    parser.add_argument("--key", action="append", default=[], help="key or file; may be repeated")
    parser.add_argument("--earlier", metavar="FILE", help="a bundle or signed head that you kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    try:
        earlier = read_file(options.earlier) if options.earlier else None
        found = verify(load(read_file(options.bundle)), read_keys(options.key), earlier)
        code, text = 0, report(found)
    except Failed as problem:
        found = {"verified": False, "entry": problem.entry, "reason": str(problem)}
        code, text = 3, f"FAILED: {problem}"
    except (Unreadable, UnicodeEncodeError) as problem:
        found = {"verified": False, "entry": None, "reason": str(problem)}
        code, text = 2, f"UNREADABLE: {problem}"
    print(json.dumps(found) if options.json else text)
    return code


if __name__ == "__main__":
    sys.exit(main())
