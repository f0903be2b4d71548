"""Changing the inventory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from accounts.roles import Role, granted
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from environments.definition import DefinitionError, EnvironmentDefinition, SystemDefinition
from environments.models import Environment, EnvironmentGroupObjectPermission, Instance, Service, Slot


@use_case
def apply_definition(actor: Actor, definition: SystemDefinition) -> Service:
    """Bring the inventory to a definition. What runs is not touched; applying twice changes nothing.

    Environments that the definition no longer names stay, with their history.

    Raises:
        DefinitionError: it takes names of another service, or renames the slots of an environment.
    """
    service, _ = Service.objects.get_or_create(name=definition.service)
    _refuse_taken_names(service, definition)
    environments = _bring_environments(service, definition)
    slots = _bring_slots(environments, definition)
    _bring_instances(slots, definition)
    _grant(environments)
    record(actor, "system.applied", service, after={"environments": list(definition.environments)})
    return service


def _refuse_taken_names(service: Service, definition: SystemDefinition) -> None:
    wanted = definition.environments
    found = Environment.objects.filter(name__in=wanted).exclude(service=service).select_related("service").first()
    if found is not None:
        raise DefinitionError(f"the environment {found} belongs to the service {found.service}; choose another name")
    others = Instance.objects.exclude(slot__environment__service=service).select_related("slot__environment__service")
    taken = others.filter(name__in=definition.instance_names()).first()
    if taken is not None:
        owner = taken.slot.environment.service
        raise DefinitionError(f"the instance {taken} belongs to the service {owner}; choose another name")
    kept: dict[str, set[str]] = {}
    for name, slot in Slot.objects.filter(environment__name__in=wanted).values_list("environment__name", "name"):
        kept.setdefault(name, set()).add(slot)
    for name, slots in kept.items():
        if slots != set(wanted[name].slots):
            raise DefinitionError(
                f"the environment {name} has the slots {', '.join(sorted(slots))}, which deployments refer to; "
                "keep these names"
            )


def _bring_environments(service: Service, definition: SystemDefinition) -> list[Environment]:
    rows = [
        {"service": service, "name": name, "position": position, **_fields(wanted)}
        for position, (name, wanted) in enumerate(definition.environments.items())
    ]
    return Environment.objects.bulk_create(
        [Environment(**row) for row in rows],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=[name for name in rows[0] if name != "name"],
    )


def _fields(wanted: EnvironmentDefinition) -> dict[str, Any]:
    return {
        "kind": wanted.kind,
        "front_url": wanted.front,
        "router": wanted.router.model_dump(),
        "driver": wanted.driver.model_dump(),
        "policy_data": wanted.policy.model_dump(mode="json"),
        "exchange": wanted.exchange.model_dump(mode="json") if wanted.exchange else {},
        "timezone": wanted.timezone,
        "calendar": wanted.calendar.model_dump(mode="json"),
        "database": wanted.database.model_dump() if wanted.database else {},
    }


def _bring_slots(environments: Iterable[Environment], definition: SystemDefinition) -> list[Slot]:
    return Slot.objects.bulk_create(
        [
            Slot(environment=environment, name=name)
            for environment in environments
            for name in definition.environments[environment.name].slots
        ],
        update_conflicts=True,
        unique_fields=["environment", "name"],
        update_fields=["name"],
    )


def _bring_instances(slots: Iterable[Slot], definition: SystemDefinition) -> None:
    Instance.objects.bulk_create(
        [
            Instance(name=one.name, slot=slot, base_url=one.url, token_ref=one.token)
            for slot in slots
            for one in definition.environments[slot.environment.name].slots[slot.name]
        ],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["slot", "base_url", "token_ref"],
    )
    Instance.objects.filter(slot__in=slots).exclude(name__in=definition.instance_names()).delete()


def _grant(environments: Iterable[Environment]) -> None:
    """Bring what each role may do there to the role table."""
    rows = EnvironmentGroupObjectPermission.objects.filter(content_object__in=environments)
    present = {
        (one.content_object_id, one.group.name, one.permission.codename): one.pk
        for one in rows.select_related("group", "permission")
    }
    names = Permission.objects.filter(content_type=ContentType.objects.get_for_model(Environment))
    permissions = {permission.codename: permission for permission in names}
    Group.objects.bulk_create([Group(name=role.value) for role in Role], ignore_conflicts=True)
    groups = {group.name: group for group in Group.objects.filter(name__in=list(Role))}
    wanted = {
        (environment.pk, role.value, codename): EnvironmentGroupObjectPermission(
            group=groups[role.value], permission=permissions[codename], content_object=environment
        )
        for environment in environments
        for role in Role
        for codename in granted(role, production=environment.is_production)
    }
    EnvironmentGroupObjectPermission.objects.bulk_create([one for key, one in wanted.items() if key not in present])
    taken = [pk for key, pk in present.items() if key[1] in groups and key not in wanted]
    EnvironmentGroupObjectPermission.objects.filter(pk__in=taken).delete()
