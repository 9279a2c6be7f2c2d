"""Bundles built from docs/reference/audit-log.md alone: no line of audit/ takes part.

Trees by the recursion of RFC 9162, so a bundle that verifies agrees with the printed standard.
"""

import base64
import copy
import json
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit import rfc9162

LOG = "log.example/log"
SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
OTHER_SECRET = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
ORDER = (
    *("kind", "number", "xact", "inserted_at", "id", "at", "action"),
    *("who_kind", "who_id", "subject_type", "subject_id"),
)


def b64(data):
    return base64.b64encode(data).decode()


def stamp(second):
    return f"2026-03-01T12:{second // 60:02}:{second % 60:02}.000000Z"


def key_text(name=LOG, secret=SECRET):
    public = secret.public_key().public_bytes_raw()
    return f"{name}+{key_id(name, public)}+{b64(bytes([1]) + public)}"


def key_id(name, public):
    return sha256(name.encode() + b"\n\x01" + public).hexdigest()[:8]


def note(origin, entries, second, secret=SECRET):
    text = f"{origin}\n{len(entries)}\n{b64(rfc9162.mth(entries))}\ntime {stamp(second)}\n"
    identifier = bytes.fromhex(key_id(origin, secret.public_key().public_bytes_raw()))
    return f"{text}\n— {origin} {b64(identifier + secret.sign(text.encode()))}\n"


def part(number, name, content, *, is_open=True):
    salt = sha256(f"{number} {name}".encode()).digest()[:16]
    text = json.dumps(content, ensure_ascii=False)
    return {
        "sealed": b64(b"sealed " + salt + bytes(30)),
        "digest": sha256(salt + text.encode()).hexdigest(),
        "opened": {"salt": salt.hex(), "text": text} if is_open else None,
    }


def entry(number, tenant="acme", **changes):
    """One entry, with its leaf hash."""
    row = {
        "kind": "entry",
        "number": 3 * number + 1,
        "xact": str(812 + number),
        "inserted_at": stamp(number),
        "id": f"00000000-0000-4000-8000-{number:012}",
        "at": stamp(number),
        "action": ("run.requested", "run.started", "run.done")[number % 3],
        "who_kind": "person",
        "who_id": f"p{number % 2}",
        "subject_type": "run",
        "subject_id": f"r{number}",
        "actor": part(number, "actor", {"label": "Ada", "why": "", "origin": {"ip": "192.0.2.1"}}),
        "details": part(number, "details", {"before": {"steps": 1}, "after": {"steps": number}}),
    } | changes
    return {"index": number, **row, "leaf": sha256(b"\0" + data(row, tenant)).hexdigest()}


def data(row, tenant):
    """The leaf's data, as docs/reference/audit-log.md has it."""
    values = [str(row[name]) for name in ORDER[1:]]
    parts = row["actor"], row["details"]
    sealed = [
        sha256(base64.b64decode(p["sealed"])).hexdigest() if "sealed" in p else p["sealed_digest"]
        for p in parts
    ]
    lines = [f"aii/{row['kind']}/1", tenant, *values, *sealed, *(p["digest"] for p in parts)]
    return "\n".join(lines).encode()


def bundle(first=3, size=11, *, rows=None, tenant="acme", secret=SECRET, to_second=60):
    """A bundle over entries first … size - 1 of a log where entry i was integrated at second i."""
    rows = rows or [entry(number, tenant) for number in range(size)]
    leaves = [data(row, tenant) for row in rows]
    origin = f"{LOG}/{tenant}"
    later = note(origin, leaves, size, secret)
    others = [b"aii/head/1\nanother tenant's %d" % number for number in range(6)]
    heads = [*others[:4], b"aii/head/1\n" + later.rpartition("\n\n")[0].encode() + b"\n"]
    heads += others[4:]
    consistency = rfc9162.proof(first, leaves) if 0 < first < size else []
    sides = rfc9162.sides(first, size, leaves)
    if first == size:
        sides = [*edge(leaves)]
    return {
        "format": "aii-bundle/1",
        "log": LOG,
        "tenant": tenant,
        "window": {
            "from": stamp(first),
            "to": stamp(to_second),
            "covered_to": stamp(min(to_second, size)),
        },
        "keys": [key_text(secret=secret)],
        "start": {
            "size": first,
            "note": note(origin, leaves[:first], first, secret) if first else None,
        },
        "end": {"size": size, "note": later, "global_index": 4},
        "checkpoint": note(LOG, heads, size + 1, secret),
        "proofs": {
            "head_inclusion": [b64(each) for each in rfc9162.path(4, heads)],
            "consistency": [b64(each) for each in consistency],
            "range": [b64(each) for each in sides],
        },
        "entries": copy.deepcopy(rows[first:size]),
    }


def edge(leaves):
    """The full subtrees of a tree, left to right: what lies beside an empty range at its end."""
    while leaves:
        width = 1 << (len(leaves).bit_length() - 1)
        yield rfc9162.mth(leaves[:width])
        leaves = leaves[width:]
