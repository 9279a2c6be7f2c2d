"""Index tables of the Cartesian expansions, for the kernels that loop over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from simulation.engine.fmm.far import indices, stored


@dataclass(frozen=True)
class Tables:
    """Int64 arrays over the terms of an order, by degree.

    ``kept``: the terms of a row of multipoles. ``degree`` of each term.
    """

    terms: int
    kept: np.ndarray
    degree: np.ndarray


@cache
def tables(order: int) -> Tables:
    """Return the tables of an order."""
    terms = indices(order)
    at = {term: i for i, term in enumerate(terms)}
    kept = np.array([at[term] for term in stored(order)])
    return Tables(len(terms), kept, np.array([sum(term) for term in terms]))
