"""Routes of the monitoring app."""

from django.urls import URLPattern, path

from monitoring import views

app_name = "monitoring"
urlpatterns: list[URLPattern] = [
    path("", views.dashboard, name="dashboard"),
    path("live/snapshot.json", views.live_snapshot, name="live_snapshot"),
    path("live/history.json", views.live_history, name="live_history"),
    path("alerts/", views.list_alerts, name="alerts"),
    path("alerts/<uuid:alert_id>/", views.alert, name="alert"),
    path("alerts/<uuid:alert_id>/acknowledge/", views.acknowledge_alert, name="acknowledge_alert"),
    path("alerts/<uuid:alert_id>/resolve/", views.resolve_alert, name="resolve_alert"),
]
