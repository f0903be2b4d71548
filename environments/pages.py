"""Read queries of the environment pages: everything a template shows, in a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from accounts.roles import DEPLOY, REQUEST
from environments.models import Environment, Instance, Slot
from environments.permissions import environments_with, permissions_of
from environments.policy import Policy, RuleKind, RuleSpec
from environments.readings import Rates, Reading, rates, reading, with_samples, worst


@dataclass(frozen=True, slots=True)
class SlotView:
    """One side of an environment as it is drawn."""

    slot: Slot
    weight: int
    """Share of new requests in per cent, as decided."""
    is_live: bool
    is_writer: bool
    """Whether the trading role was granted to it."""
    readings: tuple[Reading, ...]
    status: str
    """Worst health of its instances; ``stopped`` when nothing should run."""

    @property
    def answered(self) -> int:
        """How many instances gave a fresh answer."""
        return sum(1 for item in self.readings if item.is_fresh and item.words[:9] != "no answer")


@dataclass(frozen=True, slots=True)
class EnvironmentView:
    """One environment with its slots, its numbers and what is under way."""

    environment: Environment
    slots: tuple[SlotView, ...]
    live: SlotView | None
    rates: Rates
    active: Any
    """The deployment under way, or None."""
    may: frozenset[str]
    """Permissions that who looks has here."""

    @property
    def may_deploy(self) -> bool:
        """Whether who looks may deploy here."""
        return DEPLOY in self.may

    @property
    def may_request(self) -> bool:
        """Whether who looks may ask for a deployment here."""
        return REQUEST in self.may

    @property
    def status(self) -> str:
        """Health of what serves; ``no_data`` when nothing serves."""
        return self.live.status if self.live else "no_data"

    @property
    def words(self) -> str:
        """Health of what serves, in words."""
        if self.live is None:
            return "nothing is live"
        bad = [item.words for item in self.live.readings if item.status != "pass"]
        return "; ".join(bad) if bad else (self.live.readings[0].words if self.live.readings else "no instance")

    @property
    def shares(self) -> list[tuple[str, str, int]]:
        """Slot name, release and weight, for the traffic bar."""
        return [(view.slot.name, view.slot.version, view.weight) for view in self.slots]


def environments(user: Any) -> list[EnvironmentView]:
    """Every environment a person may see, in the order of the definition."""
    found = list(detailed(Environment.objects.visible_to(user)))
    may = permissions_of(user, found)
    return [view(item, may[item.name]) for item in found]


def environment(user: Any, name: str) -> EnvironmentView:
    """One environment.

    Raises:
        Environment.DoesNotExist: there is none of this name that the person may see.
    """
    found = detailed(Environment.objects.visible_to(user)).get(name=name)
    return view(found, permissions_of(user, [found])[found.name])


def everywhere() -> list[EnvironmentView]:
    """Every environment, for the live hub, which filters by topic and draws nothing that depends on who looks."""
    return [view(item) for item in detailed(Environment.objects.all())]


def freezes(item: Environment) -> list[Any]:
    """Freezes of an environment that are in force or come, what ends first standing first; one query."""
    # The reverse side of the relation: this app does not import the one above it.
    found = Environment._meta.get_field("freezes").related_model.objects.filter(environment=item, lifted_at=None)
    return list(found.filter(ends_at__gt=timezone.now()).select_related("set_by").order_by("ends_at"))


def deployable_ids(user: Any) -> frozenset[int]:
    """Environments to which a person may deploy, by key; one query."""
    return frozenset(environments_with(Environment.objects.all(), user, DEPLOY).values_list("pk", flat=True))


def detailed(queryset: QuerySet[Environment]) -> QuerySet[Environment]:
    """With slots, instances, newest samples and the active deployment; four queries for any number."""
    # The reverse side of the relation: this app does not import the one above it.
    deployments = Environment._meta.get_field("deployments").related_model.objects
    under_way = deployments.active().select_related("from_release", "to_release", "to_slot")
    slots = Slot.objects.prefetch_related(Prefetch("instances", with_samples(Instance.objects.all())))
    return queryset.select_related("service", "live_slot").prefetch_related(
        Prefetch("slots", slots), Prefetch("deployments", under_way, to_attr="under_way")
    )


def view(item: Environment, may: frozenset[str] = frozenset()) -> EnvironmentView:
    """The view of an environment that ``detailed`` loaded, for somebody with these permissions on it."""
    slots = tuple(_slot(item, slot) for slot in item.slots.all())
    live = next((found for found in slots if found.is_live), None)
    under_way = item.under_way  # type: ignore[attr-defined]
    return EnvironmentView(
        environment=item,
        slots=slots,
        live=live,
        rates=rates(live.slot.instances.all()) if live else Rates(),
        active=under_way[0] if under_way else None,
        may=may,
    )


def _slot(item: Environment, slot: Slot) -> SlotView:
    readings = tuple(reading(instance) for instance in slot.instances.all())
    stopped = slot.role == Slot.Role.STOPPED
    return SlotView(
        slot=slot,
        weight=int(item.desired_weights.get(slot.name, 0)),
        is_live=slot.pk == item.live_slot_id,
        is_writer=slot.pk == item.writer_slot_id,
        readings=readings,
        status="stopped" if stopped else worst(found.status for found in readings),
    )


def seconds_in_words(seconds: float) -> str:
    """``20 s``, ``5 min``, ``1 h``."""
    if seconds < 120:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 7200 and seconds % 3600 else f"{seconds / 3600:g} h"


def policy_in_words(policy: Policy, *, needs_second_person: bool, is_gated: bool = False) -> list[tuple[str, str]]:
    """How the environment is deployed to, as term and sentence."""
    review = (
        "Another person approves every deployment before it starts."
        if needs_second_person
        else "Whoever may deploy starts at once; who may only ask waits for an approval."
    )
    promotion = (
        "Goes on by itself after the smoke tests."
        if policy.promotion == "auto"
        else "Waits after the smoke tests until somebody presses Promote."
    )
    return [
        ("Review", review),
        ("Gate", gate_in_words(policy, is_gated=is_gated)),
        ("Promotion", promotion),
        (
            "Watch",
            f"{seconds_in_words(policy.watch_seconds)} after promotion, the old slot warm, one click from rollback.",
        ),
        (
            "Success",
            f"After {seconds_in_words(policy.stable_seconds)} stable; then the old slot gets the new version too.",
        ),
        ("Baseline", f"The live slot over {seconds_in_words(policy.baseline_seconds)} before the shift."),
        (
            "Healthy",
            f"{policy.healthy_passes} passes in a row, within {seconds_in_words(policy.start_timeout_seconds)}.",
        ),
        ("Sampling", f"Every {policy.probe_seconds:g} s, every {policy.watch_probe_seconds:g} s during a deployment."),
    ]


def gate_in_words(policy: Policy, *, is_gated: bool) -> str:
    """What must be there before a start, in a sentence."""
    if not is_gated:
        return "Nothing is asked for before a start; a freeze counts."
    gate = policy.gate
    asked = [*gate.require, *([] if gate.staging == "" else ["staging"]), "a rollback plan"]
    asked += [f"the checklist {gate.checklist}"] if gate.checklist else []
    return (
        f"Asks for {', '.join(asked)}, a way back within {seconds_in_words(gate.rollback_seconds)}, "
        f"and a reason for more than {gate.large_change_lines} changed lines."
    )


_RULE_WORDS = {
    RuleKind.POSITION_MISMATCH: "any position mismatch",
    RuleKind.COMPONENT: "a critical component fails its check",
    RuleKind.RESTART: "a process crashes or restarts",
    RuleKind.TRADING_HALTED: "trading stops unexpectedly",
}


def rule_in_words(rule: RuleSpec, policy: Policy) -> str:
    """When a rule fails, as half a sentence."""
    fixed = _RULE_WORDS.get(rule.kind)
    if fixed:
        return fixed
    if rule.kind == RuleKind.AVAILABILITY:
        return f"{policy.confirmations} probes in a row without an answer"
    if rule.kind == RuleKind.ERROR_RATE:
        times = f", or more than {rule.times_baseline:g} × baseline" if rule.times_baseline else ""
        return f"above {(rule.fail or 0) * 100:g} %{times}"
    if rule.kind == RuleKind.LATENCY:
        return f"above {rule.fail:g} × baseline" + (f", warns from {rule.warn:g} ×" if rule.warn else "")
    return f"down more than {(rule.fail or 0) * 100:g} %" + (f", warns from {rule.warn * 100:g} %" if rule.warn else "")


def rules_in_words(policy: Policy) -> list[tuple[str, str, str]]:
    """Name, condition and consequence of each rule."""
    consequence = {"rollback": "Rolls back by itself", "recommend": "Recommends rollback, you decide"}
    return [(rule.name, rule_in_words(rule, policy), consequence[rule.action]) for rule in policy.rules]
