"""Steps for tests of the engine: the real ones, whose outside effect is replaced by a script."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import connection

from audit.models import Record
from deployments import engine
from deployments.models import Deployment
from deployments.steps import STEPS
from deployments.steps.base import Context, Done, Outcome, StepCode
from environments.models import Environment, Slot
from environments.sample import Sample
from environments.sampling import keep_rows
from tests.analysis.build import START, Story

Move = Outcome | Exception | Callable[[Context], Any]


class Scripted(StepCode):
    """Plays outcomes in turn; the last one again and again."""

    moves: list[Move]
    seen: list[int]

    def run(self, ctx: Context) -> Outcome:
        """The next move: an outcome, an error to raise, or something to do that answers an outcome (or None: done)."""
        self.seen.append(ctx.epoch)
        move = self.moves.pop(0) if len(self.moves) > 1 else self.moves[0]
        if isinstance(move, Exception):
            raise move
        if isinstance(move, Done) or not callable(move):
            return move
        return move(ctx) or Done("ok")


class Script:
    """Replaces the ``run`` of steps; their ``prepare`` and ``commit`` stay the real ones."""

    def __init__(self, monkeypatch: Any) -> None:
        self._monkeypatch = monkeypatch
        for name in STEPS.keys() - {"preflight", "shift_traffic"}:
            self.play(name, Done("ok"))

    def real(self, name: str) -> None:
        """A step as it is."""
        self._monkeypatch.setitem(STEPS, name, type(STEPS[name]).__mro__[2]())

    def play(self, name: str, *moves: Move) -> Scripted:
        """The moves of one step."""
        real = next(
            kind for kind in type(STEPS[name]).__mro__ if kind is not Scripted and Scripted not in kind.__bases__
        )
        step = type(f"Scripted{real.__name__}", (Scripted, real), {})()
        step.moves, step.seen = list(moves), []
        self._monkeypatch.setitem(STEPS, name, step)
        return step


def carry_on(deployment: Deployment) -> Deployment:
    """One look by the engine at every step, whatever its queue; the deployment as it then is."""
    engine.advance(deployment.pk)
    return fresh(deployment)


def fresh(deployment: Deployment) -> Deployment:
    """The deployment as it is kept now."""
    return Deployment.objects.select_related("environment", "from_slot", "to_slot", "to_release").get(pk=deployment.pk)


def fresh_environment(environment: Environment) -> Environment:
    """The environment as it is kept now."""
    return Environment.objects.get(pk=environment.pk)


def statuses(deployment: Deployment) -> list[tuple[str, str]]:
    """Name and status of each step, in order."""
    return list(deployment.steps.values_list("name", "status"))


def trail(action: str, **fields: Any) -> list[Record]:
    """Audit records of an action, oldest first."""
    return list(Record.objects.filter(action=action, **fields).order_by("id"))


def observe(slot: Slot, count: int = 3, **values: Any) -> list[tuple[int, Sample]]:
    """Samples of every instance of a slot as a monitor keeps them, the newest just now; ``values`` replace fields."""
    now = time.time()
    healthy: dict[str, Any] = {"ok": True, "version": slot.version, "role": "ACTIVE", "mismatches": 0}
    batch = [
        (instance.pk, Sample(at=now - 0.5 * back, **healthy | values))
        for back in reversed(range(count))
        for instance in slot.instances.all()
    ]
    keep_rows(batch)
    return batch


def set_state(deployment: Deployment, **fields: Any) -> Deployment:
    """Put a deployment into a state that it did not reach by itself; not held against the transition table."""
    Deployment.objects.filter(pk=deployment.pk).update(**fields)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM test_status_changes WHERE deployment = %s", [deployment.pk])
    return fresh(deployment)


class Feed:
    """What the live instance of a deployment says, from seventeen seconds ago until now."""

    def __init__(self, deployment) -> None:
        self.instance = deployment.to_slot.instances.get()
        self.story, self._shift = Story(7), time.time() - START - 17

    def run(self, seconds: float, **values):
        """The samples of so many seconds, as a batch; ``values`` as for ``Story.run``."""
        before = len(self.story.samples)
        self.story.run(seconds, rate=50, **values)
        return [(self.instance.pk, replace(one, at=one.at + self._shift)) for one in self.story.samples[before:]]
