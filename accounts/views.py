"""Signing in and out."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import actions, challenges, links, passkeys, proofs, rate_limit, sessions
from accounts.actors import from_request
from accounts.middleware import while_weak
from accounts.models import AuthenticatorApp, Challenge, User
from audit.actions import record

PURPOSE = "sign_in"


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
    return render(request, "accounts/sign_in.html", _sign_in_page(request))


@login_not_required
@never_cache
@require_POST
def sign_in_passkey_options(request: HttpRequest) -> HttpResponse:
    """What the page's script asks the browser's passkeys, as JSON; whose passkey it is, the answer says."""
    rate_limit.check(rate_limit.address_of(request))
    challenge = challenges.issue(Challenge.Kind.PASSKEY_SIGN_IN, None)
    return JsonResponse({"challenge": str(challenge.pk), "public_key": passkeys.sign_in_options(challenge)})


@login_not_required
@never_cache
@require_POST
def sign_in_passkey(request: HttpRequest) -> HttpResponse:
    """The passkey's answer; it signs in."""
    try:
        proofs.sign_in_by_passkey(request, request.POST.get("assertion", ""), request.POST.get("challenge", ""))
    except proofs.WrongProof as error:
        return render(request, "accounts/sign_in.html", {**_sign_in_page(request), "problem": str(error)}, status=400)
    return redirect(safe_next(request))


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in_link(request: HttpRequest, token: str) -> HttpResponse:
    """A one-time link. Opening it shows a button, so that previews of links do not use it up; the button signs in."""
    try:
        if request.method == "POST":
            rate_limit.check(rate_limit.address_of(request))
            link = actions.sign_in_by_link(request, token)
            return _after_first_factor(request, link)
        link = links.read(token, User.objects.all())
    except links.InvalidLink as error:
        if request.method == "POST":
            with transaction.atomic():
                rate_limit.fail(rate_limit.address_of(request))
                proofs.failed(request, "link", str(error))
        return render(request, "accounts/link_invalid.html", {"why": str(error)}, status=410)
    return render(request, "accounts/link.html", {"person": link.user, "kind": link.kind, "next": safe_next(request)})


@while_weak
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def second_factor(request: HttpRequest) -> HttpResponse:
    """The question for the second factor, after a link, an SSH key or single sign-on."""
    user: Any = request.user
    if sessions.is_strong(request.session) or not sessions.has_second_factor(user):
        return redirect(safe_next(request))
    problem = ""
    if request.method == "POST":
        try:
            method = _show_factor(request, user)
        except proofs.WrongProof as error:
            problem = str(error)
        else:
            with transaction.atomic():
                sessions.add_method(request, method)
                record(from_request(request), "account.second_factor_passed", user, after={"method": method})
            return redirect(safe_next(request))
    context = {
        "next": safe_next(request),
        "problem": problem,
        "has_passkey": bool(passkeys.relying_party()) and user.passkeys.exists(),
        "has_app": AuthenticatorApp.objects.filter(user=user, confirmed_at__isnull=False).exists(),
        "passkeys_at": passkeys.elsewhere(request),
    }
    return render(request, "accounts/second_factor.html", context, status=400 if problem else 200)


@while_weak
@never_cache
@require_POST
def second_factor_options(request: HttpRequest) -> HttpResponse:
    """What the page's script asks the person's passkeys, as JSON."""
    user: Any = request.user
    challenge = challenges.issue(Challenge.Kind.PASSKEY_SIGN_IN, user, bound_to=_bound(request))
    return JsonResponse({"challenge": str(challenge.pk), "public_key": passkeys.sign_in_options(challenge, user)})


@while_weak
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    with transaction.atomic():
        record(from_request(request), "account.signed_out", request.user)  # type: ignore[arg-type]
        sessions.forget(request)
        logout(request)
    return redirect(settings.LOGIN_URL)


def _show_factor(request: HttpRequest, user: User) -> str:
    """Check what the form brings: a passkey's answer, a recovery code or the app's code; how it was proved."""
    if answer := request.POST.get("assertion"):
        taken = challenges.take(
            Challenge.Kind.PASSKEY_SIGN_IN, request.POST.get("challenge", ""), user, bound_to=_bound(request)
        )
        proofs.by_passkey(request, user, answer, taken, PURPOSE)
        return "passkey"
    if code := request.POST.get("recovery_code"):
        proofs.by_recovery_code(request, user, code, PURPOSE)
        return "recovery"
    proofs.by_code(request, user, request.POST.get("code", ""), PURPOSE)
    return "totp"


def _bound(request: HttpRequest) -> str:
    return str(request.session.get("open_id") or "")


def _after_first_factor(request: HttpRequest, link: links.Link) -> HttpResponse:
    """On to the second factor of those who have one; new people are led through enrolling one."""
    wanted = safe_next(request)
    if request.session.get("second_factor") == "needed":
        return redirect(f"{reverse('second_factor')}?{urlencode({'next': wanted})}")
    return redirect("security" if link.kind == links.Kind.ENROL else wanted)


def _sign_in_page(request: HttpRequest) -> dict[str, Any]:
    return {
        "next": safe_next(request),
        "lifetime": links.lifetime_in_words(links.Kind.SIGN_IN),
        "has_passkeys": bool(passkeys.relying_party()),
        "passkeys_at": passkeys.elsewhere(request),
        "demo": settings.DEMO,
    }
