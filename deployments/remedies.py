"""The remedies of deployments: back to the earlier release, and stopping what has not gone live."""

from __future__ import annotations

from accounts.roles import DEPLOY
from audit.actors import Actor
from deployments import actions, words
from deployments.errors import WrongState
from deployments.evidence_providers import LOOKER, to_roll_back
from deployments.models import Deployment
from deployments.queries import allowed_acts
from environments.evidence import Subject
from environments.models import Environment, Instance
from environments.readings import reading, with_samples
from environments.remedies import Remedy, register


def _back_effect(subject: Subject) -> str:
    found, why = to_roll_back(subject.environment)
    return why if found is None else _effects(found, "rollback")


def _roll_back(actor: Actor, subject: Subject, reason: str) -> str:
    found, why = to_roll_back(subject.environment)
    if found is None:
        raise WrongState(f"{why} Nothing was done.", "")
    rollback = actions.roll_back(actor, found, reason)
    return (
        f"Asked for: deployment {rollback.pk} takes {found.to_release} back to {rollback.to_release}. "
        f"It runs by itself: /deployments/{rollback.pk}/ shows when the requests are back."
    )


def _to_abort(environment: Environment) -> tuple[Deployment | None, str]:
    """The deployment that can be aborted now, or why there is none."""
    found = Deployment.objects.active().filter(environment=environment)
    active = found.select_related("environment", "from_release", "to_release", "from_slot", "to_slot").first()
    if active is None:
        return None, "No deployment is under way."
    act = allowed_acts(LOOKER, active)["abort"]
    return (active, "") if act.allowed else (None, f"Deployment {active.pk} cannot be aborted: {act.why_not}")


def _abort_effect(subject: Subject) -> str:
    found, why = _to_abort(subject.environment)
    return why if found is None else _effects(found, "abort")


def _abort(actor: Actor, subject: Subject, reason: str) -> str:
    found, why = _to_abort(subject.environment)
    if found is None:
        raise WrongState(f"{why} Nothing was done.", "")
    aborted = actions.abort(actor, found, reason)
    return f"Deployment {aborted.pk} is {aborted.get_status_display().lower()}: {words.earlier(found)} keeps serving."


def _effects(deployment: Deployment, act: str) -> str:
    """Each effect in a sentence, with the positions and orders that the live slot told last."""
    writer = deployment.environment.writer_slot_id
    held = [reading(one) for one in with_samples(Instance.objects.filter(slot=writer))] if writer else []
    fresh = bool(held) and all(one.is_fresh for one in held)
    counts = [
        sum(one.values.get(name) or 0 for one in held)
        if fresh and all(one.values.get(name) is not None for one in held)
        else None
        for name in ("open_positions", "open_orders")
    ]
    return " ".join(words.effects(deployment, act, counts[0], counts[1]))


register(
    Remedy(
        name="deployments.roll_back",
        title="Roll back to the earlier release",
        permission=DEPLOY,
        effect=_back_effect,
        run=_roll_back,
    ),
    Remedy(
        name="deployments.abort",
        title="Abort the deployment under way",
        permission=DEPLOY,
        effect=_abort_effect,
        run=_abort,
    ),
)
