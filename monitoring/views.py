"""The dashboard, the alerts, and the JSON behind strips and polling."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from monitoring import forms, live, selectors, services
from monitoring.models import Alert
from monitoring.readings import CARDS
from tenants.context import current_schema
from tenants.errors import Invalid
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class

HISTORY_S = 600
ALERTS_ON_A_PAGE = 50
# The dashboard's strips of performance: series, label, unit, format, limit.
STRIPS = (
    ("latency_ms_p50", "Observation latency p50", "ms", "fixed", ""),
    ("latency_ms_p95", "Observation latency p95", "ms", "fixed", ""),
    ("latency_ms_p99", "Observation latency p99", "ms", "fixed", ""),
    ("screen_ms_p50", "Server to screen p50", "ms", "fixed", "1000"),
    ("screen_ms_p95", "Server to screen p95", "ms", "fixed", "1000"),
    ("lateness_ms", "Collector lateness", "ms", "fixed", "100"),
    ("load_1m", "Load, 1 min", "", "fixed", ""),
    ("cpu_percent", "CPU of the host", "%", "fixed", "85"),
    ("memory_percent", "Memory of the host", "%", "fixed", "80"),
    ("queue", "Tasks in the queue", "", "int", ""),
    ("events_per_s", "Observations", "/s", "fixed", ""),
    ("clients", "Live pages", "", "int", ""),
)


@require_GET
@require_permission("monitoring.view")
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show the tenant's state: the answer, the sums, nodes, alerts, runs and performance."""
    now = timezone.now()
    board = selectors.get_dashboard(now)
    cards = [
        {
            "name": name,
            "history": selectors.get_quantity_history(name, now, HISTORY_S),
            **board.quantities[name],
        }
        for name in CARDS
    ]
    strips = [
        {
            "series": series,
            "label": label,
            "unit": unit,
            "format": form,
            "limit": limit,
            "value": board.performance.get(series),
        }
        for series, label, unit, form, limit in STRIPS
    ]
    context = {"board": board, "cards": cards, "strips": strips}
    return render(request, "monitoring/dashboard.html", context)


@rate_class("live")
@require_GET
@require_permission("monitoring.view")
def live_snapshot(request: HttpRequest) -> HttpResponse:
    """Answer a page that cannot have a socket with the snapshot frame."""
    return _fresh(
        HttpResponse(live.read_snapshot(current_schema()), content_type="application/json")
    )


@rate_class("live")
@require_GET
@require_permission("monitoring.view")
def live_history(request: HttpRequest) -> HttpResponse:
    """Answer a strip with its history: t, value and, for a quantity, limit."""
    form = forms.HistoryQuery(request.GET)
    if not form.is_valid():
        raise Invalid(" ".join(f"{name}: {problems[0]}" for name, problems in form.errors.items()))
    asked = form.cleaned_data
    now, window_s = timezone.now(), asked["window"] or HISTORY_S
    if asked["quantity"]:
        history = selectors.get_quantity_history(asked["quantity"], now, window_s)
    else:
        history = selectors.get_performance_history(asked["series"], now, window_s)
    return _fresh(JsonResponse(history))


def _fresh(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response


@require_GET
@require_permission("monitoring.view")
def list_alerts(request: HttpRequest) -> HttpResponse:
    """Show the alerts of one state; the address holds which."""
    form = forms.AlertFilter({"state": request.GET.get("state", "firing")})
    if not form.is_valid():
        raise Invalid("There is no such tab. Choose firing, acknowledged or resolved.")
    state = Alert.State(form.cleaned_data["state"].upper())
    counts = selectors.count_alerts()
    paginator = Paginator(selectors.list_alerts(state), ALERTS_ON_A_PAGE)
    context = {
        "state": state,
        "tabs": [(each, each.value.lower(), counts[each]) for each in Alert.State],
        "page": paginator.get_page(request.GET.get("page")),
        "counts": counts,
    }
    return render(request, "monitoring/alerts.html", context)


@require_GET
@require_permission("monitoring.view")
def alert(request: HttpRequest, alert_id: UUID) -> HttpResponse:
    """Show one alert, its timeline and the readings around its onset."""
    return _alert_page(request, selectors.get_alert(alert_id), forms.Note())


def _alert_page(
    request: HttpRequest, shown: Alert, form: forms.Note, status: int = 200
) -> HttpResponse:
    context: dict[str, Any] = {
        "alert": shown,
        "form": form,
        "evidence": selectors.list_evidence(shown),
    }
    return render(request, "monitoring/alert.html", context, status=status)


@require_POST
@require_permission("monitoring.acknowledge_alert")
def acknowledge_alert(request: HttpRequest, alert_id: UUID) -> HttpResponse:
    """Note that this person is on it."""
    form = forms.Note(request.POST)
    if not form.is_valid():
        return _alert_page(request, selectors.get_alert(alert_id), form, status=422)
    services.acknowledge_alert(
        acting_user=request.user,  # type: ignore[arg-type]
        alert_id=alert_id,
        acknowledged_at=timezone.now(),
        note=form.cleaned_data["note"],
    )
    return _answered(request, alert_id, "Acknowledged: everybody sees that you are on it.")


@require_POST
@require_permission("monitoring.acknowledge_alert")
def resolve_alert(request: HttpRequest, alert_id: UUID) -> HttpResponse:
    """Note that this person saw the trouble end."""
    form = forms.Note(request.POST)
    if not form.is_valid():
        return _alert_page(request, selectors.get_alert(alert_id), form, status=422)
    services.resolve_alert(
        acting_user=request.user,  # type: ignore[arg-type]
        alert_id=alert_id,
        resolved_at=timezone.now(),
        note=form.cleaned_data["note"],
    )
    return _answered(request, alert_id, "Resolved.")


def _answered(request: HttpRequest, alert_id: UUID, sentence: str) -> HttpResponse:
    """Return nothing to a live page, which hears of the change by itself; else the alert's page."""
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponse(status=204)
    messages.success(request, sentence)
    return redirect("monitoring:alert", alert_id=alert_id)
