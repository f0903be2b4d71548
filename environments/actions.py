"""Changing the inventory."""

from __future__ import annotations

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
    """Bring what each role may do there to the role table."""
    rows = EnvironmentGroupObjectPermission.objects.filter(content_object=environment)
    present = {(one.group.name, one.permission.codename): one for one in rows.select_related("group", "permission")}
    names = Permission.objects.filter(content_type=ContentType.objects.get_for_model(Environment))
    permissions = {permission.codename: permission for permission in names}
    groups = {role: Group.objects.get_or_create(name=role.value)[0] for role in Role}
    wanted = {
        (role.value, codename): EnvironmentGroupObjectPermission(
            group=groups[role], permission=permissions[codename], content_object=environment
        )
        for role in Role
        for codename in granted(role, production=environment.is_production)
    }
    EnvironmentGroupObjectPermission.objects.bulk_create([one for key, one in wanted.items() if key not in present])
    taken = [one.pk for key, one in present.items() if key[0] in groups and key not in wanted]
    EnvironmentGroupObjectPermission.objects.filter(pk__in=taken).delete()
