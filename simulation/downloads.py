"""What a run's page offers as files, and the script that draws its plots."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.http import quote_etag
from django.views.decorators.http import require_GET

from simulation import exports, plotly_script, selectors
from simulation.models import Run
from simulation.services import record_download
from tenants.models import User
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class


def _record(request: HttpRequest, run: Run, form: str) -> None:
    assert isinstance(request.user, User), "members alone get here"
    record_download(acting_user=request.user, run=run, form=form, downloaded_at=timezone.now())


def _attachment(run: Run, content: bytes | str, *, kind: str, ending: str) -> HttpResponse:
    name = f"{run.scenario}-{run.short_id}-step{run.step_done}.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type=kind, headers=headers)


@rate_class("export")
@require_GET
@require_permission("simulation.view")
def final_state_npz(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Send the last verified state as a NumPy archive."""
    run = selectors.get_run(run_id)
    content = exports.to_npz(selectors.get_final_state(run))
    _record(request, run, "npz")
    return _attachment(run, content, kind="application/octet-stream", ending="npz")


@rate_class("export")
@require_GET
@require_permission("simulation.view")
def final_state_csv(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Send the last verified state as CSV."""
    run = selectors.get_run(run_id)
    content = exports.to_csv(selectors.get_final_state(run))
    _record(request, run, "csv")
    return _attachment(run, content, kind="text/csv; charset=utf-8", ending="csv")


@rate_class("export")
@require_GET
@require_permission("simulation.view")
def summary_json(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Send the object that ``manage.py simulate --json`` prints, with how the run ended."""
    run = selectors.get_run(run_id)
    wanted = run.engine_request
    # What was asked for, also of a run without a summary yet.
    asked = {**wanted.to_json(), "softening_tu": wanted.softening_tu}
    del asked["softening"]
    ending = {
        "run": str(run.pk),
        "proof": run.proof,
        "state": run.state,
        "failure": run.failure or None,
        "violation": run.violation,
        "fault": run.fault,
        "provenance": run.provenance,
    }
    response = JsonResponse(
        {**asked, **(run.summary or {}), **ending}, json_dumps_params={"indent": 2}
    )
    response["Content-Disposition"] = f'attachment; filename="{run.scenario}-{run.short_id}.json"'
    _record(request, run, "json")
    return response


@rate_class("live")
@require_GET
@require_permission("simulation.view")
def series_json(request: HttpRequest, run_id: UUID) -> HttpResponseBase:
    """Send the series of the plots: error and limit along the run, SI units; 304 as with frames."""
    run = selectors.get_run(run_id)
    return _unless_known(
        request, run, lambda: JsonResponse({"series": selectors.find_series(run) or {}})
    )


@rate_class("live")
@require_GET
@require_permission("simulation.view")
def frame_bin(request: HttpRequest, run_id: UUID) -> HttpResponseBase:
    """Send the positions of the last kept step (``frames``); 304 for a page that has them already.

    Which step is kept is asked first, so that an unchanged frame is not even read.
    """
    run = selectors.get_run(run_id)
    return _unless_known(
        request,
        run,
        lambda: HttpResponse(selectors.get_frame(run), content_type="application/octet-stream"),
    )


def _unless_known(
    request: HttpRequest, run: Run, make: Callable[[], HttpResponse]
) -> HttpResponseBase:
    """Return 304 for a page that has the step that is kept now, else what ``make`` makes of it."""
    tag = selectors.find_kept_tag(run)
    if tag is None:
        return make()
    etag = quote_etag(tag)
    known = get_conditional_response(request, etag=etag)
    if known is not None:
        return known
    response = make()
    response["ETag"] = etag
    return response


@require_GET
@require_permission("simulation.view")
def plotly_js(request: HttpRequest, version: str) -> HttpResponse:
    """Send plotly.js of the installed version."""
    if version != plotly_script.version():
        raise Http404
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        content = plotly_script.compressed_script()
        headers["Content-Encoding"] = "gzip"
    else:
        content = plotly_script.script()
    return HttpResponse(content, content_type="text/javascript; charset=utf-8", headers=headers)
