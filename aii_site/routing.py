"""Websocket routes; the isolation test walks them."""

from __future__ import annotations

from django.urls import URLPattern

from monitoring.routing import websocket_urlpatterns as monitoring_patterns

websocket_urlpatterns: list[URLPattern] = [*monitoring_patterns]
