"""Routes of the tenants app."""

from django.urls import path

from tenants.members import views
from tenants.second_roles import views as second_roles

app_name = "tenants"
urlpatterns = [
    path("members/", views.members, name="members"),
    path("members/second-roles/", second_roles.second_roles, name="second_roles"),
    path("members/second-roles/grant/", second_roles.grant, name="grant_second_role"),
    path(
        "members/second-roles/<uuid:second_role_id>/end/",
        second_roles.end,
        name="end_second_role",
    ),
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
