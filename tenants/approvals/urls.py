"""Routes of the approvals."""

from django.urls import path

from tenants.approvals import views

app_name = "approvals"
urlpatterns = [
    path("approvals/", views.requests, name="requests"),
    path("approvals/<uuid:request_id>/", views.request_page, name="request"),
    path("approvals/<uuid:request_id>/approve/", views.approve, name="approve"),
    path("approvals/<uuid:request_id>/decline/", views.decline, name="decline"),
    path("approvals/<uuid:request_id>/withdraw/", views.withdraw, name="withdraw"),
]
