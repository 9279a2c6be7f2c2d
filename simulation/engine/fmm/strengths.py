# mypy: disable-error-code="no-untyped-def"
"""How strongly all bodies pull at a cell: what errors of far fields are measured against.

Groups of LANES cells, neighbours on the Morton curve, walk down the tree together: a cell is opened
where it is too near for one of them.
"""

from __future__ import annotations

import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.fmm.lanes import LANES, add_pull, any_within

# Depth first: each level leaves at most 7 cells waiting.
_STACK = 8 * 22


@kernel
def strengths(begin, end, chosen, child, children, centre, charge, radius, softening2, strength):
    """Write about how strongly all bodies pull at the far side of the cells in the groups
    begin <= group < end of ``chosen``, from monopoles.

    A cell is opened within its radius: some 10 % are good enough. O(log N) a cell.
    """
    stack = np.empty(_STACK, np.int64)
    places, sums = np.empty((4, LANES)), np.empty((3, LANES))
    for group in range(begin, end):
        first = group * LANES
        many = min(LANES, chosen.size - first)
        for k in range(LANES):
            c = chosen[first + min(k, many - 1)]
            for axis in range(3):
                places[axis, k] = centre[c, axis]
            places[3, k] = radius[c]
        sums[:] = 0.0
        stack[0] = 0
        waiting = 1
        while waiting:
            waiting -= 1
            c = stack[waiting]
            x, y, z = centre[c, 0], centre[c, 1], centre[c, 2]
            if children[c] and any_within(places, x, y, z, radius[c] * radius[c]):
                for k in range(child[c], child[c] + children[c]):
                    stack[waiting] = k
                    waiting += 1
            else:
                add_pull(sums, places, x, y, z, charge[c], softening2)
        for k in range(many):
            ax, ay, az = sums[0, k], sums[1, k], sums[2, k]
            strength[chosen[first + k]] = np.sqrt(ax * ax + ay * ay + az * az)
