"""Routes of the tenants app."""

from django.urls import path

from tenants import views

app_name = "tenants"
urlpatterns = [path("members/", views.list_members, name="members")]
