"""The page of the audit across tenants, and its downloads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from conservation import verify_totals
from monitoring.totals import selectors
from monitoring.totals.services import show_openings
from tenants.errors import Invalid
from tenants.permissions import require_permission

ROUNDS_ON_A_PAGE = 20


@require_GET
@require_permission("conservation.view_totals")
def page(request: HttpRequest) -> HttpResponse:
    """Show a round (``?round=7``, or the newest) and those before it."""
    number = _number(request) if "round" in request.GET else None
    history = Paginator(selectors.list_publications(), ROUNDS_ON_A_PAGE)
    context = {
        "shown": selectors.find_page(number),
        "history": history.get_page(request.GET.get("page")),
    }
    return render(request, "totals/round.html", context)


@require_GET
@require_permission("conservation.view_totals")
def document(request: HttpRequest) -> HttpResponse:
    """Send a published round byte for byte."""
    publication = selectors.get_publication(_number(request))
    return _attachment(
        publication.document, f"round-{publication.pk}.json", "application/json; charset=utf-8"
    )


@require_GET
@require_permission("conservation.view_totals")
def verifier(request: HttpRequest) -> HttpResponse:
    """Send the file that checks a published round."""
    text = Path(verify_totals.__file__).read_text(encoding="utf-8")
    return _attachment(text, "verify_totals.py", "text/x-python; charset=utf-8")


@require_GET
@require_permission("conservation.open_totals")
def openings(request: HttpRequest) -> HttpResponse:
    """Send this tenant's drawn totals in plain, to its auditors; the log says who took them."""
    opened = show_openings(
        acting_user=request.user,  # type: ignore[arg-type]
        number=_number(request),
        shown_at=timezone.now(),
    )
    # As text: JSON's readers often cut numbers of this size.
    totals = [{**asdict(each), "value": str(each.value)} for each in opened]
    answer = JsonResponse({"round": _number(request), "totals": totals})
    answer["Content-Disposition"] = f'attachment; filename="openings-{_number(request)}.json"'
    return answer


def _number(request: HttpRequest) -> int:
    text = request.GET.get("round", "")
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise Invalid("A round has a number. Choose one from the list.")
    return int(text)


def _attachment(text: str, name: str, kind: str) -> HttpResponse:
    answer = HttpResponse(text, content_type=kind)
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
