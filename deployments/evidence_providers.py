"""What deployments know for a checklist or a runbook: what was deployed, what runs, why it failed, the way back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from audit.actors import system
from deployments import evidence_release, preflight, queries, start_failures, words
from deployments.metrics import SPECS, limit_of
from deployments.models import Deployment, Release, RollbackReport
from deployments.start_failures import Cause
from deployments.states import UNFINISHED, Status, StepStatus
from environments import adapters, asking, logs
from environments.drivers.artifacts import verify_artifact
from environments.drivers.base import DriverError
from environments.evidence import Reading, Subject, Verdict, provider
from environments.evidence_words import count, lasting, lines, milliseconds, moment, percent, worst
from environments.models import Environment, Slot
from environments.recent import baseline, minute

__all__ = ["evidence_release"]
LOOKER = system("evidence")
RECENT = timedelta(days=7)
LOG_LINES = 80
LOOKED_AT = 10
"""So many of the last deployments may be the one to roll back."""


@provider("deployments.recent", "Deployments of the last 7 days")
def recent(subject: Subject) -> Reading:
    """How many, and how they ended."""
    rows = Deployment.objects.begun().filter(environment=subject.environment)
    found = list(rows.filter(created_at__gt=timezone.now() - RECENT).select_related("from_release", "to_release"))
    link = _listed(subject.environment)
    if not found:
        last = rows.select_related("from_release", "to_release").first()
        before = f"; the last was {words.versions(last)}, {moment(last.created_at)}" if last else ""
        return Reading(f"None in the last 7 days{before}", Verdict.PASS, link)
    forward = [one for one in found if not one.is_rollback]
    ended = {status: sum(1 for one in forward if one.status == status) for status in Status}
    bad = ended[Status.ROLLED_BACK] + ended[Status.FAILED] + ended[Status.FAILING]
    bad += sum(1 for one in forward if one.status == Status.ABORTED and one.failure_reason)
    value = f"{count(len(forward), 'deployment')}, {ended[Status.SUCCEEDED]} succeeded, {bad} failed or rolled back"
    overridden = sum(1 for one in forward if one.overrides)
    value += f", {overridden} with an overridden check" if overridden else ""
    detail = [
        f"{moment(one.created_at)} #{one.pk} {words.versions(one)}: {one.get_status_display()}"
        + (f" ({one.failure_reason})" if one.failure_reason else "")
        for one in found
    ]
    return Reading(value, Verdict.WARN if bad or overridden else Verdict.PASS, link, lines(detail))


@provider("deployments.running", "Deployment under way")
def running(subject: Subject) -> Reading:
    """Whether one is not finished, and at which step it is."""
    rows = Deployment.objects.filter(environment=subject.environment, status__in=UNFINISHED)
    found = rows.select_related("from_release", "to_release", "to_slot").order_by("-pk").first()
    if found is None:
        return Reading("None is under way", Verdict.PASS, _listed(subject.environment))
    steps = list(found.steps.all())
    at = next((one for one in steps if one.status in (StepStatus.RUNNING, StepStatus.PENDING)), None)
    where = f", at “{at.title}”: {at.detail or at.status}" if at else ""
    age = lasting(timezone.now() - (found.started_at or found.created_at))
    value = (
        f"Deployment {found.pk} ({words.versions(found)}) is {found.get_status_display().lower()} since {age}{where}"
    )
    detail = [f"{one.index + 1}. {one.title}: {one.status} {one.detail}".rstrip() for one in steps]
    return Reading(value, Verdict.WARN, _page(found), lines(detail))


@provider("deployments.start_failure", "Last start that failed")
def start_failure(subject: Subject) -> Reading:
    """The failed step, its reason, the log of the slot, and the cause if it is one of the common ones."""
    failure = _last_failure(subject.environment)
    if failure is None:
        return Reading("No start has failed here", Verdict.PASS, _listed(subject.environment))
    cause = failure.cause
    told = f"{cause.title}: {cause.line[:200]}" if cause else "The cause is none of the common ones; read the log"
    step, why = words.failed_step(list(failure.deployment.steps.all())), failure.why
    where = step.title if step else "before the first step"
    value = f"Deployment {failure.deployment.pk} ({failure.deployment.to_release}) failed at “{where}”. {told}"
    later = failure.later
    if later is not None:
        value += f". Since then {later.to_release} went live (deployment {later.pk})"
    head = [f"Failed at: {where}", f"Reason: {why}", *([f"What to do: {cause.todo}"] if cause else [])]
    return Reading(value, Verdict.PASS if later else Verdict.FAIL, _page(failure.deployment), lines(head + failure.log))


@provider("deployments.rollback_ready", "Ready to roll back")
def rollback_ready(subject: Subject) -> Reading:
    """Which release a rollback would return to, whether its artifact and slot are there, and how long it took last."""
    environment = subject.environment
    found, why = to_roll_back(environment)
    if found is None:
        nothing = environment.live_slot_id is None
        return Reading(why, Verdict.NO_DATA if nothing else Verdict.WARN, _listed(environment))
    release, slot = found.from_release, found.from_slot
    assert release is not None and slot is not None  # to_roll_back: else it cannot be rolled back
    damaged, warm = _artifact_problem(release), _warmth(slot, release)
    took = _last_rollback(environment)
    limit = environment.policy.gate.rollback_seconds
    measured = "never measured here" if took is None else f"the last one took {lasting(took)}"
    value = f"Back to {release} on {slot.name}: " + (damaged or f"artifact verified, {warm}") + f"; {measured}"
    verdict = Verdict.FAIL if damaged or (took is not None and took > limit) else Verdict.PASS
    detail = [f"Deployment {found.pk} would be rolled back: {words.versions(found)}", f"Limit: {lasting(limit)}"]
    return Reading(value, verdict, _page(found), lines(detail))


@provider("deployments.baseline", "Key metrics against the baseline")
def against_baseline(subject: Subject) -> Reading:
    """Error rate, latency p99, win rate and mismatches of the last minute (specification, part 3)."""
    environment = subject.environment
    now, base = minute(environment), baseline(environment)
    if now.problem or base is None:
        return now.without("no baseline") if now.problem else now.told("No deployment has kept a baseline", _NO_DATA)
    told, detail, verdicts = [], [], []
    for spec in SPECS:
        value, before = getattr(now.rates, spec.key), base.values.get(spec.key)
        text = {"share": percent, "ms": milliseconds}.get(spec.unit, _plain)
        limit, label = limit_of(spec, environment.policy, None if before is None else float(before))
        beyond = value is not None and limit is not None and (value < limit if spec.higher_is_better else value > limit)
        word = "no data" if value is None else "beyond the limit" if beyond else "within"
        # Without trades there is no win rate: that alone is no reason to know nothing.
        optional = spec.key == "win_rate"
        verdicts.append(Verdict.FAIL if beyond else _NO_DATA if value is None and not optional else Verdict.PASS)
        told.append(f"{spec.title.lower()} {text(value)}" + (f" (was {text(before)})" if before is not None else ""))
        detail.append(f"{spec.title}: {text(value)}, baseline {text(before)}, {label or 'no limit'}: {word}")
    link = reverse("deployment", args=[base.deployment])
    head = f"Baseline of deployment {base.deployment}, {moment(base.at)}; now: the last {now.rates.seconds:.0f} s"
    return Reading("; ".join(told), worst(verdicts), link, lines([head, *detail]))


@provider("deployments.reports_owed", "Reports owed after rollbacks")
def reports_owed(subject: Subject) -> Reading:
    """Reports of the service that nobody has finished."""
    owed = RollbackReport.objects.owed().filter(rollback__environment__service=subject.environment.service_id)
    found = list(owed.select_related("rollback__environment", "rollback__from_release").order_by("pk"))
    link = "/rollback-reports/"
    if not found:
        return Reading("None is owed", Verdict.PASS, link)
    listed = [
        f"{moment(one.created_at)}, {one.rollback.environment}: {one.rollback.from_release}, taken back by "
        f"deployment {one.rollback_id}"
        for one in found
    ]
    return Reading(
        f"{count(len(found), 'report')} owed, the oldest since {listed[0]}", Verdict.WARN, link, lines(listed)
    )


_NO_DATA = Verdict.NO_DATA


@dataclass(frozen=True, slots=True)
class Failure:
    """A deployment that failed before it was promoted."""

    deployment: Deployment
    why: str
    log: list[str]
    cause: Cause | None
    later: Deployment | None
    """One that went live since."""


def to_roll_back(environment: Environment) -> tuple[Deployment | None, str]:
    """The deployment that a rollback would take back now, or why there is none."""
    rows = Deployment.objects.begun().filter(environment=environment, reverts=None)
    related = ("environment", "from_release__service", "to_release__service", "from_slot", "to_slot")
    why = "Nothing was deployed here yet"
    for index, one in enumerate(rows.select_related(*related).order_by("-pk")[:LOOKED_AT]):
        act = queries.allowed_acts(LOOKER, one)["roll_back"]
        if act.allowed:
            return one, ""
        why = f"Deployment {one.pk} cannot be rolled back: {act.why_not}" if index == 0 else why
    return None, why


def _last_failure(environment: Environment) -> Failure | None:
    rows = Deployment.objects.filter(environment=environment, reverts=None)
    failed = rows.filter(handover_at=None, steps__status=StepStatus.FAILED).order_by("-pk")
    found = failed.select_related("from_release", "to_release", "to_slot").prefetch_related("steps").first()
    if found is None:
        return None
    later = rows.filter(pk__gt=found.pk, promoted_at__isnull=False).select_related("to_release").first()
    step = words.failed_step(list(found.steps.all()))
    why = found.failure_reason or (step.detail if step else "")
    log = _log_of(found)
    return Failure(found, why, log, start_failures.recognise([*log, why]), later)


def _log_of(deployment: Deployment) -> list[str]:
    """The log of the slot, as long as it is of this start."""
    slot = deployment.to_slot
    if slot.version != deployment.to_release.version:
        return [f"{slot.name} holds {slot.version or 'nothing'} by now; its log tells no more of this start."]
    began = deployment.started_at or deployment.created_at
    instances = [one for one in asking.of_environment(deployment.environment) if one.slot_id == slot.pk]
    found = []
    for one in logs.tails(instances, LOG_LINES, since=began.timestamp()):
        said = [f"cannot be read: {one.problem}"] if one.value is None else one.value or ["nothing since the start"]
        found += [f"== log of {one.instance.name} ==", *said]
    return found


def _artifact_problem(release: Release) -> str:
    try:
        verify_artifact(preflight.artifact_spec(release))
    except DriverError as error:
        return str(error)
    return ""


def _warmth(slot: Slot, release: Release) -> str:
    """Whether the slot that a rollback returns to still runs the release."""
    if slot.version != release.version or slot.role == Slot.Role.STOPPED:
        return f"{slot.name} is started with it again"
    instances = [one for one in asking.of_environment(slot.environment) if one.slot_id == slot.pk]
    answers = asking.ask(instances, lambda one: adapters.client(one, read_timeout=asking.READ_SECONDS).health())
    answering = sum(1 for one in answers if one.value is not None and one.value.version == release.version)
    return f"{answering} of {count(len(answers), 'instance')} of it answer"


def _last_rollback(environment: Environment) -> float | None:
    """Seconds from asking for the last rollback until the requests were back; None before the first."""
    done = Deployment.objects.filter(environment=environment, reverts__isnull=False, traffic_back_at__isnull=False)
    last = done.order_by("-pk").first()
    return None if last is None else words.seconds(last.created_at, last.traffic_back_at)


def _plain(value: float | None) -> str:
    return "no data" if value is None else f"{value:g}"


def _page(deployment: Deployment) -> str:
    return reverse("deployment", args=[deployment.pk])


def _listed(environment: Environment) -> str:
    return f"{reverse('deployments')}?{urlencode({'environment': environment.name})}"
