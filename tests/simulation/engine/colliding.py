"""Bodies that are about to collide."""

import numpy as np

from simulation import engine
from simulation.engine.scenarios import Bodies


def bodies_of(mass, position, velocity, names=None):
    mass = np.array(mass, float)
    names = names or tuple(f"b{i}" for i in range(mass.size))
    return Bodies(tuple(names), mass, np.array(position, float), np.array(velocity, float))


def prepare(bodies, softening_tu=0.0, **options):
    scenario = engine.scenario_from_bodies(bodies, softening_tu=softening_tu)
    options.setdefault("dt_tu", scenario.dt_tu)
    return engine.prepare(scenario, **options)


# So light that gravity does nothing within the test: collisions alone.
LIGHT = 1e-9


def head_on(restitution=None, kind="bounce", mass=(LIGHT, 2 * LIGHT), across=0.0):
    bodies = bodies_of(mass, [[-1.0, across, 0], [1.0, 0, 0]], [[1.0, 0, 0], [-0.5, 0, 0]])
    return prepare(
        bodies, dt_tu=2.0**-7, collisions=kind, restitution=restitution, radius=0.25, steps=400
    )


def crowd(seed, count=24, unequal=True, spread=1.0, mass=1.0):
    random = np.random.default_rng(seed)
    each = random.uniform(0.5, 2.0, count) if unequal else np.ones(count)
    position = random.uniform(-spread, spread, (count, 3))
    velocity = random.normal(0.0, 0.4, (count, 3))
    return bodies_of(mass * each / count, position, velocity)


def by_name(state):
    """Everything that moves, whatever the order of the bodies."""
    rows = np.argsort(np.array(state.names))
    arrays = (state.mass[rows], state.x_q[:, rows], state.p_q[:, rows], state.radius_q[rows])
    return tuple(np.array(state.names)[rows]), *(array.tobytes() for array in arrays)


def permuted(bodies, order, radii):
    order = list(order)
    moved = Bodies(
        tuple(bodies.names[i] for i in order),
        bodies.mass[order],
        bodies.position[order],
        bodies.velocity[order],
    )
    return moved, [radii[i] for i in order]
