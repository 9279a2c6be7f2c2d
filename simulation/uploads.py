"""The pages of bodies that people bring: a list with a form, a preview, the file again."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from simulation import own_bodies, selectors, services
from simulation.figures import count, length_of_time
from tenants.models import User
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class

ROWS_MAX = 50


class BodiesUpload(forms.Form):
    """A CSV file of bodies, and what its numbers mean."""

    file = forms.FileField(
        label="CSV file",
        max_length=255,
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv"}),
        help_text=f"Columns body, mass, x, y, z, vx, vy, vz, and radius for collisions; at most "
        f"{count(own_bodies.BODIES_MAX)} bodies and {own_bodies.BYTES_MAX >> 20} MiB.",
        error_messages={
            "required": "Choose a file.",
            "invalid": "Choose a file.",
            "missing": "Choose a file.",
            "empty": "The file is empty.",
            "max_length": "Use a file name of at most 255 characters.",
        },
    )
    units = forms.ChoiceField(
        label="Units",
        choices=[(name, name) for name in own_bodies.UNITS],
        help_text="N-body: G = 1, masses of the Sun and astronomical units. SI: kilograms, metres, "
        "metres per second.",
        error_messages={
            "required": "Choose the units.",
            "invalid_choice": "There are no such units. Choose some of the list.",
        },
    )


@require_GET
@require_permission("simulation.view")
def bodies_files(request: HttpRequest) -> HttpResponse:
    """List the files of bodies, and take another."""
    return _list(request, BodiesUpload())


def _list(
    request: HttpRequest, form: BodiesUpload, status: int = 200, **context: Any
) -> HttpResponse:
    context |= {"form": form, "files": selectors.list_bodies_files()}
    return render(request, "simulation/bodies_files.html", context, status=status)


@require_POST
@require_permission("simulation.request_run")
def upload_bodies(request: HttpRequest) -> HttpResponse:
    """Keep a file and show what was read; or say of each bad row why, and keep nothing."""
    form = BodiesUpload(request.POST, request.FILES)
    if not form.is_valid():
        return _list(request, form, status=422)
    file = form.cleaned_data["file"]
    try:
        kept = services.upload_bodies(
            acting_user=_person(request),
            name=file.name,
            # One byte more than may be shows that there is more.
            content=file.read(own_bodies.BYTES_MAX + 1),
            units=form.cleaned_data["units"],
            uploaded_at=timezone.now(),
        )
    except services.BodiesRefused as refusal:
        more = refusal.count - len(refusal.sentences)
        return _list(request, form, status=422, sentences=refusal.sentences, more=more)
    return redirect(kept)


@require_GET
@require_permission("simulation.view")
def bodies_file(request: HttpRequest, file_id: UUID) -> HttpResponse:
    """Show what was read of a file, and what the engine makes of it."""
    file = selectors.get_bodies_file(file_id)
    bodies = services.bodies_of(file)
    scenario = services.scenario_of_file(file)
    table = zip(
        bodies.names,
        bodies.mass,
        bodies.position.tolist(),
        bodies.velocity.tolist(),
        [None] * file.bodies if bodies.radius is None else bodies.radius,
        strict=True,
    )
    context = {
        "file": file,
        "rows": [row for row, _ in zip(table, range(ROWS_MAX), strict=False)],
        "rows_max": ROWS_MAX,
        "has_radii": bodies.radius is not None,
        "total_mass": float(bodies.mass.sum()),
        "test_particles": int((bodies.mass == 0.0).sum()),
        "scenario": scenario,
        "step": length_of_time(scenario.dt_tu * scenario.time_s),
        "is_used": file.runs.exists(),
    }
    return render(request, "simulation/bodies_file.html", context)


@rate_class("export")
@require_GET
@require_permission("simulation.view")
def bodies_csv(request: HttpRequest, file_id: UUID) -> HttpResponse:
    """Send a file as it came."""
    file = selectors.get_bodies_file(file_id)
    services.record_bodies_download(
        acting_user=_person(request), file=file, downloaded_at=timezone.now()
    )
    headers = {"Content-Disposition": f'attachment; filename="bodies-{file.sha256[:12]}.csv"'}
    return HttpResponse(
        bytes(file.content), content_type="text/csv; charset=utf-8", headers=headers
    )


@require_POST
@require_permission("simulation.request_run")
def delete_bodies(request: HttpRequest, file_id: UUID) -> HttpResponse:
    """Delete a file of which no run was made."""
    name = selectors.get_bodies_file(file_id).name
    services.delete_bodies(acting_user=_person(request), file_id=file_id, deleted_at=timezone.now())
    messages.info(request, f"Deleted {name}.")
    return redirect("simulation:bodies_files")


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
