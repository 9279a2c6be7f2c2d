"""Other codes, in an environment of their own: one request a line on standard input, one answer a
line on standard output. Run by ``benchmarks.engine``; knows nothing of AII.

A request is ``{"call": name, ...}``; positions come as a file of NumPy's. Times are of the call
alone, in seconds; forces go back as a file.
"""

import json
import sys
import time

import numpy as np

_bodies = {}


def load(*, path):
    """Take positions, velocities (N, 3) and masses (N,)."""
    with np.load(path) as arrays:
        _bodies.update({name: np.ascontiguousarray(arrays[name]) for name in arrays})
    return {"bodies": len(_bodies["m"])}


def _rebound(softening, gravity, theta, dt):
    import rebound

    sim = rebound.Simulation()
    sim.integrator, sim.gravity, sim.dt = "leapfrog", gravity, dt
    sim.softening = softening
    if gravity == "tree":
        sim.root_size = 4096.0
        sim.opening_angle2 = theta**2
    for m, x, v in zip(_bodies["m"], _bodies["x"], _bodies["v"], strict=True):
        sim.add(m=m, x=x[0], y=x[1], z=x[2], vx=v[0], vy=v[1], vz=v[2])
    return sim


def rebound_force(*, softening, gravity, theta, out):
    """Time one force evaluation: a leapfrog step that hardly moves (its drifts are O(N))."""
    sim = _rebound(softening, gravity, theta, 1e-12)
    begun = time.perf_counter()
    sim.steps(1)
    took_s = time.perf_counter() - begun
    # The tree moves bodies about in memory: find each by its place.
    n = len(_bodies["m"])
    xyz, acceleration = np.zeros((n, 3)), np.zeros((n, 3))
    sim.serialize_particle_data(xyz=xyz)
    for i, p in enumerate(sim.particles):
        acceleration[i] = p.ax, p.ay, p.az
    order, given = np.lexsort(np.round(xyz, 9).T), np.lexsort(np.round(_bodies["x"], 9).T)
    force = np.empty_like(acceleration)
    force[given] = acceleration[order]
    np.save(out, force)
    return {"seconds": took_s}


def rebound_drift(*, softening, theta, dt, steps):
    """Return |dP| / sum |mv| after leapfrog steps with the tree."""
    sim = _rebound(softening, "tree", theta, dt)
    begun = time.perf_counter()
    sim.steps(steps)
    took_s = time.perf_counter() - begun
    p = np.array([[b.m * b.vx, b.m * b.vy, b.m * b.vz] for b in sim.particles])
    before = _bodies["m"][:, None] * _bodies["v"]
    drift = np.linalg.norm(p.sum(0) - before.sum(0)) / np.linalg.norm(before, axis=1).sum()
    return {"seconds": took_s, "drift": float(drift)}


def pytreegrav_force(*, softening, theta, threads, out, method="tree"):
    """Time one evaluation; its softening is a spline's, so it is held against its own sum."""
    import numba
    import pytreegrav

    numba.set_num_threads(threads)
    soft = np.full(len(_bodies["m"]), softening)
    begun = time.perf_counter()
    force = pytreegrav.Accel(
        _bodies["x"], _bodies["m"], soft, theta=theta, parallel=threads > 1, method=method
    )
    took_s = time.perf_counter() - begun
    np.save(out, force)
    return {"seconds": took_s}


def pytreegrav_direct(*, softening, targets, out):
    """Write its own direct sum on some bodies."""
    import pytreegrav

    chosen = np.array(targets)
    soft = np.full(len(_bodies["m"]), softening)
    force = pytreegrav.AccelTarget(
        _bodies["x"][chosen],
        _bodies["x"],
        _bodies["m"],
        softening_target=soft[chosen],
        softening_source=soft,
        method="bruteforce",
    )
    np.save(out, force)
    return {}


def pytreegrav_drift(*, softening, theta, dt, steps):
    """Return |dP| / sum |mv| after leapfrog steps with the tree."""
    import pytreegrav

    x, v, m = _bodies["x"].copy(), _bodies["v"].copy(), _bodies["m"]
    soft = np.full(len(m), softening)

    def force():
        return pytreegrav.Accel(x, m, soft, theta=theta, parallel=True, method="tree")

    begun = time.perf_counter()
    a = force()
    for _ in range(steps):
        v += 0.5 * dt * a
        x += dt * v
        a = force()
        v += 0.5 * dt * a
    took_s = time.perf_counter() - begun
    p, before = m[:, None] * v, m[:, None] * _bodies["v"]
    drift = np.linalg.norm(p.sum(0) - before.sum(0)) / np.linalg.norm(before, axis=1).sum()
    return {"seconds": took_s, "drift": float(drift)}


def fmm3d_force(*, eps, out):
    """Time one evaluation without softening (it knows none)."""
    import fmm3dpy

    x = np.ascontiguousarray(_bodies["x"].T)
    begun = time.perf_counter()
    found = fmm3dpy.lfmm3d(eps=eps, sources=x, charges=_bodies["m"], pg=2)
    took_s = time.perf_counter() - begun
    np.save(out, found.grad.T)
    return {"seconds": took_s}


def rebound_planets(*, integrator, corrector, dt, steps, every):
    """Return the largest energy error and the seconds a step."""
    import rebound

    sim = rebound.Simulation()
    for m, x, v in zip(_bodies["m"], _bodies["x"], _bodies["v"], strict=True):
        sim.add(m=m, x=x[0], y=x[1], z=x[2], vx=v[0], vy=v[1], vz=v[2])
    sim.move_to_com()
    sim.integrator, sim.dt = integrator, dt
    if corrector:
        # Its fast way: positions and velocities meet only when they are looked at.
        sim.integrator.corrector, sim.integrator.safe_mode = corrector, 0
    start, worst, spent_s = sim.energy(), 0.0, 0.0
    end = dt * steps
    for share in range(1, every + 1):
        begun = time.perf_counter()
        sim.integrate(end * share / every, exact_finish_time=0)
        spent_s += time.perf_counter() - begun
        worst = max(worst, abs((sim.energy() - start) / start))
    return {"seconds": spent_s, "steps": int(sim.steps_done), "error": worst}


CALLS = {
    call.__name__: call
    for call in (
        load,
        rebound_force,
        rebound_drift,
        pytreegrav_force,
        pytreegrav_direct,
        pytreegrav_drift,
        fmm3d_force,
        rebound_planets,
    )
}


def main():
    """Answer until standard input ends."""
    for line in sys.stdin:
        wanted = json.loads(line)
        try:
            answer = CALLS[wanted.pop("call")](**wanted)
        except Exception as error:
            answer = {"error_text": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
