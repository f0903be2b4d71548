"""Signing in and out."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import actions, links
from accounts.actors import from_request
from accounts.models import User
from audit.actions import record


def safe_next(request: HttpRequest) -> str:
    """Where to go after signing in: ``next`` of the request when it is a page of this console, else the overview."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None) and wanted.startswith("/"):
        return wanted
    return settings.LOGIN_REDIRECT_URL


@login_not_required
@never_cache
@require_GET
def sign_in(request: HttpRequest) -> HttpResponse:
    """How to enter; somebody who is signed in goes on at once."""
    if request.user.is_authenticated:
        return redirect(safe_next(request))
    return render(request, "accounts/sign_in.html", {"minutes": int(links.LIFETIME.total_seconds() // 60)})


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A one-time link. Opening it shows a button, so that previews of links do not use it up; the button signs in."""
    try:
        if request.method == "POST":
            actions.sign_in_by_link(request, token)
            return redirect(safe_next(request))
        person = links.read(token, User.objects.all())
    except links.InvalidLink as error:
        return render(request, "accounts/link_invalid.html", {"why": str(error)}, status=410)
    return render(request, "accounts/link.html", {"person": person, "next": safe_next(request)})


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    with transaction.atomic():
        record(from_request(request), "account.signed_out", request.user)
        logout(request)
    return redirect(settings.LOGIN_URL)
