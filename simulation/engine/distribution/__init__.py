"""One simulation on any number of processes, with the digest of one process.

``DistributedForce`` is a ``Force`` whose work is shared out; ``protocol`` tells how ranks that die
or compute wrongly are noticed and left out, ``transport`` how they are reached.
"""

from simulation.engine.distribution.force import DistributedForce, distribute
from simulation.engine.distribution.protocol import Event, Report, Sabotage
from simulation.engine.distribution.shares import STRATEGIES
from simulation.engine.distribution.transport import TRANSPORTS
from simulation.engine.errors import NoAnswer

__all__ = [
    "STRATEGIES",
    "TRANSPORTS",
    "DistributedForce",
    "Event",
    "NoAnswer",
    "Report",
    "Sabotage",
    "distribute",
]
