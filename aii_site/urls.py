"""Every route. Each view is for members unless it is marked ``login_not_required``."""

from __future__ import annotations

from django.conf import settings
from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("accounts/", include("allauth.account.urls")),
    path("", include("tenants.urls")),
    path("", include("monitoring.urls")),
    path("", include("simulation.urls")),
]

if settings.DEBUG:
    urlpatterns.append(path("styleguide/", TemplateView.as_view(template_name="styleguide.html")))
