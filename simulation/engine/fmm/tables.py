"""Index tables of the Cartesian expansions, for the kernels that loop over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from simulation.engine.fmm.far import Index, indices, stored


@dataclass(frozen=True)
class Tables:
    """Int64 arrays over the terms of an order, by degree.

    ``step`` (terms, 2): d^t / t! = (that of step[t, 0]) * d[step[t, 1]] * share[t].
    Moving an expansion to another centre: ``shift`` (K, 3), triples (n, k, n - k) of all k <= n,
    those of n from shift_ends[n] on; ``drop`` (K, 3) and its ends, triples (k, n, n - k) by k.
    ``slope`` (K, 4): t and the terms t + e_x, t + e_y, t + e_z, for all t of less than full degree.
    ``kept``: the terms of a row of multipoles. ``degree`` of each term.
    """

    terms: int
    step: np.ndarray
    share: np.ndarray
    shift: np.ndarray
    shift_ends: np.ndarray
    drop: np.ndarray
    drop_ends: np.ndarray
    slope: np.ndarray
    kept: np.ndarray
    degree: np.ndarray


@cache
def tables(order: int) -> Tables:
    """Return the tables of an order."""
    all_terms = indices(order)
    at = {term: i for i, term in enumerate(all_terms)}
    step, share = np.zeros((len(all_terms), 2), np.int64), np.ones(len(all_terms))
    for i, term in enumerate(all_terms[1:], start=1):
        axis = term.index(max(term))
        step[i] = at[_plus(term, axis, -1)], axis
        share[i] = 1.0 / term[axis]
    shift = [
        (at[n], at[k], at[rest])
        for n in all_terms
        for k in all_terms
        if min(rest := (n[0] - k[0], n[1] - k[1], n[2] - k[2])) >= 0
    ]
    slope = [
        (at[t], *(at[_plus(t, axis, 1)] for axis in range(3))) for t in all_terms if sum(t) < order
    ]
    kept = [at[term] for term in stored(order)]
    degree = [sum(term) for term in all_terms]
    drop = sorted((k, n, rest) for n, k, rest in shift)
    parts = (shift, _ends(shift), drop, _ends(drop), slope, kept, degree)
    return Tables(len(all_terms), step, share, *(np.array(part, np.int64) for part in parts))


def _ends(triples: list[tuple[int, int, int]]) -> np.ndarray:
    """Return where the triples of each first term begin, and their number."""
    return np.concatenate([[0], np.cumsum(np.bincount([first for first, *_ in triples]))])


def _plus(term: Index, axis: int, change: int) -> Index:
    a, b, c = (value + change * (i == axis) for i, value in enumerate(term))
    return a, b, c
