"""What a person may do in an environment: django-guardian object permissions, denied by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardian.shortcuts import get_objects_for_user

from accounts.errors import Forbidden
from accounts.roles import PERMISSION_WORDS, VIEW, roles_with
from audit.actors import Actor

if TYPE_CHECKING:
    from environments.models import Environment, EnvironmentQuerySet, Service


def visible_environments(queryset: EnvironmentQuerySet, user: Any) -> EnvironmentQuerySet:
    """Those of a queryset that a person may see; none for somebody inactive or not signed in."""
    return environments_with(queryset, user, VIEW)


def environments_with(queryset: EnvironmentQuerySet, user: Any, permission: str) -> EnvironmentQuerySet:
    """Those of a queryset on which a person has a permission (a code name of ``accounts/roles.py``)."""
    if user is None or not user.is_authenticated or not user.is_active:
        return queryset.none()
    limits = user.limits
    if limits is not None:
        if not limits.permits(permission):
            return queryset.none()
        if limits.environments is not None:
            queryset = queryset.filter(name__in=limits.environments)
    return get_objects_for_user(user, permission, queryset, accept_global_perms=False, with_superuser=False)


def allowed(actor: Actor, permission: str, environment: Environment) -> bool:
    """Whether an actor has a permission on an environment; the system has every one."""
    if actor.is_system:
        return True
    user = actor.user
    if user is None or not user.is_active:
        return False
    return environments_with(type(environment).objects.filter(pk=environment.pk), user, permission).exists()


def require(actor: Actor, permission: str, environment: Environment) -> None:
    """Pass, or raise.

    Raises:
        Forbidden: the actor lacks the permission; the message says which roles have it.
    """
    if not allowed(actor, permission, environment):
        who = _who_can(actor, permission, production=environment.is_production)
        raise Forbidden(actor, permission, PERMISSION_WORDS[permission], environment.name, who)


def require_anywhere(actor: Actor, permission: str, service: Service) -> None:
    """Pass when the actor has a permission on at least one environment of a service, or raise.

    Raises:
        Forbidden: on none.
    """
    environments = service.environments.all()
    if actor.is_system or environments_with(environments, actor.user, permission).exists():
        return
    who = _who_can(actor, permission, production=False)
    raise Forbidden(actor, permission, PERMISSION_WORDS[permission], service.name, who)


def _who_can(actor: Actor, permission: str, *, production: bool) -> str:
    who = " or ".join(role.value for role in roles_with(permission, production=production))
    limits = getattr(actor.user, "limits", None)
    return f"{who}, with a key whose scopes and environments include it ({permission})" if limits else who
