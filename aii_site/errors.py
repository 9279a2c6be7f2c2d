"""Pages for what goes wrong outside any view."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say what to do when the form's token is missing or old."""
    return render(request, "csrf_failure.html", status=403)
