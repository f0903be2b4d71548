"""One's own API keys: list, make, rotate, revoke; and one's SSH keys."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import key_actions, queries, ssh_actions
from accounts.actors import from_request
from accounts.errors import KeyStateError
from accounts.key_form import DAYS, KeyForm, presets
from accounts.limits import SCOPE_WORDS
from accounts.models import APIKey, SSHKey
from accounts.roles import VIEW

OVERLAPS = ((0, "Not at all: the old key ends now"), (1, "1 hour"), (24, "24 hours"), (72, "3 days"), (168, "7 days"))
PAGE_SIZE = 50


@require_GET
def key_list(request: HttpRequest) -> HttpResponse:
    """My API keys, newest first."""
    user: Any = request.user
    page = Paginator(queries.keys_of(user), PAGE_SIZE).get_page(request.GET.get("page"))
    rows = [(key, scopes_in_words(key)) for key in page]
    due = sum(key.state == "due" for key, _ in rows)
    return render(request, "accounts/keys.html", {"page": page, "rows": rows, "due": due})


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def key_new(request: HttpRequest) -> HttpResponse:
    """The form for a new key; the answer to it shows the key, this once."""
    user: Any = request.user
    places = queries.places_of(user)
    offered = presets(places)
    if request.method == "POST":
        form = KeyForm.of(request.POST)
        try:
            key, text = key_actions.create_api_key(from_request(request), user, **form.arguments)
            return _shown(request, key, text)
        except ValidationError as error:
            form.errors = error.message_dict
    else:
        chosen = next((one for one in offered if one.name == request.GET.get("preset")), None)
        form = KeyForm.from_preset(chosen) if chosen else KeyForm()
    context = {"form": form, "places": places, "presets": offered, "days": DAYS}
    return render(request, "accounts/key_new.html", context, status=400 if form.errors else 200)


@never_cache
@require_GET
def key_detail(request: HttpRequest, prefix: str) -> HttpResponse:
    """One key: what it may do, where, from where, until when."""
    return _detail(request, _own(request, prefix))


@never_cache
@require_POST
def key_rotate(request: HttpRequest, prefix: str) -> HttpResponse:
    """Make the key that takes over; the answer shows it, this once."""
    key = _own(request, prefix)
    hours = request.POST.get("overlap_hours", "")
    try:
        if hours not in {str(number) for number, _ in OVERLAPS}:
            raise ValidationError({"overlap_hours": "Choose how long both keys work."})
        new, text = key_actions.rotate_api_key(from_request(request), key, int(hours))
    except ValidationError as error:
        return _detail(request, key, " ".join(error.messages), status=400)
    except KeyStateError as error:
        return _detail(request, key, str(error), status=409)
    return _shown(request, new, text, old=_own(request, prefix))


@require_POST
def key_revoke(request: HttpRequest, prefix: str) -> HttpResponse:
    """End a key at once."""
    key = key_actions.revoke_api_key(
        from_request(request), _own(request, prefix), request.POST.get("reason", "").replace("\x00", "")[:500]
    )
    messages.success(request, f"{key.name} is revoked: whoever sends it is refused from now on.")
    return redirect("key", prefix)


@never_cache
@sensitive_post_parameters("public_key")  # somebody may paste the private half
@require_http_methods(["GET", "HEAD", "POST"])
def ssh_keys(request: HttpRequest) -> HttpResponse:
    """My SSH keys, and the form that adds one."""
    user: Any = request.user
    problem = ""
    if request.method == "POST":
        given = (request.POST.get("public_key", ""), request.POST.get("name", ""))
        try:
            made = ssh_actions.add_ssh_key(from_request(request), user, *given)
        except ValidationError as error:
            problem = " ".join(error.messages)
        else:
            messages.success(request, f"{made.name} is added: opsctl login signs in with it.")
            return redirect("ssh_keys")
    context = {"ssh_keys": list(user.ssh_keys.all()), "problem": problem, "ssh_page": True}
    return render(request, "accounts/ssh_keys.html", context, status=400 if problem else 200)


@require_POST
def ssh_key_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove one of my SSH keys."""
    key = get_object_or_404(SSHKey.objects.select_related("user"), pk=pk, user=request.user.pk)
    ssh_actions.remove_ssh_key(from_request(request), key)
    messages.success(request, f"{key.name} is removed. Whoever was signed in from a command line signs in again.")
    return redirect("ssh_keys")


def scopes_in_words(key: APIKey) -> list[str]:
    """What a key may do, each after "may"; a scope of an earlier version stands as it is."""
    return [SCOPE_WORDS.get(name, name) for name in ([VIEW, *key.scopes] if VIEW not in key.scopes else key.scopes)]


def _own(request: HttpRequest, prefix: str) -> APIKey:
    user: Any = request.user
    key = queries.keys_of(user).filter(prefix=prefix).first()
    if key is None:
        raise Http404(f"You have no API key opsc_{prefix}_…")
    return key


def _detail(request: HttpRequest, key: APIKey, problem: str = "", status: int = 200) -> HttpResponse:
    context = {"key": key, "scopes": scopes_in_words(key), "overlaps": OVERLAPS, "problem": problem}
    return render(request, "accounts/key_detail.html", context, status=status)


def _shown(request: HttpRequest, key: APIKey, text: str, old: APIKey | None = None) -> HttpResponse:
    context = {"key": key, "text": text, "old": old, "scopes": scopes_in_words(key)}
    return render(request, "accounts/key_shown.html", context, status=201)
