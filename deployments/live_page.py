"""The page of one deployment: everything that part 7 of the specification shows, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, Prefetch, Q
from django.utils import timezone

from audit.models import Record
from deployments import queries, words
from deployments.advice import Advice, advice
from deployments.metrics import Metric, metrics
from deployments.models import Approval, Deployment, Measurement, RollbackReport, Step, Trade, VerdictRow
from deployments.states import ApprovalState, Status, StepStatus
from environments.models import Instance, Slot
from environments.readings import Check, Reading, by_gravity, reading, since, with_samples

EVENT_LIMIT = 100
ALERT_LIMIT = 12
TRADE_LIMIT = 10
EVENT_KINDS: Mapping[str, str] = {
    "all": "All",
    "decisions": "Decisions",
    "steps": "Steps",
    "traffic": "Traffic and trading",
    "verdicts": "Verdicts",
}


REVIEW = "review"
"""Status of the stage at which somebody else decides."""
_SHOWS_WHAT_SERVES = (Status.AWAITING_APPROVAL, Status.ROLLED_BACK, Status.ABORTED)
"""What is in the new slot is not of this deployment, not yet or not any more."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step in the rail."""

    title: str
    status: str
    """Status of the step; ``held`` for the one at which a held deployment stands, or one of the review."""
    started_at: datetime | None
    finished_at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class Rail:
    """The steps of a deployment, in the order of its plan."""

    stages: tuple[Stage, ...]
    current: int
    """Number of the step at work, from 1; 0 when none is."""
    current_title: str
    is_done: bool


@dataclass(frozen=True, slots=True)
class SlotLine:
    """One slot of the deployment in the status panel."""

    slot: Slot
    version: str
    weight: int
    readings: tuple[Reading, ...]
    is_new: bool

    @property
    def roles(self) -> str:
        """Trading roles its instances report, for example ``ACTIVE``; empty when none answers."""
        return ", ".join(sorted({item.role for item in self.readings if item.is_fresh and item.role}))

    @property
    def answering(self) -> int:
        """Instances with a fresh answer."""
        return sum(1 for item in self.readings if item.is_fresh and item.checks)


@dataclass(frozen=True, slots=True)
class TradeTotals:
    """Trades since the deployment went live, beside the same length of time of the baseline."""

    total: int
    wins: int
    losses: int
    failed: int
    baseline: float | None
    """Trades that the baseline would have had in the same time; None without baseline."""
    latest: tuple[Trade, ...]

    @property
    def verdict(self) -> str:
        """``All successful``, ``2 failed`` or ``No trade yet``."""
        if not self.total:
            return "No trade yet"
        return f"{self.failed} failed" if self.failed else "All successful"


@dataclass(frozen=True, slots=True)
class LivePage:
    """One deployment as it is drawn. Nothing here depends on who looks."""

    deployment: Deployment
    title: str
    result: words.Result
    rail: Rail
    slots: tuple[SlotLine, ...]
    recommendation: Advice
    next_event: tuple[str, datetime] | None
    metrics: tuple[Metric, ...]
    checks: tuple[Check, ...]
    checks_slot: str
    """Slot whose checks are shown: the new one, once it was started."""
    silent: tuple[Reading, ...]
    """Instances of that slot that should answer and do not."""
    alerts: tuple[VerdictRow, ...]
    quiet: tuple[VerdictRow, ...]
    """Current verdicts without data that only inform, such as a win rate with too few trades."""
    trades: TradeTotals
    events: tuple[Record, ...]
    reverted_by: Deployment | None
    open_positions: int | None
    open_orders: int | None

    @property
    def shares(self) -> list[tuple[str, float, bool]]:
        """Words, share and whether it is the new slot, for the bar of new requests."""
        return [(f"{line.slot.name} {line.version}".strip(), line.weight / 100, line.is_new) for line in self.slots]

    @property
    def checks_meta(self) -> str:
        """Whose checks these are, and that they are those of now when the deployment is over."""
        return f"{self.checks_slot} now" if self.deployment.is_finished and self.checks_slot else self.checks_slot

    @property
    def report(self) -> RollbackReport | None:
        """The rollback report of this rollback, or of the rollback of this deployment; ``related`` joined both."""
        rollback = self.deployment if self.deployment.is_rollback else self.reverted_by
        return getattr(rollback, "rollback_report", None)

    @property
    def judged(self) -> bool:
        """Whether any rule was judged."""
        return any(row.is_current for row in self.deployment.verdicts.all())

    @property
    def many_instances(self) -> bool:
        """Whether checks must be told apart by instance."""
        return len({check.instance for check in self.checks}) > 1


def load(user: Any, pk: int) -> Deployment:
    """A deployment with all that its page needs.

    Raises:
        Deployment.DoesNotExist: there is none that the person may see.
    """
    return related(Deployment.objects.visible_to(user)).get(pk=pk)


def related(queryset: Any) -> Any:
    """With releases, slots, both directions of the rollback, steps and verdicts."""
    return queryset.select_related(
        "environment__service",
        "from_release",
        "to_release",
        "from_slot",
        "to_slot",
        "requested_by",
        "reverts__to_release",
        "reverted_by__rollback_report",
        "rollback_report",
        "approval",
    ).prefetch_related(
        Prefetch("steps", Step.objects.order_by("index")), Prefetch("verdicts", VerdictRow.objects.order_by("-id"))
    )


def build(deployment: Deployment, kind: str = "all") -> LivePage:
    """The page of a deployment that ``related`` loaded; ``kind`` filters its events."""
    steps = list(deployment.steps.all())
    slots = _slots(deployment)
    subject = _subject(deployment, slots)
    fresh = next((item for line in slots if line.weight for item in line.readings if item.is_fresh), None)
    alerts, quiet = _alerts(deployment)
    return LivePage(
        deployment=deployment,
        title=words.title(deployment),
        result=words.result(deployment, steps),
        rail=rail(deployment, steps),
        slots=slots,
        recommendation=advice(deployment, steps),
        next_event=queries.next_event(deployment),
        metrics=metrics(deployment, latest_measurement(deployment)),
        checks=_checks(subject),
        checks_slot=subject.slot.name if subject else "",
        silent=tuple(item for item in subject.readings if item.status == "no_data" or not item.checks)
        if subject
        else (),
        alerts=alerts,
        quiet=quiet,
        trades=trade_totals(deployment),
        events=tuple(events(deployment, kind)),
        reverted_by=getattr(deployment, "reverted_by", None),
        open_positions=fresh.values.get("open_positions") if fresh else None,
        open_orders=fresh.values.get("open_orders") if fresh else None,
    )


def rail(deployment: Deployment, steps: Sequence[Step]) -> Rail:
    """The rail of a deployment: the step at work, or the next one, is the current one until the end."""
    is_done = deployment.is_finished
    stages = []
    for step in steps:
        stages.append(Stage(step.title, step.status, step.started_at, step.finished_at, step.detail))
    approval = getattr(deployment, "approval", None)
    if approval is not None:
        stages = [*review_stages(approval), *(stages or _planned(approval))]
    waiting = (REVIEW, StepStatus.RUNNING, StepStatus.PENDING)
    current = 0 if is_done else next((place for place, stage in enumerate(stages) if stage.status in waiting), -1) + 1
    if current and deployment.status == Status.HELD:
        stages[current - 1] = replace(stages[current - 1], status="held")
    return Rail(tuple(stages), current, stages[current - 1].title if current else "", is_done)


def review_stages(approval: Approval) -> list[Stage]:
    """The stages before the first step of a deployment that another person approves."""
    asked = Stage("Requested", StepStatus.SUCCEEDED, None, None, "")
    if approval.is_waiting:
        return [asked, Stage("Approval", REVIEW, approval.created_at, None, "")]
    title = approval.get_state_display()
    status = StepStatus.SUCCEEDED if approval.state == ApprovalState.APPROVED else "ended"
    return [asked, Stage(title, status, approval.created_at, approval.decided_at, approval.decision_reason)]


def _planned(approval: Approval) -> list[Stage]:
    """The steps that were asked for, of a deployment that has none yet, or that never got any."""
    status = StepStatus.PENDING if approval.is_waiting else StepStatus.SKIPPED
    return [Stage(step["title"], status, None, None, "") for step in approval.subject["plan"]]


def _slots(deployment: Deployment) -> tuple[SlotLine, ...]:
    environment = deployment.environment
    instances = with_samples(Instance.objects.all())
    found = Slot.objects.filter(environment=environment).prefetch_related(Prefetch("instances", instances))
    lines = [
        SlotLine(
            slot=slot,
            version=slot.version,
            weight=int(environment.desired_weights.get(slot.name, 0)),
            readings=tuple(reading(instance) for instance in slot.instances.all()),
            is_new=slot.pk == deployment.to_slot_id,
        )
        for slot in found
    ]
    return tuple(sorted(lines, key=lambda line: line.is_new))


def _subject(deployment: Deployment, lines: Sequence[SlotLine]) -> SlotLine | None:
    """The new slot while and after it is brought up; the one that serves when the new one never got so far."""
    new = next((line for line in lines if line.is_new), None)
    if new and (new.slot.role != Slot.Role.STOPPED and deployment.status not in _SHOWS_WHAT_SERVES):
        return new
    return next((line for line in lines if line.weight), new)


def _checks(line: SlotLine | None) -> tuple[Check, ...]:
    if line is None:
        return ()
    moments = since([instance.pk for instance in line.slot.instances.all()])
    found = [check for item in line.readings for check in item.checks]
    dated = [replace(check, since=moments.get((check.instance, check.name, check.status))) for check in found]
    return tuple(by_gravity(dated))


def _alerts(deployment: Deployment) -> tuple[tuple[VerdictRow, ...], tuple[VerdictRow, ...]]:
    """Verdicts that are not a pass, those that stand first; and those that lack data where that only informs."""
    rows = [row for row in deployment.verdicts.all() if row.verdict != "pass"]
    quiet = [row for row in rows if row.verdict == "no_data" and (row.hold == "no" or not row.is_current)]
    loud = [row for row in rows if row not in quiet]
    gravity = {"fail": 0, "error": 1, "no_data": 2, "warn": 3}
    loud.sort(key=lambda row: (not row.is_current, gravity.get(row.verdict, 4), -row.since.timestamp()))
    return tuple(loud[:ALERT_LIMIT]), tuple(row for row in quiet if row.is_current)


def latest_measurement(deployment: Deployment) -> Measurement | None:
    """The newest numbers of the slot that serves."""
    return Measurement.objects.filter(deployment=deployment).order_by("-at").first()


def trade_totals(deployment: Deployment) -> TradeTotals:
    """Trades that the new live slot reported, and what the baseline had in the same time."""
    counted = Trade.objects.filter(deployment=deployment).aggregate(
        total=Count("pk"),
        wins=Count("pk", filter=Q(outcome="win")),
        losses=Count("pk", filter=Q(outcome="loss")),
        failed=Count("pk", filter=Q(outcome="failed")),
    )
    latest = tuple(Trade.objects.filter(deployment=deployment)[:TRADE_LIMIT]) if counted["total"] else ()
    return TradeTotals(**counted, baseline=_baseline_trades(deployment), latest=latest)


def _baseline_trades(deployment: Deployment) -> float | None:
    base = deployment.baseline or {}
    lasted = (base.get("to_at") or 0) - (base.get("from_at") or 0)
    window = words.seconds(deployment.promoted_at, deployment.finished_at or timezone.now())
    if lasted <= 0 or base.get("trades") is None or window is None:
        return None
    return float(base["trades"]) / lasted * window


def events(deployment: Deployment, kind: str = "all") -> list[Record]:
    """Audit records of the deployment, newest first."""
    records = Record.objects.filter(object_type="deployment", object_id=str(deployment.pk))
    is_step, is_verdict = Q(action__startswith="deployment.step_"), Q(action="deployment.verdict")
    is_traffic = Q(action__startswith="traffic.") | Q(action__startswith="writer.")
    chosen = {
        "steps": is_step,
        "verdicts": is_verdict,
        "traffic": is_traffic,
        "decisions": ~(is_step | is_verdict | is_traffic),
    }.get(kind)
    return list((records if chosen is None else records.filter(chosen)).order_by("-id")[:EVENT_LIMIT])
