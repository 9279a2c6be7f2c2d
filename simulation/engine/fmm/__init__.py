"""Forces in O(N): a fast multipole method whose kicks are integers that sum to exactly zero.

Near pairs of leaves are summed as ``forces.direct`` does, integer for integer. Far pairs of cells
act through Cartesian expansions about their centres of charge. The far field of each body is
rounded to quanta once; what these integers sum to is the *residual*: rounding of single precision,
some 1e-9 of the forces. It is reported, and returned to the bodies a few quanta each, so that the
total kick is exactly zero.

The bits do not depend on the order of the bodies, on threads, or on the share of the work that a
process takes: see ``tree`` for the order, ``far`` for the instructions.

Sources: Dehnen (2000), ApJ 536, L39; Dehnen (2002), J. Comput. Phys. 179, 27; Dehnen (2014),
Comput. Astrophys. 1, 1.
"""

from simulation.engine.fmm.method import FastMultipole, compile_ahead
from simulation.engine.fmm.presets import PRESETS, Preset

__all__ = ["PRESETS", "FastMultipole", "Preset", "compile_ahead"]
