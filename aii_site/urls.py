"""Every route. Each view is for members unless it is marked ``login_not_required``."""

from __future__ import annotations

from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import TemplateView

urlpatterns: list[URLPattern | URLResolver] = [
    path("accounts/", include("allauth.account.urls")),
    path("accounts/second-factor/", include("allauth.mfa.urls")),
    path("", include("tenants.single_sign_on.urls")),
    path("", include("tenants.sign_in.urls")),
    path("", include("tenants.urls")),
    path("", include("tenants.approvals.urls")),
    path("", include("tenants.audit_pages.urls")),
    path("", include("monitoring.urls")),
    path("", include("monitoring.totals.urls")),
    path("", include("simulation.urls")),
    path("", include("business.studies.urls")),
    path("", include("business.scenarios.urls")),
    path("", include("business.roadmap.urls")),
    path("", include("business.cases.urls")),
]

if settings.DEBUG:
    urlpatterns.append(path("styleguide/", TemplateView.as_view(template_name="styleguide.html")))
