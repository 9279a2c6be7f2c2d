"""The explorer: a list, an entry, its proof, and files."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from audit.bundles import stamp
from audit.models import Entry
from audit.selectors import find_newest_head
from tenants.audit_pages import differences, selectors, services
from tenants.audit_pages.forms import WHO_KINDS, EntryFilter, Export, parse_cursor
from tenants.errors import Invalid
from tenants.permissions import require_permission

KINDS_OF_FILE = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "bundle": "application/json",
}


@require_GET
@require_permission("audit.view")
def list_entries(request: HttpRequest) -> HttpResponse:
    """Show the log, filtered; the address holds the filter and the page."""
    asked = EntryFilter(request.GET)
    people = selectors.list_people(request.tenant)  # type: ignore[attr-defined]
    head = find_newest_head()
    context: dict[str, Any] = {
        "form": asked,
        "people": _choices(people, request.GET.get("who", "")),
        "head": head,
        "size": selectors.grouped(head.size) if head else "",
        "page": selectors.Page(),
        "actions": selectors.list_actions(),
        "is_filtered": False,
        "query": _query_of(request),
    }
    if not asked.is_valid():
        return render(request, "audit/entries.html", context, status=422)
    context["is_filtered"] = bool(asked.said())
    context["page"] = selectors.get_page(
        asked,
        people,
        before=parse_cursor(request.GET.get("before", "")),
        after=parse_cursor(request.GET.get("after", "")),
    )
    return render(request, "audit/entries.html", context)


@require_GET
@require_permission("audit.view")
def entry(request: HttpRequest, number: int) -> HttpResponse:
    """Show one entry with what it changed; that it was read is recorded."""
    found, opened = services.read_entry(
        acting_user=request.user,  # type: ignore[arg-type]
        number=number,
        read_at=timezone.now(),
    )
    actor = opened.actor.said if opened.actor else {}
    details = opened.details.said if opened.details else {}
    people = selectors.list_people(request.tenant)  # type: ignore[attr-defined]
    index = selectors.leaf_indexes([number]).get(number)
    context = {
        "entry": found,
        "index": index,
        "place": "" if index is None else selectors.grouped(index),
        "who": actor.get("label") or selectors.name_of(found, people),
        "actor": actor,
        "details": details,
        "opened": opened,
        "changes": differences.differences(details.get("before", {}), details.get("after", {})),
        "claims": {
            "lines": _lines(found),
            "parts": {
                name: {"salt": part.salt, "text": part.text} if part else None
                for name, part in (("actor", opened.actor), ("details", opened.details))
            },
        },
    }
    return render(request, "audit/entry.html", context)


@require_GET
@require_permission("audit.view")
def proof(request: HttpRequest, number: int) -> HttpResponse:
    """Send what the browser needs to recompute the way from an entry to the signed heads."""
    return JsonResponse(services.get_proof(number).as_json())


@require_POST
@require_permission("audit.export")
def export(request: HttpRequest) -> HttpResponseBase:
    """Send what is filtered as a file; that it was taken away is recorded."""
    asked, form = EntryFilter(request.GET), Export(request.POST)
    if not asked.is_valid() or not form.is_valid():
        raise Invalid("The filter or the form of the file cannot be read. Go back and try again.")
    now, kind = timezone.now(), form.cleaned_data["format"]
    person: Any = request.user
    if kind == "bundle":
        file = services.export_bundle(acting_user=person, asked=asked, exported_at=now)
    else:
        file = services.export_entries(acting_user=person, asked=asked, form=kind, exported_at=now)
    ending = {"bundle": "bundle.json"}.get(kind, kind)
    name = f"audit-{request.tenant.slug}-{now:%Y-%m-%d-%H%M%S}.{ending}"  # type: ignore[attr-defined]
    return FileResponse(file, as_attachment=True, filename=name, content_type=KINDS_OF_FILE[kind])


def _lines(shown: Entry) -> dict[str, str]:
    """Return the lines of the leaf that the page shows in words, by their number."""
    values = (shown.number, shown.xact, stamp(shown.inserted_at), shown.id, stamp(shown.at))
    words = (shown.action, shown.who_kind, shown.who_id, shown.subject_type, shown.subject_id)
    return {str(line): str(value) for line, value in enumerate((*values, *words), 2)}


def _choices(people: dict[str, str], chosen: str) -> list[tuple[str, str]]:
    """Return who may be chosen: members, kinds, and whoever the address names."""
    choices = [(f"person:{key}", email) for key, email in people.items()] + list(WHO_KINDS)
    if chosen and chosen not in dict(choices):
        choices.append((chosen, chosen[:50]))
    return choices


def _query_of(request: HttpRequest) -> str:
    """Return the filter as it stands in the address, without the page."""
    query = request.GET.copy()
    for name in ("before", "after"):
        query.pop(name, None)
    return query.urlencode()
