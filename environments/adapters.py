"""From inventory rows to the adapters that reach the outside. The only place that knows which adapter is used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from environments.drivers import supervisord
from environments.drivers.base import InstanceSpec, SlotDriver
from environments.drivers.supervisord import SupervisordDriver
from environments.models import Environment, Instance, Slot
from environments.secrets import resolve
from environments.target import TargetClient
from environments.traffic.base import TrafficRouter
from environments.traffic.haproxy import HAProxyRouter


def router(environment: Environment) -> TrafficRouter:
    """The load balancer of an environment."""
    return HAProxyRouter(environment.router["address"], environment.router["backend"])


def driver(environment: Environment, *, timeout: float = 2.0) -> SlotDriver:
    """The process supervisor of an environment. timeout: seconds for one call to it."""
    return SupervisordDriver(Path(environment.driver["socket"]), Path(environment.driver["root"]), timeout)


def client(instance: Instance, *, read_timeout: float = 2.0) -> TargetClient:
    """The ops contract of an instance.

    Raises:
        environments.secrets.SecretMissing: its token reference leads nowhere.
    """
    return TargetClient(instance.base_url, resolve(instance.token_ref), read_timeout=read_timeout)


def instance_spec(instance: Instance) -> InstanceSpec:
    """What a driver needs to know of an instance."""
    root = Path(instance.slot.environment.driver["root"])
    return supervisord.instance_spec(root, instance.name, urlsplit(instance.base_url).port or 0)


def server_weights(environment: Environment, slot_weights: Mapping[str, int]) -> dict[str, int]:
    """The load balancer's weights, one per instance, from the weights of the slots; a slot not named gets 0."""
    slots: list[Slot] = list(environment.slots.prefetch_related("instances"))
    return {instance.name: int(slot_weights.get(slot.name, 0)) for slot in slots for instance in slot.instances.all()}
