"""The pages of Admins about people: list, one person, roles, and the API keys of everybody."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import people_queries, queries, role_table, sessions
from accounts.actors import from_request
from accounts.authority import require_admin
from accounts.errors import Forbidden
from accounts.forms import KeyFilter, PeopleFilter
from accounts.models import APIKey, User
from accounts.people_acts import ACTS, DIALOGS
from accounts.roles import Role

PAGE_SIZE = 50
_PARTS = (("People", "/people/"), ("Roles", "/people/roles/"), ("API keys", "/people/api-keys/"))


def tabs(current: str) -> list[tuple[str, str, bool, None]]:
    """The three parts of these pages, as ``ui/tabs.html`` wants them."""
    return [(word, address, address == current, None) for word, address in _PARTS]


def admins_only(request: HttpRequest, words: str = "look after people") -> None:
    """Pass, or raise.

    Raises:
        PermissionDenied: the person is no Admin; the text says who is asked instead.
    """
    try:
        require_admin(from_request(request), words)
    except Forbidden as error:
        raise PermissionDenied(str(error)) from error


def find(username: str) -> User:
    """A person with what the list shows.

    Raises:
        Http404: there is none of this name.
    """
    found = None if "\x00" in username else people_queries.people().filter(username=username).first()
    if found is None:
        raise Http404(f"There is nobody with the user name {username!r}. Look in the list of people.")
    return found


@require_safe
def people_list(request: HttpRequest) -> HttpResponse:
    """``/people/``: everybody; search, role and state are in the query string."""
    admins_only(request)
    bar = PeopleFilter(request.GET)
    given = bar.given()
    found = people_queries.people(given["q"], given["role"], given["state"])
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "tabs": tabs("/people/"),
        "page": page,
        "rows": [people_queries.person(user) for user in page.object_list],
        "bar": bar,
    }
    return render(request, "people/list.html", context)


@never_cache
@require_safe
def person_detail(request: HttpRequest, username: str) -> HttpResponse:
    """``/people/<username>/``: everything about one person, and what can be done."""
    admins_only(request)
    user = find(username)
    person = people_queries.person(user)
    context = {
        "tabs": tabs("/people/"),
        "person": person,
        "is_self": user.pk == request.user.pk,
        "passkeys": list(user.passkeys.all()),
        "app": getattr(user, "authenticator_app", None),
        "codes_left": user.recovery_codes.filter(used_at=None).count(),
        "ssh_keys": list(user.ssh_keys.all()),
        "sessions": [(row, people_queries.methods_in_words(row.methods)) for row in sessions.open_sessions(user)],
        "logins": list(queries.logins_of(user)),
        "keys": [(key, people_queries.scopes_in_words(key)) for key in people_queries.every_key().filter(owner=user)],
        "dialogs": [
            (name, ACTS[name], f"{ACTS[name].title}: {person.name}", ACTS[name].effects(person)) for name in DIALOGS
        ],
    }
    return render(request, "people/detail.html", context)


@require_safe
def roles(request: HttpRequest) -> HttpResponse:
    """``/people/roles/``: who may do what, as it is granted."""
    admins_only(request)
    context = {"tabs": tabs("/people/roles/"), "roles": list(Role), "rows": role_table.rows()}
    return render(request, "people/roles.html", context)


@require_safe
def api_keys(request: HttpRequest) -> HttpResponse:
    """``/people/api-keys/``: the keys of everybody, those that end soon first."""
    admins_only(request)
    bar = KeyFilter(request.GET)
    given = bar.given()
    found = people_queries.every_key(given["q"], given["state"])
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "tabs": tabs("/people/api-keys/"),
        "page": page,
        "rows": [(key, people_queries.scopes_in_words(key)) for key in page.object_list],
        "bar": bar,
    }
    return render(request, "people/keys.html", context)


def find_key(prefix: str) -> APIKey:
    """An API key of anybody.

    Raises:
        Http404: there is none with this prefix.
    """
    found = None if "\x00" in prefix else queries.all_keys().filter(prefix=prefix).first()
    if found is None:
        raise Http404(f"There is no API key opsc_{prefix}_….")
    return found
