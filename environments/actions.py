"""Changing the inventory."""

from __future__ import annotations

from django.contrib.auth.models import Group
from guardian.shortcuts import assign_perm, get_group_perms, remove_perm

from accounts.roles import Role, granted
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from environments.definition import DefinitionError, EnvironmentDefinition, SystemDefinition
from environments.models import Environment, Instance, Service, Slot


@use_case
def apply_definition(actor: Actor, definition: SystemDefinition) -> Service:
    """Bring the inventory to a definition. What runs is not touched; applying twice changes nothing.

    Environments that the definition no longer names stay, with their history.

    Raises:
        DefinitionError: it takes names of another service, or renames the slots of an environment.
    """
    service, _ = Service.objects.get_or_create(name=definition.service)
    _refuse_taken_names(service, definition)
    for position, (name, wanted) in enumerate(definition.environments.items()):
        environment = _environment(service, name, position, wanted)
        for slot_name, instances in wanted.slots.items():
            slot, _ = Slot.objects.get_or_create(environment=environment, name=slot_name)
            for instance in instances:
                Instance.objects.update_or_create(
                    name=instance.name, defaults={"slot": slot, "base_url": instance.url, "token_ref": instance.token}
                )
            slot.instances.exclude(name__in=[instance.name for instance in instances]).delete()
        _grant(environment)
    record(actor, "system.applied", service, after={"environments": list(definition.environments)})
    return service


def _refuse_taken_names(service: Service, definition: SystemDefinition) -> None:
    for name, wanted in definition.environments.items():
        found = Environment.objects.exclude(service=service).filter(name=name).first()
        if found is not None:
            raise DefinitionError(f"the environment {name} belongs to the service {found.service}; choose another name")
        names = [instance.name for instances in wanted.slots.values() for instance in instances]
        taken = Instance.objects.exclude(slot__environment__service=service).filter(name__in=names).first()
        if taken is not None:
            owner = taken.slot.environment.service
            raise DefinitionError(f"the instance {taken} belongs to the service {owner}; choose another name")
        slots = set(Slot.objects.filter(environment__name=name).values_list("name", flat=True))
        if slots and slots != set(wanted.slots):
            kept = ", ".join(sorted(slots))
            raise DefinitionError(
                f"the environment {name} has the slots {kept}, which deployments refer to; keep these names"
            )


def _environment(service: Service, name: str, position: int, wanted: EnvironmentDefinition) -> Environment:
    environment, _ = Environment.objects.update_or_create(
        name=name,
        defaults={
            "service": service,
            "kind": wanted.kind,
            "position": position,
            "front_url": wanted.front,
            "router": wanted.router.model_dump(),
            "driver": wanted.driver.model_dump(),
            "policy_data": wanted.policy.model_dump(mode="json"),
            "exchange": wanted.exchange.model_dump() if wanted.exchange else {},
            "timezone": wanted.timezone,
            "calendar": wanted.calendar.model_dump(mode="json"),
            "database": wanted.database.model_dump() if wanted.database else {},
        },
    )
    return environment


def _grant(environment: Environment) -> None:
    for role in Role:
        group, _ = Group.objects.get_or_create(name=role.value)
        wanted, present = granted(role, production=environment.is_production), set(get_group_perms(group, environment))
        for permission in wanted - present:
            assign_perm(permission, group, environment)
        for permission in present - wanted:
            remove_perm(permission, group, environment)
