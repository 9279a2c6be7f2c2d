"""Routes of single sign-on. Those below ``accounts/`` are for everybody, the others for owners."""

from django.urls import include, path

from tenants.single_sign_on import doors, views

_OWNERS = (
    [
        path("sign-on/", views.providers, name="providers"),
        path("sign-on/add/", views.add_new, name="add"),
        path("sign-on/require/", views.change_requirement, name="require"),
        path("sign-on/<uuid:provider_id>/", views.provider, name="provider"),
        path("sign-on/<uuid:provider_id>/set-up/", views.set_up, name="set_up"),
        path("sign-on/<uuid:provider_id>/test/", views.try_out, name="test"),
        path("sign-on/<uuid:provider_id>/enable/", views.switch_on, name="enable"),
        path("sign-on/<uuid:provider_id>/disable/", views.switch_off, name="disable"),
        path("sign-on/<uuid:provider_id>/delete/", views.remove_provider, name="delete"),
        path(
            "sign-on/<uuid:provider_id>/links/<uuid:user_id>/forget/",
            views.forget_account,
            name="forget",
        ),
    ],
    "sign_on",
)
_DOORS = [
    path("confirm/", doors.confirm, name="single_sign_on_confirm"),
    path("<uuid:provider_id>/", doors.sign_in, name="single_sign_on"),
    path("<uuid:provider_id>/callback/", doors.callback, name="single_sign_on_callback"),
    path("<uuid:provider_id>/acs/", doors.acs, name="single_sign_on_acs"),
    path("<uuid:provider_id>/acs/finish/", doors.acs_finish, name="single_sign_on_acs_finish"),
    path("<uuid:provider_id>/metadata/", doors.metadata, name="single_sign_on_metadata"),
]
urlpatterns = [
    path("", include(_OWNERS)),
    path("accounts/single-sign-on/", include(_DOORS)),
]
