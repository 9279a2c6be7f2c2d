"""Routes of the audit explorer."""

from django.urls import path

from tenants.audit_pages import views

app_name = "audit"
urlpatterns = [
    path("audit/", views.list_entries, name="entries"),
    path("audit/export/", views.export, name="export"),
    path("audit/<int:number>/", views.entry, name="entry"),
    path("audit/<int:number>/proof.json", views.proof, name="proof"),
]
