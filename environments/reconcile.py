"""Repairing drift: the load balancer and the trading role are brought back to what is wanted, with an audit record.

Everything wanted was committed together with its epoch, so applying it again is harmless at any time: whoever decides
anew has a higher epoch, and the load balancer and the trading system refuse ours.
"""

from __future__ import annotations

import logging

from django.db import transaction

from audit.actions import record
from audit.actors import system
from audit.models import Outcome
from environments import adapters
from environments.drivers.base import DriverError
from environments.models import Environment, Slot
from environments.secrets import SecretMissing
from environments.target import StaleEpoch as StaleRole
from environments.target import TargetError
from environments.traffic.base import RouterError, RouterState, StaleEpoch

logger = logging.getLogger(__name__)

RECONCILER = system("reconciler")


def repair_traffic(environment: Environment) -> bool:
    """Compare the load balancer with the desired weights and bring it back; whether something was repaired.

    Raises:
        RouterError: the load balancer does not answer, or refuses.
    """
    if environment.live_slot_id is None:
        return False
    router = adapters.router(environment)
    found = router.read()
    wanted = adapters.server_weights(environment, environment.desired_weights)
    if found.weights == wanted and not _taken_out(found, wanted):
        return False
    fresh = Environment.objects.get(pk=environment.pk)
    if (fresh.traffic_epoch, fresh.desired_weights) != (environment.traffic_epoch, environment.desired_weights):
        return False  # decided anew while we read; the engine is at it
    if found.epoch > fresh.traffic_epoch:
        logger.error("%s: the load balancer holds epoch %s, newer than any of this database", fresh, found.epoch)
        return False
    state = _shift_with_record(fresh, found, wanted)
    logger.warning("%s: load balancer had %s, repaired to %s", fresh, found.weights, state.weights)
    return True


def _taken_out(found: RouterState, wanted: dict[str, int]) -> list[str]:
    """Servers that are to serve, but that somebody drains or put into maintenance: their weight brings nothing."""
    return [
        name for name, weight in wanted.items() if weight and found.states.get(name, "").startswith(("MAINT", "DRAIN"))
    ]


def _shift_with_record(environment: Environment, found: RouterState, wanted: dict[str, int]) -> RouterState:
    before = {"weights": found.weights, "epoch": found.epoch, "taken_out": _taken_out(found, wanted)}
    after = {"weights": wanted, "epoch": environment.traffic_epoch}
    _record("traffic.drift_repaired", environment, Outcome.INTENT, before, after)
    state = adapters.router(environment).shift(wanted, environment.traffic_epoch)
    _record(
        "traffic.drift_repaired", environment, Outcome.DONE, before, {"weights": state.weights, "epoch": state.epoch}
    )
    return state


def repair_writer(environment: Environment) -> bool:
    """Grant the trading role again to the slot that is to have it, when its process came back in STANDBY.

    The grant carries the epoch it was decided with. Nothing is done while another slot may be trading.

    Raises:
        TargetError: an instance does not answer.
    """
    slot = environment.writer_slot
    if slot is None or slot.pk != environment.live_slot_id:
        return False
    if any(may_be_trading(other) for other in environment.slots.exclude(pk=slot.pk).exclude(role=Slot.Role.STOPPED)):
        return False
    repaired = False
    for instance in slot.instances.all():
        client = adapters.client(instance, read_timeout=1.0)
        state = client.state()
        if state.role != "STANDBY" or state.latched or state.epoch > environment.writer_epoch:
            continue
        after = {"instance": instance.name, "role": "ACTIVE", "epoch": environment.writer_epoch}
        _record("writer.drift_repaired", environment, Outcome.INTENT, {"role": state.role, "epoch": state.epoch}, after)
        client.set_role("ACTIVE", environment.writer_epoch, actor="reconciler", reason="it came back in STANDBY")
        _record("writer.drift_repaired", environment, Outcome.DONE, {"role": state.role, "epoch": state.epoch}, after)
        repaired = True
    return repaired


def may_be_trading(slot: Slot) -> bool:
    """Whether a slot trades, or may do so because it runs and does not answer. Asks each instance."""
    for instance in slot.instances.all():
        try:
            if adapters.client(instance, read_timeout=1.0).state().role not in ("STANDBY", "HALTED"):
                return True
        except TargetError:
            status = adapters.driver(slot.environment).status(adapters.instance_spec(instance))
            if status.pid:
                return True
    return False


def reconcile(environment: Environment) -> None:
    """One look at an environment; trouble is logged and looked at again by the next."""
    for repair in (repair_traffic, repair_writer):  # a dead load balancer does not keep the role from being repaired
        try:
            repair(environment)
        except (StaleEpoch, StaleRole) as error:
            logger.info("%s: decided anew meanwhile: %s", environment, error)
        except (RouterError, TargetError, DriverError, SecretMissing) as error:
            logger.warning("%s: %s", environment, error)


def _record(action: str, environment: Environment, outcome: Outcome, before: object, after: object) -> None:
    with transaction.atomic():
        record(
            RECONCILER, action, environment, environment=environment.name, outcome=outcome, before=before, after=after
        )
