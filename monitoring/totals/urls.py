"""Routes of the audit across tenants. A round is the same for all: it is named in the query."""

from django.urls import path

from monitoring.totals import views

app_name = "totals"
urlpatterns = [
    path("totals/", views.page, name="page"),
    path("totals/round.json", views.document, name="document"),
    path("totals/verify_totals.py", views.verifier, name="verifier"),
    path("totals/openings.json", views.openings, name="openings"),
]
