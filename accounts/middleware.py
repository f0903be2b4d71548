"""Every page needs a session that is proved well enough, unless its view says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from accounts import sessions
from accounts.errors import TooManyAttempts

_SESSION_ENDED = "You are not signed in, or your session has ended. Sign in, then try again."
_SECOND_FACTOR = "Show your second factor first: load the page again."
View = TypeVar("View", bound=Callable[..., HttpResponse])


def while_weak(view: View) -> View:
    """Mark a view that a session may see before its second factor was shown: the question for it, and signing out."""
    view.while_weak = "always"  # type: ignore[attr-defined]
    return view


def while_enrolling(view: View) -> View:
    """Mark a view that leads through enrolling the first second factor, for people who have none yet."""
    view.while_weak = "enrolling"  # type: ignore[attr-defined]
    return view


class sign_in_required:  # noqa: N801  named like the functions beside it in settings.MIDDLEWARE
    """Send people who are not signed in to the sign-in page, and those who owe a second factor to the question for it.

    Denied by default: a view is open only when ``django.contrib.auth.decorators.login_not_required`` marks it, or when
    it is a view of the REST framework, which answers by itself (``accounts/permissions.py``). Requests that are no page
    load (HTMX, JSON) get a 401 or 403 text, since a redirect would put the page into a fragment of another page.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Nothing to do before the view is known."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., HttpResponse], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """None lets the request pass."""
        if not getattr(view, "login_required", True):
            return None
        if not request.user.is_authenticated:
            return _to_sign_in(request)
        standing = sessions.standing(request.session, request.user)
        if standing == sessions.Standing.ENDED:
            sessions.forget(request)
            logout(request)
            return _to_sign_in(request)
        if standing == sessions.Standing.SECOND_FACTOR:
            return _ask_for_second_factor(request, getattr(view, "while_weak", ""))
        sessions.touch(request)
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page on which somebody failed too often says when to try again."""
        if not isinstance(exception, TooManyAttempts):
            return None
        if _is_part_of_a_page(request):
            response = HttpResponse(str(exception), status=429, content_type="text/plain; charset=utf-8")
        else:
            response = render(request, "accounts/too_many.html", {"why": str(exception)}, status=429)
        response["Retry-After"] = str(exception.wait)
        return response


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    if _is_part_of_a_page(request):
        return HttpResponse(_SESSION_ENDED, status=401, content_type="text/plain; charset=utf-8")
    return redirect_to_login(_wanted(request))


def _ask_for_second_factor(request: HttpRequest, allowed: str) -> HttpResponse | None:
    if allowed == "always":
        return None
    enrolled = sessions.has_second_factor(request.user)  # type: ignore[arg-type]
    if allowed == "enrolling" and not enrolled:
        return None
    if _is_part_of_a_page(request):
        return HttpResponse(_SECOND_FACTOR, status=403, content_type="text/plain; charset=utf-8")
    return redirect_to_login(_wanted(request), reverse("second_factor" if enrolled else "security"))


def _wanted(request: HttpRequest) -> str:
    # After a form was sent without a session, its address is nothing that can be opened.
    return request.get_full_path() if request.method in {"GET", "HEAD"} else "/"


def _is_part_of_a_page(request: HttpRequest) -> bool:
    wants_json = request.headers.get("Accept", "").startswith("application/json")
    return bool(getattr(request, "htmx", False)) or wants_json or request.path.startswith("/api/")
