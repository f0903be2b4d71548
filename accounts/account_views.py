"""A person's own account: who they are here, their second factors, their sessions."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import factor_actions, passkeys, proofs, recovery, sessions, step_up, totp
from accounts.actors import from_request
from accounts.errors import ProofError, TooManyAttempts
from accounts.limits import SCOPE_WORDS
from accounts.middleware import while_enrolling
from accounts.models import AuthenticatorApp, Passkey, User
from accounts.roles import Role, granted

REFUSALS = (ProofError, ValidationError, TooManyAttempts)
"""What a form of these pages is drawn again for."""


@require_GET
def account(request: HttpRequest) -> HttpResponse:
    """Who I am here, and what I may do."""
    user: Any = request.user
    role = user.role
    may = _rights(Role(role)) if role in list(Role) else []
    methods = [sessions.METHOD_WORDS.get(method, method) for method in request.session.get("methods", ())]
    context = {"may": may, "methods": methods, "has_factor": sessions.has_second_factor(user)}
    return render(request, "accounts/account.html", context)


@while_enrolling
@never_cache
@require_GET
def security(request: HttpRequest) -> HttpResponse:
    """The person's second factors, and what to do when there is none."""
    return _security(request)


@while_enrolling
@never_cache
@require_POST
def passkey_options(request: HttpRequest) -> HttpResponse:
    """What the page's script asks the browser to make, as JSON; a refusal says why."""
    try:
        return JsonResponse(factor_actions.registration_question(request))
    except (ValidationError, ProofError) as error:
        return JsonResponse({"detail": _why(error)}, status=400)


@while_enrolling
@never_cache
@require_POST
def passkey_add(request: HttpRequest) -> HttpResponse:
    """The passkey that the browser made; with the first one come the recovery codes."""
    given = [request.POST.get(name, "") for name in ("name", "challenge", "credential")]
    try:
        done = factor_actions.add_passkey(request, *given)
    except (proofs.WrongProof, *REFUSALS) as error:
        return _security(request, error, status=400)
    messages.success(request, f"Passkey “{given[0].strip()}” works now.")
    return _enrolled(request, done.recovery_codes)


@require_POST
def passkey_rename(request: HttpRequest, pk: int) -> HttpResponse:
    """Another name for a passkey."""
    passkey = _own_passkey(request, pk)
    try:
        factor_actions.rename_passkey(request, passkey, request.POST.get("name", ""))
    except ValidationError as error:
        return _security(request, error, status=400)
    return redirect("security")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def passkey_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a passkey, with a fresh proof."""
    passkey = _own_passkey(request, pk)
    error: Exception | None = None
    if request.method == "POST":
        try:
            step_up.confirm(request, "passkey.removed", passkey, passkey.name)
            factor_actions.remove_passkey(request, passkey, request.POST.get("reason", ""))
        except REFUSALS as refusal:
            error = refusal
        else:
            messages.success(request, f"Passkey “{passkey.name}” is removed.")
            return redirect("security")
    asked = step_up.offer(request, "passkey.removed", passkey, passkey.name, error)
    context = {"passkey": passkey, "step_up": asked, "is_last": _is_last_factor(request, passkey)}
    return _answer(request, "accounts/passkey_remove.html", context, error)


@while_enrolling
@never_cache
@require_POST
def app_start(request: HttpRequest) -> HttpResponse:
    """Begin to set up an authenticator app."""
    try:
        factor_actions.begin_app(request)
    except (ValidationError, ProofError) as error:
        return _security(request, error, status=400)
    return redirect("app")


@while_enrolling
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def app(request: HttpRequest) -> HttpResponse:
    """The QR code of the app that is being set up, and the field for its first code."""
    user: Any = request.user
    seed = _pending_seed(user)
    if not seed:
        return redirect("security")
    error: Exception | None = None
    if request.method == "POST":
        try:
            done = factor_actions.confirm_app(request, request.POST.get("code", ""))
        except (proofs.WrongProof, *REFUSALS) as refusal:
            error = refusal
        else:
            messages.success(request, "The authenticator app works now.")
            return _enrolled(request, done.recovery_codes)
    context = {"qr": totp.qr(seed, user.username), "seed": totp.grouped(seed)}
    return _answer(request, "accounts/app.html", context, error)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def app_remove(request: HttpRequest) -> HttpResponse:
    """Remove the authenticator app, with a fresh proof."""
    user: Any = request.user
    found = get_object_or_404(AuthenticatorApp, user=user, confirmed_at__isnull=False)
    error: Exception | None = None
    if request.method == "POST":
        try:
            step_up.confirm(request, "totp.removed", found, user.username)
            factor_actions.remove_app(request, request.POST.get("reason", ""))
        except REFUSALS as refusal:
            error = refusal
        else:
            messages.success(request, "The authenticator app is removed.")
            return redirect("security")
    asked = step_up.offer(request, "totp.removed", found, user.username, error)
    return _answer(
        request, "accounts/app_remove.html", {"step_up": asked, "is_last": not user.passkeys.exists()}, error
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """Ten new recovery codes, with a fresh proof."""
    user: Any = request.user
    error: Exception | None = None
    if request.method == "POST":
        try:
            step_up.confirm(request, "recovery.renewed", user, user.username)
            codes = factor_actions.renew_recovery_codes(request, request.POST.get("reason", ""))
        except REFUSALS as refusal:
            error = refusal
        else:
            return render(request, "accounts/recovery_codes.html", {"codes": codes})
    asked = step_up.offer(request, "recovery.renewed", user, user.username, error)
    return _answer(request, "accounts/recovery_renew.html", {"step_up": asked, "left": recovery.left(user)}, error)


@never_cache
@require_GET
def session_list(request: HttpRequest) -> HttpResponse:
    """Where this person is signed in."""
    user: Any = request.user
    here = request.session.get("open_id")
    shown = [
        {
            "session": session,
            "is_this": session.pk == here,
            "methods": [sessions.METHOD_WORDS.get(method, method) for method in session.methods],
            "browser": _browser(session.user_agent),
        }
        for session in sessions.open_sessions(user)
    ]
    shown.sort(key=lambda row: not row["is_this"])
    others = sum(not row["is_this"] for row in shown)
    return render(request, "accounts/sessions.html", {"shown": shown, "others": others})


@require_POST
def session_end(request: HttpRequest, pk: int) -> HttpResponse:
    """End one session; this one is ended by signing out."""
    user: Any = request.user
    session = get_object_or_404(sessions.open_sessions(user), pk=pk)
    sessions.end(from_request(request), session)
    messages.success(request, "The session is ended. Its pages close within 5 seconds.")
    return redirect("sessions")


@require_POST
def session_end_others(request: HttpRequest) -> HttpResponse:
    """End every session but this one."""
    user: Any = request.user
    count = sessions.end_others(from_request(request), user, request.session.get("open_id"))
    messages.success(request, f"{count} other session{'' if count == 1 else 's'} ended.")
    return redirect("sessions")


def _security(request: HttpRequest, error: Exception | None = None, status: int = 200) -> HttpResponse:
    user: Any = request.user
    found = AuthenticatorApp.objects.filter(user=user, confirmed_at__isnull=False).first()
    own = list(user.passkeys.all())
    context = {
        "passkeys": own,
        "app": found,
        "has_factor": bool(own or found),
        "is_admin": user.role == Role.ADMIN,
        "codes_left": recovery.left(user),
        "codes": recovery.COUNT,
        "ssh_keys": user.ssh_keys.all(),
        "can_add_passkey": bool(passkeys.relying_party()),
        "passkeys_at": passkeys.elsewhere(request),
        "problem": _why(error) if error else "",
        "entered": sessions.standing(request.session, user) == sessions.Standing.GOOD,
    }
    return render(request, "accounts/security.html", context, status=status)


def _enrolled(request: HttpRequest, codes: list[str]) -> HttpResponse:
    return render(request, "accounts/recovery_codes.html", {"codes": codes}) if codes else redirect("security")


def _answer(request: HttpRequest, template: str, context: dict[str, Any], error: Exception | None) -> HttpResponse:
    status = 200 if error is None else 429 if isinstance(error, TooManyAttempts) else 400
    response = render(request, template, {**context, "problem": _why(error) if error else ""}, status=status)
    if isinstance(error, TooManyAttempts):
        response["Retry-After"] = str(error.wait)
    return response


def _why(error: Exception) -> str:
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


def _own_passkey(request: HttpRequest, pk: int) -> Passkey:
    return get_object_or_404(Passkey, pk=pk, user=request.user)


def _is_last_factor(request: HttpRequest, passkey: Passkey) -> bool:
    user: Any = request.user
    has_app = AuthenticatorApp.objects.filter(user=user, confirmed_at__isnull=False).exists()
    return not has_app and not user.passkeys.exclude(pk=passkey.pk).exists()


def _pending_seed(user: User) -> str:
    """The seed of the app that is being set up; empty when none is, or when it cannot be read any more."""
    found = AuthenticatorApp.objects.filter(user=user, confirmed_at=None).first()
    try:
        return totp.decrypt(found.seed) if found else ""
    except totp.UnreadableSeed:
        return ""


def _rights(role: Role) -> list[tuple[str, list[str]]]:
    """What a role may do, in words, by place; one place when it is the same everywhere."""
    rights = [
        (place, [words for name, words in SCOPE_WORDS.items() if name in granted(role, production=production)])
        for place, production in (("Production", True), ("Other environments", False))
    ]
    return rights if rights[0][1] != rights[1][1] else [("Everywhere", rights[0][1])]


def _browser(user_agent: str) -> str:
    """The browser and the system in short words; they are what the browser says of itself."""
    names = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "macOS"}
    systems["Linux"] = "Linux"  # last: Android names it, too
    name = next((word for mark, word in names.items() if mark in user_agent), "")
    system = next((word for mark, word in systems.items() if mark in user_agent), "")
    return f"{name} on {system}" if name and system else name or user_agent[:60] or "Unknown browser"
