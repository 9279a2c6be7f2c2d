"""The sentences about a run, the same on its page and in its live value."""

from __future__ import annotations

from typing import Any

from simulation import engine
from simulation.figures import count, sci
from simulation.models import Run


def describe_proof(proved: int, steps: int) -> str:
    """Return over how many steps it was proved that no bit was lost."""
    if steps and proved >= steps:
        return f"Information proved over all {count(steps)} steps."
    return f"Information proved over {count(proved)} of {count(steps)} steps."


def describe_proof_of(run: Run) -> str:
    """Return the same for a run that has ended with a summary; "" for another."""
    if not run.summary:
        return ""
    if run.proof == Run.Proof.NONE:
        return f"Information not proved: {run.get_proof_display().partition(': ')[2]}."
    proved = run.summary["quantities"]["information"]["proved_steps"]
    return describe_proof(proved, run.summary["steps_done"])


FORCES = {"direct": "Direct summation", "fmm": "Fast multipole method"}


def title_of_force(force: str) -> str:
    """Return a force's name for people."""
    return FORCES.get(force, force)


def title_of_integrator(integrator: str) -> str:
    """Return an integrator's name for people; its own for one that is no longer offered."""
    known = engine.INTEGRATORS.get(integrator)
    title = known.title if known is not None else integrator
    return title[:1].upper() + title[1:]


def describe_force(request: engine.Request) -> str:
    """Return the force with its accuracy: fast multipole method to 1e-4 (rms)."""
    if request.accuracy is None:
        return title_of_force(request.force)
    return f"{title_of_force(request.force)}, forces to {sci(request.accuracy, 1)} (rms)"


def describe_method(request: engine.Request) -> str:
    """Return integrator and force in the words of the command line: leapfrog, fmm 0.0001."""
    accuracy = "" if request.accuracy is None else f" {sci(request.accuracy, 1)}"
    return f"{request.integrator}, {request.force}{accuracy}"


def describe_space(request: engine.Request) -> str:
    """Return what bodies do that touch, and where space ends; "" for points in open space."""
    said = []
    if request.collisions is not None:
        what = "merge" if request.collisions == "merge" else "bounce"
        if request.collisions == "bounce":
            what += f" with a restitution of {request.restitution:g}"
        radius = request.radius
        size = (
            f"of radius {sci(radius)}" if isinstance(radius, float) else "with radii of their own"
        )
        said.append(f"bodies {size} {what}")
    if request.box is not None:
        said.append(f"a periodic box of side {sci(request.box)}")
    return "; ".join(said)


def describe_fault(fault: dict[str, Any]) -> str:
    """Return what a drill alters, and when."""
    what = (
        f"momentum of body {fault['body']}"
        if fault["kind"] == "momentum"
        else f"reading of {str(fault['quantity']).replace('_', ' ')}"
    )
    return f"{what} in step {count(fault['step'])}, relative size {sci(fault['relative_size'])}"


def describe_run(run: Run) -> str:
    """Return the answer of a run's page: one sentence."""
    title = run.title
    steps = run.step_done
    if run.state == Run.State.QUEUED:
        if run.resumes:
            return f"{title}: its worker stopped; the run waits to go on."
        return f"{title}: waiting for a worker."
    if run.state == Run.State.RUNNING:
        if run.cancel_requested_at:
            return f"{title}: stopping after step {count(steps)}."
        return f"{title}: {_laws(run)} held over {count(steps)} of {count(run.steps)} steps so far."
    if run.state == Run.State.VIOLATED and run.violation:
        return f"{run.violation['sentence']} Rolled back to step {count(steps)}."
    if run.state == Run.State.FAILED:
        return f"{title} failed. {run.failure}"
    if run.state == Run.State.CANCELLED:
        who = run.cancel_requested_by_email or "nobody"
        done = f"{count(steps)} of {count(run.steps)}"
        return f"{title}: cancelled by {who} after {done} verified steps."
    return f"{title}: {_laws(run)} held over {count(steps)} steps."


def _laws(run: Run) -> str:
    # Of information only the stretches that were retraced are known: no word about the others.
    if run.proof in (Run.Proof.SAMPLES, Run.Proof.NONE):
        return "energy, momentum, angular momentum and mass"
    return "every law"
