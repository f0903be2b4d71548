"""Whether anything may be trading in an environment, asked of every instance: before a restore, and at its commit."""

from __future__ import annotations

from dataclasses import dataclass

from environments import adapters
from environments.drivers.base import DriverError
from environments.models import Environment, Instance
from environments.secrets import SecretMissing
from environments.target import TargetError
from trading.errors import WrongState

READ_SECONDS = 1.0
_HALTED, _STANDBY = "HALTED", "STANDBY"


@dataclass(frozen=True, slots=True)
class Standing:
    """What one instance answered."""

    instance: str
    role: str
    """As it says; ``stopped`` without a process, empty when it is not known."""
    words: str
    is_quiet: bool
    """Nothing of it trades, nor begins to by itself."""


def standings(environment: Environment) -> list[Standing]:
    """Every instance, as it is now. The slot that is to trade must be HALTED: from STANDBY it is let trade again."""
    slots = environment.slots.prefetch_related("instances__slot__environment")
    return [
        _standing(instance, must_halt=slot.pk == environment.writer_slot_id)
        for slot in slots
        for instance in slot.instances.all()
    ]


def refuse_while_trading(environment: Environment) -> None:
    """Pass when nothing trades, or raise.

    Raises:
        WrongState: an instance trades, may begin to, or does not say; the text names each.
    """
    loud = [one.words for one in standings(environment) if not one.is_quiet]
    if loud:
        raise WrongState(
            f"A restore needs trading to be halted in {environment.name}: {' '.join(loud)} Halt trading first. "
            "Nothing was restored."
        )


def _standing(instance: Instance, *, must_halt: bool) -> Standing:
    try:
        state = adapters.client(instance, read_timeout=READ_SECONDS).state()
    except SecretMissing as error:
        return Standing(instance.name, "", f"{instance.name} cannot be asked: {error}.", False)
    except TargetError as error:
        return _silent(instance, str(error))
    quiet = state.role == _HALTED or (state.role == _STANDBY and not must_halt)
    words = f"{instance.name} is {state.role}"
    if state.role == _STANDBY and must_halt:
        words += ", not HALTED: it is let trade again at any moment"
    return Standing(instance.name, state.role, f"{words}.", quiet)


def _silent(instance: Instance, why: str) -> Standing:
    try:
        status = adapters.driver(instance.slot.environment).status(adapters.instance_spec(instance))
    except DriverError as error:
        words = f"{instance.name} does not answer, and whether it runs is not known: {error}."
        return Standing(instance.name, "", words, False)
    if status.pid is None:
        return Standing(instance.name, "stopped", f"{instance.name} is stopped.", True)
    return Standing(instance.name, "", f"{instance.name} runs and does not answer ({why}).", False)
