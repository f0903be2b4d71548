"""What an Admin does with people: plain POST forms that end in a redirect, or in the form again with what was wrong."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import links, people_actions, people_queries, step_up
from accounts.actors import from_request
from accounts.errors import Forbidden, LastAdmin, StepUpFailed, StepUpRequired
from accounts.forms import InviteForm, ReasonForm
from accounts.models import User
from accounts.people_acts import ACTS
from accounts.people_queries import Person
from accounts.people_views import admins_only, find, find_key, tabs
from accounts.roles import Role


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, username: str, name: str) -> HttpResponseBase:
    """``/people/<username>/<act>/``: what it does, a reason, for the dangerous ones a fresh proof; POST does it.

    Answers with a redirect to the person (for a link, with the link); 400 for something missing, 403 without the right
    or the proof, 409 when nobody would be Admin any more.
    """
    chosen = ACTS[name]
    admins_only(request, f"{chosen.title.lower()} of somebody" if name != "deactivate" else "deactivate somebody")
    user = find(username)
    if user.pk == request.user.pk:
        raise PermissionDenied(
            "Nobody does this to themselves here: another Admin does it. Your own sessions, keys and second factor "
            "are under Account."
        )
    person = people_queries.person(user)
    if request.method != "POST":
        return _act_page(request, name, person, chosen.form())
    form = chosen.form(request.POST)
    if not form.is_valid():
        return _act_page(request, name, person, form, status=400)
    try:
        if chosen.confirmed(person):
            step_up.confirm(request, chosen.action, user, user.username)
        done = chosen.do(from_request(request), user, form.cleaned_data)
    except (StepUpRequired, StepUpFailed) as error:
        request.denied_by = error  # type: ignore[attr-defined]  # for the audit record
        return _act_page(request, name, person, form, error=error, status=403)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except LastAdmin as error:
        form.add_error(None, str(error))
        return _act_page(request, name, person, form, status=409)
    except ValidationError as error:
        _add_errors(form, error)
        return _act_page(request, name, person, form, status=400)
    if name == "link":
        return _link_page(request, user, done)
    messages.info(request, f"{person.name}: {chosen.said}")
    return redirect("person_link" if name == "second-factor" else "person", username)


def _act_page(
    request: HttpRequest, name: str, person: Person, form: ReasonForm, *, error: Any = None, status: int = 200
) -> HttpResponse:
    chosen = ACTS[name]
    context = {
        "tabs": tabs("/people/"),
        "act": chosen,
        "slug": name,
        "person": person,
        "effects": chosen.effects(person),
        "form": form,
        "roles": [role.value for role in Role if role.value != person.role],
    }
    if chosen.confirmed(person):
        context["step_up"] = _offer(request, chosen.action, person.user, person.username, error)
    return render(request, "people/act.html", context, status=status)


def _add_errors(form: ReasonForm, error: ValidationError) -> None:
    """Each at its field; what the form has no field for, on top."""
    for name, texts in (error.message_dict if hasattr(error, "error_dict") else {"": error.messages}).items():
        for text in texts:
            form.add_error(name if name in form.fields else None, text)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invite(request: HttpRequest) -> HttpResponse:
    """``/people/invite/``: a new person and the one-time link with which they enter; making an Admin takes a proof."""
    admins_only(request, "invite people")
    if request.method != "POST":
        return _invite_page(request, InviteForm())
    form = InviteForm(request.POST)
    if not form.is_valid():
        return _invite_page(request, form, status=400)
    given = form.cleaned_data
    if given["role"] == Role.ADMIN and "challenge" not in request.POST:
        return _invite_page(request, form)
    try:
        if given["role"] == Role.ADMIN:
            step_up.confirm(request, "user.invited", f"user:{given['username']}", given["username"])
        user, token = people_actions.invite(from_request(request), **given)
    except (StepUpRequired, StepUpFailed) as error:
        request.denied_by = error  # type: ignore[attr-defined]  # for the audit record
        return _invite_page(request, form, error=error, status=403)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error
    except ValidationError as error:
        _add_errors(form, error)
        return _invite_page(request, form, status=400)
    return _link_page(request, user, token)


def _invite_page(request: HttpRequest, form: InviteForm, *, error: Any = None, status: int = 200) -> HttpResponse:
    """The form; the proof is asked for once an Admin is to be made."""
    context: dict[str, Any] = {"tabs": tabs("/people/"), "form": form, "roles": [role.value for role in Role]}
    if form.is_bound and form.data.get("role") == Role.ADMIN:
        name = form.data.get("username", "").strip()
        context["step_up"] = _offer(request, "user.invited", f"user:{name}", name, error)
    return render(request, "people/invite.html", context, status=status)


def _offer(request: HttpRequest, action: str, subject: Any, name: str, error: Any) -> dict[str, Any]:
    """The question for a fresh proof; what was typed stays, whatever was wrong."""
    typed = {"typed": request.POST.get("name_typed", ""), "reason": request.POST.get("reason", "")}
    return {**step_up.offer(request, action, subject, name, error), **typed}


def _link_page(request: HttpRequest, user: User, token: str) -> HttpResponse:
    """The enrolment link, shown this once."""
    context = {
        "tabs": tabs("/people/"),
        "person": user,
        # Passkeys are enrolled at the console's own address alone, by whatever name this page was opened.
        "link": settings.OPSC_ORIGIN + reverse("sign_in_link", args=[token]),
        "until": timezone.now() + links.LIFETIMES[links.Kind.ENROL],
    }
    return render(request, "people/link.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def revoke_key(request: HttpRequest, prefix: str) -> HttpResponseBase:
    """``/people/api-keys/<prefix>/revoke/``: end a key at once. It goes towards safety: a reason, no proof."""
    admins_only(request, "revoke API keys of others")
    key = find_key(prefix)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        people_actions.revoke_key(from_request(request), key, form.cleaned_data["reason"])
        messages.info(request, f"opsc_{key.prefix}_… of {key.owner.display_name} is revoked.")
        return redirect("person", key.owner.username) if "of" in request.GET else redirect("people_keys")
    context = {
        "tabs": tabs("/people/api-keys/"),
        "key": key,
        "form": form,
        "scopes": people_queries.scopes_in_words(key),
    }
    return render(request, "people/key_revoke.html", context, status=400 if form.is_bound else 200)
