"""Single sign-on: to the provider and back. Without the setting there are no such addresses."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts import oidc
from accounts.errors import SignInRefused
from accounts.views import safe_next


@login_not_required
@never_cache
@require_GET
def oidc_begin(request: HttpRequest) -> HttpResponse:
    """On to the provider. A GET, since a form's answer may not lead to another site (CSP ``form-action``)."""
    _require_setting()
    try:
        return redirect(oidc.begin(request, _redirect_uri(request), safe_next(request)))
    except SignInRefused as error:
        return _refused(request, error)


@login_not_required
@never_cache
@require_GET
def oidc_callback(request: HttpRequest) -> HttpResponse:
    """Back from the provider."""
    _require_setting()
    try:
        return redirect(oidc.finish(request, _redirect_uri(request)))
    except SignInRefused as error:
        return _refused(request, error)


def _require_setting() -> None:
    if not oidc.is_on():
        raise Http404("Single sign-on is not set up here.")


def _redirect_uri(request: HttpRequest) -> str:
    return request.build_absolute_uri(reverse("oidc_callback"))


def _refused(request: HttpRequest, error: SignInRefused) -> HttpResponse:
    status = 502 if error.code == "oidc_unavailable" else 403
    return render(request, "accounts/oidc_refused.html", {"why": str(error)}, status=status)
