"""Every page needs a session, unless its view says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse

_SESSION_ENDED = "You are not signed in, or your session has ended. Sign in, then try again."


class sign_in_required:  # noqa: N801  named like the functions beside it in settings.MIDDLEWARE
    """Send people who are not signed in to the sign-in page.

    Denied by default: a view is open only when ``django.contrib.auth.decorators.login_not_required`` marks it, or when
    it is a view of the REST framework, which answers 401 by itself. Requests that are no page load (HTMX, JSON) get a
    401 text, since a redirect would put the sign-in page into a fragment of another page.
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
        if not getattr(view, "login_required", True) or request.user.is_authenticated:
            return None
        if _is_part_of_a_page(request):
            return HttpResponse(_SESSION_ENDED, status=401, content_type="text/plain; charset=utf-8")
        # After a form was sent without a session, its address is nothing that can be opened.
        return redirect_to_login(request.get_full_path() if request.method in {"GET", "HEAD"} else "/")


def _is_part_of_a_page(request: HttpRequest) -> bool:
    wants_json = request.headers.get("Accept", "").startswith("application/json")
    return bool(getattr(request, "htmx", False)) or wants_json or request.path.startswith("/api/")
