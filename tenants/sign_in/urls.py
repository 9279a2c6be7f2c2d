"""Routes about signing in. Those below ``accounts/`` are for every member about themselves."""

from django.urls import path

from tenants.sign_in import views

app_name = "sign_in"
urlpatterns = [
    path("accounts/sessions/", views.own_sessions, name="sessions"),
    path("accounts/sessions/end-others/", views.end_other_sessions, name="end_others"),
    path("accounts/sessions/<uuid:public_id>/end/", views.end_own_session, name="end_session"),
    path("members/<uuid:user_id>/sessions/", views.member_sessions, name="member"),
    path("members/<uuid:user_id>/sessions/end/", views.end_member_sessions, name="end_member"),
    path("settings/sign-in/", views.rules, name="rules"),
    path("settings/sign-in/unlock/", views.unlock, name="unlock"),
]
