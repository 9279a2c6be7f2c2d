"""Websocket routes of the monitoring app."""

from django.urls import URLPattern, path

from monitoring.consumers import LiveConsumer

websocket_urlpatterns: list[URLPattern] = [path("ws/live/", LiveConsumer.as_asgi())]
