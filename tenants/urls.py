"""Routes of the tenants app."""

from django.urls import path

from tenants.members import views

app_name = "tenants"
urlpatterns = [
    path("members/", views.members, name="members"),
    path("members/invite/", views.invite, name="invite"),
    path("members/<uuid:user_id>/", views.member, name="member"),
    path("members/<uuid:user_id>/role/", views.change_role, name="change_role"),
    path("members/<uuid:user_id>/remove/", views.remove, name="remove"),
    path(
        "invitations/<uuid:invitation_id>/withdraw/",
        views.withdraw_invitation,
        name="withdraw_invitation",
    ),
    path("join/", views.join, name="join"),
    path("roles/", views.roles, name="roles"),
]
