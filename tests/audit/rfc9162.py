"""RFC 9162 §2.1 written down as it is printed: recursive, slow, and sharing no code with audit."""

from hashlib import sha256


def split(n):
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(entries):
    """§2.1.1: MTH(D_n)."""
    if not entries:
        return sha256().digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m, entries):
    """§2.1.3.1: PATH(m, D_n)."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m, entries):
    """§2.1.4.1: PROOF(m, D_n) for 0 < m < n."""
    return subproof(m, entries, True)


def subproof(m, entries, b):
    n = len(entries)
    if m == n:
        return [] if b else [mth(entries)]
    k = split(n)
    if m <= k:
        return [*subproof(m, entries[:k], b), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def sides(first, last, entries, low=0):
    """What a range proof holds: the largest subtrees outside first … last - 1, left to right."""
    high = low + len(entries)
    if not entries or (first <= low and high <= last):
        return []
    if high <= first or last <= low:
        return [mth(entries)]
    k = split(len(entries))
    return [
        *sides(first, last, entries[:k], low),
        *sides(first, last, entries[k:], low + k),
    ]
