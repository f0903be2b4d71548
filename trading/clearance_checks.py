"""What has to be true before leave to trade is asked for and given; each check says what to do when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from environments.models import Environment
from trading.seen import InstanceSeen, Seen

QUIET_ROLES = frozenset({"STANDBY", "HALTED"})
UnderWay = Callable[[Environment], str]
_under_way: list[UnderWay] = []


@dataclass(frozen=True, slots=True)
class Check:
    """One check as it is now."""

    name: str
    title: str
    ok: bool
    detail: str
    todo: str = ""
    """What to do when it is not."""
    href: str = ""
    """Where it can be done."""

    def as_json(self) -> dict[str, str]:
        """As an error carries it."""
        return {"check": self.name, "reason": self.detail, "todo": self.todo}


def refuse_during(check: UnderWay) -> None:
    """Register what else hinders resuming: a function that says so in words, or answers an empty text.

    An app above this one calls it when it is loaded, for example for a deployment that is handing over the role.
    """
    if check not in _under_way:
        _under_way.append(check)


def for_resume(seen: Seen) -> list[Check]:
    """Before trading goes on."""
    return [_latch(seen), _breaker(seen), _positions(seen), _writer(seen), _alone(seen), _answers(seen), _health(seen)]


def for_release(seen: Seen) -> list[Check]:
    """Before the kill switch is released."""
    stop = seen.stop
    ended = stop is not None and bool(stop.outcome) and not seen.stop_runs
    found = [
        Check(
            "engaged",
            "Kill switch engaged",
            seen.latched,
            "It is engaged." if seen.latched else "It is not engaged.",
            "There is nothing to release. Trading that is halted is resumed on the resume page.",
        )
    ]
    if stop is not None:
        outcome = f"{stop.get_outcome_display()}." if ended else "It still works, or looks once more at what is left."
        found.append(
            Check(
                "ended",
                "Emergency stop ended",
                ended,
                outcome,
                "Wait until it has ended: it looks again after its outcome, for a minute as a rule.",
            )
        )
    return found


def _latch(seen: Seen) -> Check:
    inside = [one.instance.name for one in seen.writers if one.state and one.state.latched]
    if seen.latched:
        detail = "The kill switch is engaged."
    elif inside:  # a process that was down when the switch was released: resuming releases it first
        detail = f"Released; {', '.join(inside)} is told when it starts anew."
    else:
        detail = "It is not engaged."
    return Check(
        "latch",
        "Kill switch released",
        not seen.latched,
        detail,
        "Release it on the page of the kill switch first.",
        "/kill-switch/",
    )


def _breaker(seen: Seen) -> Check:
    opened = [one for one in seen.writers if one.breaker and one.breaker.is_open]
    names = "; ".join(
        f"{one.instance.name}: {one.breaker.reason or one.breaker.reason_code}" for one in opened if one.breaker
    )
    detail = f"Open at {names}." if opened else "Closed, as far as the instances answer."
    return Check(
        "breaker", "Circuit breaker closed", not opened, detail, "Answer the three questions and reset it first."
    )


def _positions(seen: Seen) -> Check:
    todo = "Compare the positions with the exchange and take over the exchange's, on the reconciliation page."
    if seen.restart_required:
        text = "The process starts anew and takes the exchange's positions; they are compared before it trades."
        return Check("positions", "Positions reconcile", True, text)
    if seen.mismatches is None:
        detail, ok = f"No data: {seen.compared}.", False
        todo = "Compare them now on the reconciliation page, and see that the monitor runs."
    elif seen.mismatches:
        detail, ok = f"Different: {', '.join(seen.mismatches)} ({seen.compared}).", False
    else:
        detail, ok = f"Equal ({seen.compared}).", True
    href = f"/positions/reconciliation/?environment={seen.environment.name}"
    return Check("positions", "Positions reconcile", ok, detail, todo, href)


def _writer(seen: Seen) -> Check:
    environment, slot = seen.environment, seen.environment.writer_slot
    busy = [text for check in _under_way if (text := check(environment))]
    if slot is None:
        text, todo = "No slot has the trading role yet.", "Deploy a release first; its last step grants the role."
        return Check("writer", "One slot is to trade", False, text, todo)
    if slot.pk != environment.live_slot_id:
        text = f"{slot.name} has the trading role, but does not serve: a deployment is between two steps."
        return Check(
            "writer", "One slot is to trade", False, text, "Wait for the end of the deployment, or roll it back."
        )
    if busy:
        todo = "Wait for its end, abort it or roll it back."
        return Check("writer", "One slot is to trade", False, " ".join(busy), todo)
    halted = [one for one in seen.writers if one.state is None or one.state.role != "ACTIVE"]
    if seen.writers and not halted:
        return Check(
            "writer", "One slot is to trade", False, f"{slot.name} trades already.", "There is nothing to resume."
        )
    return Check("writer", "One slot is to trade", True, f"{slot.name} with {slot.version or 'no known version'}.")


def _alone(seen: Seen) -> Check:
    loud = [one for one in seen.others if one.state and one.state.role not in QUIET_ROLES]
    if loud:
        names = ", ".join(f"{one.instance.name} is {one.state.role}" for one in loud if one.state)
        return Check("alone", "Nobody else trades", False, f"{names}.", "Stop the other slot, or end the deployment.")
    silent = [one.instance.name for one in seen.others if one.state is None]
    detail = f"{', '.join(silent)} does not answer; its process is looked at again before the role is granted."
    return Check("alone", "Nobody else trades", True, detail if silent else "The other slot does not trade.")


def _answers(seen: Seen) -> Check:
    silent = [one for one in seen.writers if one.state is None]
    detail = "; ".join(f"{one.instance.name} does not answer and is started anew" for one in silent)
    return Check(
        "answers",
        "The instances answer",
        True,
        f"{detail}." if silent else f"{len(seen.writers)} of {len(seen.writers)} answer.",
    )


def _health(seen: Seen) -> Check:
    if seen.restart_required:
        text = "The process starts anew; its health is waited for before it trades."
        return Check("health", "Healthy but for the halt", True, text)
    failing = [f"{one.instance.name}: {_components(one)}" for one in seen.writers if one.failing]
    detail = "; ".join(failing) if failing else "Everything passes but what the halt itself stops."
    return Check("health", "Healthy but for the halt", not failing, detail, "Mend what fails, then ask again.")


def _components(one: InstanceSeen) -> str:
    found = one.health.components if one.health else ()
    return ", ".join(f"{part.name} ({part.detail})" for part in found if part.name in one.failing)
