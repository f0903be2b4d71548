"""Bringing trading back, one effect at a time, each read back: release of the kill switch, and resuming.

``advance`` looks at the world, does the next thing that is missing, and says what it waits for; running it again at any
moment converges, so a process that dies in the middle loses nothing. The trading role is granted with a new epoch to
the slot that is to have it, and only while nobody else may be trading (as ``environments/reconcile.py`` does it).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Q

from accounts.domain import DomainError
from audit.actions import record
from audit.actors import Actor
from audit.models import Outcome
from environments import adapters
from environments.drivers.base import DriverError
from environments.models import Environment, Instance, Slot
from environments.reconcile import may_be_trading
from environments.secrets import SecretMissing
from environments.target import TargetClient, TargetError, TargetState
from trading import latch
from trading.clearance_checks import QUIET_ROLES
from trading.errors import Unreachable, WrongState

POLL_SECONDS = 0.2
STARTING_SECONDS = 15.0
"""A process that does not answer so long after its start is started once more."""
PATIENCE_SECONDS = 60.0
"""How long a synchronous ``resume`` waits in all."""
Trouble = (TargetError, DriverError, SecretMissing)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where it stands: done, or what is waited for."""

    done: bool
    detail: str


def release(environment: Environment, actor: Actor, reason: str, released_by: str = "") -> str:
    """Release the kill switch: at every instance, then in the database and in the latch file. Starts nothing.

    An instance whose process is down is released when it is started again. Repeating it is harmless.

    Args:
        released_by: who asked and who approved, as it is kept with the stop; the actor's name by default.

    Returns:
        What was read back.

    Raises:
        WrongState: the stop goes on; nothing was done.
        Unreachable: an instance runs and could not be released, or the latch is still there; it stays engaged.
    """
    latch.refuse_while_stopping(environment)
    _record(actor, "stop.released", environment, Outcome.INTENT, reason, {"latched": True})
    try:
        done = [_release_instance(instance, actor, reason) for instance in _instances(environment)]
        latch.release(environment, released_by or actor.name)
        if latch.engaged(environment):
            raise Unreachable("It is engaged again, or its file is still there.")
    except (DomainError, *Trouble, OSError) as error:
        _record(actor, "stop.released", environment, Outcome.FAILED, str(error), {"latched": True})
        raise Unreachable(f"{error} The kill switch stays engaged; ask again when that is mended.") from error
    detail = f"The kill switch is released. {' '.join(done)} Nothing trades until trading is resumed."
    _record(actor, "stop.released", environment, Outcome.DONE, reason, {"latched": False, "read_back": detail})
    return detail


def _release_instance(instance: Instance, actor: Actor, reason: str) -> str:
    client = adapters.client(instance)
    try:
        client.release_stop(actor=actor.name, reason=reason)
        state = client.state()
    except TargetError as error:
        status = adapters.driver(instance.slot.environment).status(adapters.instance_spec(instance))
        if status.pid:
            raise Unreachable(f"{instance} runs and could not be released: {error}.") from error
        return f"{instance} is down; it is released when it starts again."
    if state.latched or state.role not in QUIET_ROLES:
        raise Unreachable(
            f"{instance} is {state.role}{' and still latched' if state.latched else ''} after its release."
        )
    return f"{instance} is {state.role}."


def resume(environment: Environment, actor: Actor, reason: str) -> str:
    """``advance`` until it is done, in this thread.

    Returns:
        What was read back.

    Raises:
        Latched, WrongState, Unreachable: as ``advance``, or it took longer than a minute.
    """
    deadline, waiting = time.monotonic() + PATIENCE_SECONDS, threading.Event()
    while not (progress := advance(environment, actor, reason)).done:
        if time.monotonic() > deadline:
            raise Unreachable(f"Trading was not resumed within {PATIENCE_SECONDS:.0f} s: {progress.detail}")
        waiting.wait(POLL_SECONDS)
    return progress.detail


def advance(environment: Environment, actor: Actor, reason: str) -> Progress:
    """Do the next thing that is missing for the writer's slot to trade again.

    Raises:
        Latched: the kill switch is engaged.
        WrongState: something else stands against it: an open breaker, another version, somebody else who trades.
        Unreachable: it was tried, and could not be read back as done.
    """
    latch.refuse_while_engaged(environment, "Resuming trading")
    fresh = Environment.objects.select_related("writer_slot", "live_slot").get(pk=environment.pk)
    slot = _writer(fresh)
    instances = list(slot.instances.select_related("slot__environment"))
    waits = [text for instance in instances if (text := _not_ready(instance, slot.version, actor, reason))]
    if waits:
        return Progress(False, "; ".join(waits))
    roles = {instance.name: adapters.client(instance).state() for instance in instances}
    if all((state.role, state.epoch) == ("ACTIVE", fresh.writer_epoch) for state in roles.values()):
        return Progress(True, f"{slot.name} trades already, under epoch {fresh.writer_epoch}.")
    corrected = _reconcile([one for one in instances if roles[one.name].role != "ACTIVE"], actor, reason)
    _refuse_others(fresh, slot)
    return Progress(True, _grant(fresh, slot, instances, corrected, actor, reason))


def _not_ready(instance: Instance, version: str, actor: Actor, reason: str) -> str:
    """Bring an instance to where it may be resumed; what is waited for, empty when it is there."""
    try:
        return _prepare(instance, version, actor, reason)
    except Trouble as error:
        return f"{instance}: {error}"


def _prepare(instance: Instance, version: str, actor: Actor, reason: str) -> str:
    client = adapters.client(instance)
    try:
        state = client.state()
    except TargetError as error:
        return _start_anew(instance, str(error))
    if state.role == "ACTIVE":
        return ""
    if state.latched:  # its process was down when the switch was released
        client.release_stop(actor=actor.name, reason=reason)
        state = client.state()
    if state.restart_required:
        return _restart(instance)
    if version and state.version and state.version != version:
        raise WrongState(f"{instance} runs {state.version} instead of {version}. Deploy or roll back first.")
    breaker = client.circuit_breaker()
    if breaker.is_open:
        raise WrongState(f"The circuit breaker of {instance} is open ({breaker.reason}). Reset it first.")
    failing = [
        one for one in client.health().components if one.status == "fail" and not one.name.startswith("strategies")
    ]
    return f"{instance}: {', '.join(f'{one.name} {one.detail}' for one in failing)}" if failing else ""


def _start_anew(instance: Instance, problem: str) -> str:
    """Start a process that is down, or that runs and has not answered for long."""
    driver, spec = adapters.driver(instance.slot.environment), adapters.instance_spec(instance)
    status = driver.status(spec)
    if status.pid and status.started_at and time.time() - status.started_at < STARTING_SECONDS:
        return f"{instance} starts: {problem}"
    driver.stop(spec, force=True)
    driver.start(spec)
    return f"{instance} was started again"


def _restart(instance: Instance) -> str:
    driver, spec = adapters.driver(instance.slot.environment), adapters.instance_spec(instance)
    driver.stop(spec)
    driver.start(spec)
    return f"{instance} was restarted, as a stop asks for"


def _reconcile(instances: list[Instance], actor: Actor, reason: str) -> int:
    """Take the exchange's positions as the truth, as a hand-over does; how many had to be corrected."""
    corrected = 0
    for instance in instances:
        client = adapters.client(instance)
        try:
            corrected += len(client.reconcile(actor=actor.name, reason=reason))
            left = client.reconcile(actor=actor.name, reason=reason)
        except TargetError as error:
            raise Unreachable(f"{instance} could not compare its positions with the exchange: {error}") from error
        if left:
            symbols = ", ".join(one.symbol for one in left)
            raise WrongState(f"{instance} still differs from the exchange in {symbols}. Nothing was resumed.")
    return corrected


def _grant(
    environment: Environment, slot: Slot, instances: list[Instance], corrected: int, actor: Actor, reason: str
) -> str:
    epoch = _decide(environment, slot, actor, reason)
    try:
        for instance in instances:
            _activate(environment, instance, epoch, actor, reason)
        _refuse_others(environment, slot)
    except (DomainError, *Trouble) as error:
        _record(actor, "trading.resumed", environment, Outcome.FAILED, str(error), {"slot": slot.name, "epoch": epoch})
        raise error if isinstance(error, DomainError) else Unreachable(str(error)) from error
    rest = _bring_back_others(environment, slot, epoch, actor, reason)
    names = ", ".join(instance.name for instance in instances)
    detail = f"{names} read back as ACTIVE under epoch {epoch}; positions reconciled, {corrected} corrected.{rest}"
    _record(actor, "trading.resumed", environment, Outcome.DONE, reason, {"slot": slot.name, "epoch": epoch})
    return detail


def _decide(environment: Environment, slot: Slot, actor: Actor, reason: str) -> int:
    """Commit that the slot is to trade, under a new epoch, with the record of the intent."""
    with transaction.atomic():
        locked = Environment.objects.select_for_update().get(pk=environment.pk)
        if locked.writer_slot_id != slot.pk or locked.live_slot_id != slot.pk:
            raise WrongState("A deployment has moved the trading role meanwhile. Nothing was resumed.")
        before = locked.writer_epoch
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('opsc_fence')")
            locked.writer_epoch = cursor.fetchone()[0]
        locked.save(update_fields=["writer_epoch"])
        record(
            actor,
            "trading.resumed",
            locked,
            environment=locked.name,
            outcome=Outcome.INTENT,
            reason=reason,
            before={"epoch": before},
            after={"slot": slot.name, "epoch": locked.writer_epoch},
        )
    return int(locked.writer_epoch)


def _activate(environment: Environment, instance: Instance, epoch: int, actor: Actor, reason: str) -> None:
    client = adapters.client(instance)
    if client.state().role == "HALTED":
        client.resume(actor=actor.name, reason=reason)
    latch.refuse_while_engaged(environment, "Resuming trading")
    newest = Environment.objects.values_list("writer_epoch", flat=True).get(pk=environment.pk)
    if newest != epoch:
        raise WrongState(f"Somebody decided anew meanwhile (epoch {newest}). Nothing was granted.")
    client.set_role("ACTIVE", epoch, actor=actor.name, reason=reason, timeout=3.0)
    state = client.state()
    if (state.role, state.epoch) != ("ACTIVE", epoch):
        raise Unreachable(f"{instance} is {state.role} under epoch {state.epoch} after it was asked to trade.")


def _refuse_others(environment: Environment, slot: Slot) -> None:
    others = environment.slots.exclude(pk=slot.pk).exclude(role=Slot.Role.STOPPED)
    loud = [other.name for other in others if may_be_trading(other)]
    if loud:
        raise WrongState(f"{', '.join(loud)} may be trading. Stop that slot first; never two may trade.")


def _bring_back_others(environment: Environment, slot: Slot, epoch: int, actor: Actor, reason: str) -> str:
    """The other slot stays warm for a rollback: out of its halt into STANDBY. Trouble there hinders nobody."""
    said = []
    for other in environment.slots.exclude(pk=slot.pk).exclude(role=Slot.Role.STOPPED):
        for instance in other.instances.select_related("slot__environment"):
            try:
                text = _to_standby(instance, epoch, actor, reason)
            except (DomainError, *Trouble) as error:
                text = f"{instance} stays halted: {error}"
            said += [text] if text else []
    return f" {'. '.join(said)}." if said else ""


def _to_standby(instance: Instance, epoch: int, actor: Actor, reason: str) -> str:
    client, waiting = adapters.client(instance), threading.Event()
    if _role(client) in ("STANDBY", "ACTIVE"):
        return ""
    deadline = time.monotonic() + STARTING_SECONDS
    while text := _not_ready(instance, "", actor, reason):
        if time.monotonic() > deadline:
            return f"{instance} is not ready to take over: {text}"
        waiting.wait(POLL_SECONDS)
    if client.state().role == "HALTED":
        client.resume(actor=actor.name, reason=reason)
    client.set_role("STANDBY", epoch, actor=actor.name, reason=reason)
    return f"{instance} is in STANDBY again"


def _role(client: TargetClient) -> str:
    try:
        state: TargetState = client.state()
        return state.role
    except TargetError:
        return ""


def _writer(environment: Environment) -> Slot:
    slot = environment.writer_slot
    if slot is None or slot.pk != environment.live_slot_id:
        raise WrongState("No slot both serves and has the trading role. Wait for the end of the deployment.")
    return slot


def _instances(environment: Environment) -> list[Instance]:
    """Those of the slots that are to run."""
    running = ~Q(slot__role=Slot.Role.STOPPED) | Q(slot=environment.writer_slot_id)
    return list(Instance.objects.filter(running, slot__environment=environment).select_related("slot__environment"))


def _record(actor: Actor, action: str, environment: Environment, outcome: Outcome, reason: str, after: object) -> None:
    with transaction.atomic():
        record(actor, action, environment, environment=environment.name, outcome=outcome, reason=reason, after=after)
