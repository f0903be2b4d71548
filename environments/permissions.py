"""What a person may do in an environment: django-guardian object permissions, denied by default."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guardian.shortcuts import get_objects_for_user
from guardian.utils import get_group_obj_perms_model, get_user_obj_perms_model

from accounts.errors import Forbidden, InsufficientScope
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
    return _granted(queryset, user, permission)


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
        InsufficientScope: the person has it, but the API key they came with does not.
    """
    if allowed(actor, permission, environment):
        return
    words = PERMISSION_WORDS[permission]
    if _has_without_limits(actor, permission, type(environment).objects.filter(pk=environment.pk)):
        raise InsufficientScope(actor, permission, words, environment.name)
    who = _who_can(permission, production=environment.is_production)
    raise Forbidden(actor, permission, words, environment.name, who)


def require_anywhere(actor: Actor, permission: str, service: Service) -> None:
    """Pass when the actor has a permission on at least one environment of a service, or raise.

    Raises:
        Forbidden: on none.
    """
    environments = service.environments.all()
    if actor.is_system or environments_with(environments, actor.user, permission).exists():
        return
    words = PERMISSION_WORDS[permission]
    if _has_without_limits(actor, permission, environments):
        raise InsufficientScope(actor, permission, words, service.name)
    raise Forbidden(actor, permission, words, service.name, _who_can(permission, production=False))


def permissions_of(user: Any, environments: Collection[Environment]) -> dict[str, frozenset[str]]:
    """What a person may do in each of many environments, by name, the limits of their API key applied. One query.

    Nothing for somebody inactive or not signed in.
    """
    found: dict[int, set[str]] = {environment.pk: set() for environment in environments}
    if user is not None and user.is_authenticated and user.is_active and found:
        model = type(next(iter(environments)))
        by_user = get_user_obj_perms_model(model).objects.filter(user=user, content_object__in=found)
        by_group = get_group_obj_perms_model(model).objects.filter(group__user=user, content_object__in=found)
        columns = ("content_object_id", "permission__codename")
        for pk, codename in by_user.values_list(*columns).union(by_group.values_list(*columns)):
            found[pk].add(codename)
    return {one.name: _bounded(found[one.pk], one.name, user) for one in environments}


@dataclass(frozen=True, slots=True)
class Reach:
    """The environments that a person sees, in their order, and what they may do in each, by name."""

    environments: Sequence[Environment] = ()
    granted: Mapping[str, frozenset[str]] = field(default_factory=dict)


def reach(user: Any, everything: EnvironmentQuerySet) -> Reach:
    """What a person sees of a queryset and may do there, for a page that asks more than once. Two queries."""
    found = list(everything)
    granted = permissions_of(user, found)
    return Reach([one for one in found if VIEW in granted[one.name]], granted)


def _bounded(permissions: set[str], environment: str, user: Any) -> frozenset[str]:
    limits = getattr(user, "limits", None)
    if limits is None:
        return frozenset(permissions)
    if not limits.reaches(environment):
        return frozenset()
    return frozenset(permission for permission in permissions if limits.permits(permission))


def _has_without_limits(actor: Actor, permission: str, queryset: EnvironmentQuerySet) -> bool:
    """Whether only the bounds of an API key stand between the person and the act."""
    user = actor.user
    if user is None or user.limits is None or not user.is_active:
        return False
    return _granted(queryset, user, permission).exists()


def _granted(queryset: EnvironmentQuerySet, user: Any, permission: str) -> EnvironmentQuerySet:
    return get_objects_for_user(user, permission, queryset, accept_global_perms=False, with_superuser=False)


def _who_can(permission: str, *, production: bool) -> str:
    return " or ".join(role.value for role in roles_with(permission, production=production))
