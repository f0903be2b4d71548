"""What trading forbids a deployment: the kill switch, a halt, and positions that differ. A rollback is never forbidden.

While the kill switch is engaged nothing starts, nothing is promoted and nothing gets the trading role. A rollback moves
the requests all the same; the slot it returns to stays halted until trading is resumed (``trading/clearances.py``).
"""

from __future__ import annotations

from deployments.models import Deployment
from deployments.states import StepStatus
from deployments.strategies.base import CRITICAL
from environments import adapters
from environments.models import Environment, Slot
from environments.secrets import SecretMissing
from environments.target import TargetError
from trading import latch, queries

RELEASE = "Release the kill switch, then resume trading: /kill-switch/."
RESUME = "Resume trading first: /breakers/."


def kill_switch(environment: Environment) -> str:
    """Why the kill switch forbids it, in words; empty when it is not engaged. At most one query."""
    return f"The kill switch of {environment} is engaged." if latch.engaged(environment) else ""


def halt(environment: Environment) -> str:
    """Which instance of the slot that trades is halted, in words; empty when none says so.

    Promoting would hand the trading role to the new slot, and so resume trading without the checks of a resume.
    """
    return halted(environment.writer_slot) if environment.writer_slot else ""


def halted(slot: Slot) -> str:
    """Which instance of a slot says that it is halted, in words; empty when none does. Asks each (0.5 s)."""
    for instance in slot.instances.all():
        try:
            if adapters.client(instance, read_timeout=0.5).state().role == "HALTED":
                return f"{instance} is halted."
        except (TargetError, SecretMissing):
            continue  # whether it answers is judged elsewhere; a silent one is no reason to keep a fix out
    return ""


def handing_over(environment: Environment) -> str:
    """Which deployment is moving requests or the trading role just now, in words; empty when none is."""
    found = Deployment.objects.filter(environment=environment).active().select_related("to_release").first()
    step = found and found.steps.filter(status__in=(StepStatus.RUNNING, StepStatus.PENDING)).first()
    if not found or not step or step.queue != CRITICAL:
        return ""
    return f"Deployment {found.pk} ({found.to_release}) is at the step {step.title}. Wait for its end."


def against_promotion(environment: Environment) -> str:
    """Why nothing may be promoted now, and what to do; empty when nothing is against it."""
    if engaged := kill_switch(environment):
        return f"{engaged} {RELEASE}"
    if halted := halt(environment):
        return f"{halted} {RESUME}"
    return queries.promotion_block(environment) or ""
