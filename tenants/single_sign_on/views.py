"""The owner's pages: which identity providers there are, and how each is set up."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import requests
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from tenants.errors import Conflict
from tenants.models import Tenant, User
from tenants.permissions import require_permission
from tenants.single_sign_on import forms, oidc, saml, services
from tenants.single_sign_on.doors import leave
from tenants.single_sign_on.fetching import fetch
from tenants.single_sign_on.login import Purpose
from tenants.single_sign_on.models import IdentityProvider

_RULES = ("factor_counts", "join_role", "join_domains")


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _tenant(request: HttpRequest) -> Tenant:
    tenant: Tenant = request.tenant  # type: ignore[attr-defined]
    return tenant


@require_GET
@require_permission("tenants.manage_sign_in")
def providers(request: HttpRequest) -> HttpResponse:
    """Show the tenant's providers, and whether they are the only way in."""
    return _list_page(request, forms.Add())


def _list_page(
    request: HttpRequest, form: forms.Add, *, status: int = 200, refusal: str = ""
) -> HttpResponse:
    required = _tenant(request).single_sign_on_required
    context = {
        "providers": IdentityProvider.objects.order_by("name"),
        "add": form,
        "require": forms.Require(initial={"single_sign_on_required": required}),
        "refusal": refusal,
    }
    return render(request, "tenants/sign_on/providers.html", context, status=status)


@require_POST
@require_permission("tenants.manage_sign_in")
def add_new(request: HttpRequest) -> HttpResponse:
    """Name a provider; its page shows what its own side wants to know."""
    form = forms.Add(request.POST)
    if not form.is_valid():
        return _list_page(request, form, status=422)
    try:
        added = services.add_provider(
            acting_user=_person(request), added_at=timezone.now(), **form.cleaned_data
        )
    except Conflict as refusal:
        form.add_error(None, str(refusal))
        return _list_page(request, form, status=refusal.status)
    return redirect("sign_on:provider", provider_id=added.pk)


@require_POST
@require_permission("tenants.manage_sign_in")
def change_requirement(request: HttpRequest) -> HttpResponse:
    """Make single sign-on the only way in for members other than owners, or no longer."""
    form = forms.Require(request.POST)
    form.is_valid()  # A box that is ticked or not cannot be wrong.
    try:
        services.require_single_sign_on(
            acting_user=_person(request),
            tenant=_tenant(request),
            is_required=form.cleaned_data["single_sign_on_required"],
            changed_at=timezone.now(),
        )
    except Conflict as refusal:
        return _list_page(request, forms.Add(), status=refusal.status, refusal=str(refusal))
    messages.success(request, "Saved.")
    return redirect("sign_on:providers")


@require_GET
@require_permission("tenants.manage_sign_in")
def provider(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Show how a provider is set up, and what its own side has to know."""
    return _page(request, services.get_provider(provider_id))


def _page(
    request: HttpRequest,
    row: IdentityProvider,
    form: Any = None,
    *,
    status: int = 200,
    refusal: str = "",
) -> HttpResponse:
    people = User.objects.in_bulk([link.user_id for link in row.links.all()])
    context = {
        "provider": row,
        "form": form or _form_of(row),
        "ours": _ours(request, row),
        "links": [(people.get(link.user_id), link) for link in row.links.order_by("linked_at")],
        "start_url": request.build_absolute_uri(reverse("single_sign_on", args=[row.pk])),
        "refusal": refusal,
    }
    return render(request, "tenants/sign_on/provider.html", context, status=status)


def _ours(request: HttpRequest, row: IdentityProvider) -> list[tuple[str, str]]:
    """Return what is to be entered at the provider."""
    if not row.is_saml:
        return [("Redirect URI", oidc.callback_url(request, row))]
    return [
        ("Entity ID and metadata", saml.entity_id(request, row)),
        ("Assertion consumer service (ACS)", saml.acs_url(request, row)),
    ]


def _form_of(row: IdentityProvider, data: Any = None) -> Any:
    rules = {name: getattr(row, name) for name in _RULES[:2]}
    initial = {**rules, "join_domains": ", ".join(row.join_domains)}
    if row.is_saml:
        initial["email_attribute"] = row.email_attribute
        return forms.SetUpSAML(data, initial=initial, is_set_up=row.is_set_up)
    initial |= {"issuer": row.issuer, "client_id": row.client_id}
    return forms.SetUpOIDC(data, initial=initial, has_secret=row.is_set_up)


@sensitive_post_parameters("client_secret")
@require_POST
@require_permission("tenants.manage_sign_in")
def set_up(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Ask the provider about itself, and keep what it says."""
    row = services.get_provider(provider_id)
    form = _form_of(row, request.POST)
    protocol = _ask(row, form) if form.is_valid() else None
    if protocol is None:
        return _page(request, row, form, status=422)
    services.configure(
        acting_user=_person(request),
        provider_id=row.pk,
        rules=services.Rules(**{name: form.cleaned_data[name] for name in _RULES}),
        protocol=protocol,
        changed_at=timezone.now(),
    )
    messages.success(request, "Saved.")
    return redirect("sign_on:provider", provider_id=row.pk)


def _ask(row: IdentityProvider, form: Any) -> dict[str, Any] | None:
    """Return the columns of the protocol; ``None`` with an error in the form where it fails."""
    given = form.cleaned_data
    field = "issuer" if not row.is_saml else "metadata_url"
    try:
        if not row.is_saml:
            config = oidc.discover(given["issuer"], anew=True)
            oidc.fetch_keys(config["jwks_uri"], anew=True)
            secret = given["client_secret"]
            found = {"issuer": given["issuer"], "client_id": given["client_id"]}
            return {**found, "client_secret": secret} if secret else found
        found = {"email_attribute": given["email_attribute"]}
        if given["metadata_url"]:
            return {**found, **saml.read_metadata(fetch(given["metadata_url"]).content)}
        if given["metadata_xml"]:
            field = "metadata_xml"
            return {**found, **saml.read_metadata(given["metadata_xml"].encode())}
        return found
    except saml.MetadataUnreadable as refusal:
        form.add_error(field, str(refusal))
    except requests.RequestException as trouble:
        form.add_error(field, _sentence(trouble))
    return None


def _sentence(trouble: requests.RequestException) -> ValidationError:
    if isinstance(trouble, oidc.FetchRefused):
        return ValidationError(str(trouble))
    if isinstance(trouble, requests.HTTPError) and trouble.response is not None:
        return ValidationError(f"It answers {trouble.response.status_code} there.")
    if isinstance(trouble, requests.exceptions.JSONDecodeError):
        return ValidationError("What answers there is no identity provider.")
    return ValidationError("Nothing answers there, or it is not an address of the open internet.")


@require_POST
@require_permission("tenants.manage_sign_in")
def try_out(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Go through the provider once; whatever it says, nobody is signed in by it."""
    row = services.get_provider(provider_id)
    if not row.is_set_up:
        return _page(request, row, status=409, refusal="Set the provider up first.")
    return leave(request, row, purpose=Purpose.TEST, next_url=None)


@require_POST
@require_permission("tenants.manage_sign_in")
def switch_on(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Offer the provider on the sign-in page."""
    return _switch(request, provider_id, on=True)


@require_POST
@require_permission("tenants.manage_sign_in")
def switch_off(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Offer it no longer."""
    return _switch(request, provider_id, on=False)


def _switch(request: HttpRequest, provider_id: UUID, *, on: bool) -> HttpResponse:
    try:
        row = services.switch(
            acting_user=_person(request),
            tenant=_tenant(request),
            provider_id=provider_id,
            on=on,
            switched_at=timezone.now(),
        )
    except Conflict as refusal:
        row = services.get_provider(provider_id)
        return _page(request, row, status=refusal.status, refusal=str(refusal))
    messages.success(
        request,
        f"The sign-in page offers {row.name}."
        if on
        else f"{row.name} is switched off; whoever came through it is signed out.",
    )
    return redirect("sign_on:provider", provider_id=row.pk)


@require_POST
@require_permission("tenants.manage_sign_in")
def remove_provider(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Forget a provider."""
    row = services.get_provider(provider_id)
    try:
        services.delete_provider(
            acting_user=_person(request),
            tenant=_tenant(request),
            provider_id=provider_id,
            confirmation=request.POST.get("confirmation", ""),
            deleted_at=timezone.now(),
        )
    except (Conflict, services.NotConfirmed) as refusal:
        return _page(request, row, status=refusal.status, refusal=str(refusal))
    messages.info(request, f"{row.name} is deleted.")
    return redirect("sign_on:providers")


@require_POST
@require_permission("tenants.manage_sign_in")
def forget_account(request: HttpRequest, provider_id: UUID, user_id: UUID) -> HttpResponse:
    """Let a member enter with another account of the provider."""
    services.forget_link(
        acting_user=_person(request),
        provider_id=provider_id,
        user_id=user_id,
        forgotten_at=timezone.now(),
    )
    messages.info(request, "The next sign-in of this person is linked anew.")
    return redirect("sign_on:provider", provider_id=provider_id)
