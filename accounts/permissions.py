"""The API's own map from action to permission.

REST framework's ``DjangoObjectPermissions`` checks nothing on GET and maps every custom POST to ``add_*``. So each view
says itself what each of its actions takes, as ``permission_map``. What is on an object is checked where it belongs: on
the queryset (``visible_to``) and in the use case (``environments.permissions.require``), which also audits a denial.
"""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import sessions
from accounts.errors import SecondFactorRequired
from accounts.models import APIKey

PUBLIC = "public"
"""Open to everybody: it tells nothing about what is operated."""
SIGNED_IN = "signed_in"
"""Everybody who is signed in; there is no object yet."""


def action_of(view: Any, request: Request) -> str:
    """The action of a view set, or the method in lower case of a plain view."""
    return getattr(view, "action", None) or (request.method or "").lower()


class ActionPermission(BasePermission):
    """Signed in and active, and the action is in the view's map: an unmapped action is denied."""

    message = "Nobody may do this: it has no permission."

    def has_permission(self, request: Request, view: Any) -> bool:
        """Whether the request may reach the view at all."""
        action = action_of(view, request)
        if action == "metadata" or action == "options":
            return bool(request.user and request.user.is_authenticated)
        needed = getattr(view, "permission_map", {}).get(action)
        if needed == PUBLIC:
            return True
        if needed is None or not (request.user and request.user.is_authenticated and request.user.is_active):
            return False
        _require_second_factor(request)
        return True


def _require_second_factor(request: Request) -> None:
    """An Admin acts with a second factor only, and so does everybody who has one, by session as by key."""
    if isinstance(getattr(request, "auth", None), APIKey):
        if sessions.key_needs_second_factor(request.user):
            raise SecondFactorRequired(
                "API keys of an Admin work once the Admin has a second factor. Sign in on the page, open Account, "
                "Security, and add a passkey or an authenticator app."
            )
        return
    standing = sessions.standing(request.session, request.user)
    if standing == sessions.Standing.ENDED:
        raise NotAuthenticated("Your session has ended. Sign in again.")
    if standing == sessions.Standing.SECOND_FACTOR:
        raise SecondFactorRequired("Show your second factor first: open /login/second/.")
