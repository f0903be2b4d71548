"""The deployment gate: what a release must bring with it before it goes to an environment (specification, parts 1, 3).

Each check says what it looked at; a block says why and what to do. Rollback is never gated: ``actions.roll_back`` does
not come here. ``environments.policy.GatePolicy`` says where the gate is asked; a freeze counts everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from deployments import gate_staging, gate_words, rollback_report_check
from deployments.checks import NOTHING, CheckResult, Exceptions, not_asked
from deployments.clock import db_now
from deployments.models import Deployment, Freeze, Release, TestReport
from deployments.states import TERMINAL, Status
from environments.models import Environment
from environments.pages import seconds_in_words
from environments.policy import GatePolicy
from runbooks.models import ChecklistRun

KINDS = ("tests", "review", "benchmarks")
"""Kinds of reports, in the order in which they are shown."""


@dataclass(frozen=True)
class Look:
    """What the checks of one release for one environment share."""

    environment: Environment
    release: Release
    exceptions: Exceptions

    @cached_property
    def policy(self) -> GatePolicy:
        """The gate of the environment."""
        return self.environment.policy.gate

    @cached_property
    def reports(self) -> Mapping[str, TestReport]:
        """The newest report of each kind about this artifact; one query."""
        return newest_reports(self.release)


def newest_reports(release: Release) -> dict[str, TestReport]:
    """The newest report of each kind about the artifact of a release; one query."""
    found = TestReport.objects.filter(service=release.service_id, digest=release.digest)
    return {one.kind: one for one in found.order_by("kind", "-pk").distinct("kind")}


def freezes_in_force(environment: Environment) -> list[Freeze]:
    """Freezes that hold an environment now, the one that lasts longest first."""
    now = db_now()
    found = Freeze.objects.filter(environment=environment, lifted_at=None, starts_at__lte=now, ends_at__gt=now)
    return list(found.select_related("set_by").order_by("-ends_at"))


def _freeze(look: Look) -> CheckResult:
    place = look.environment
    frozen = freezes_in_force(place)
    if not frozen:
        return CheckResult("freeze", "No freeze", True, f"Nothing freezes {place} now.", overridable=True)
    return CheckResult(
        "freeze",
        "No freeze",
        False,
        " ".join(gate_words.frozen(one) for one in frozen),
        "Wait for its end, or have the freeze lifted on the environment's page.",
        overridable=True,
        link=f"/environments/{place.name}/freeze/",
    )


def _rollback_time(look: Look) -> CheckResult:
    """The time of the last rollback here, as it was measured; before the first one, what the plan takes at most."""
    limit = look.policy.rollback_seconds
    title = f"Back within {seconds_in_words(limit)}"
    rollbacks = Deployment.objects.filter(environment=look.environment, reverts__isnull=False, status__in=TERMINAL)
    last = rollbacks.order_by("-pk").first()
    if last is None:
        planned = look.environment.policy.start_timeout_seconds
        detail = gate_words.never_measured(planned)
        todo = "Shorten start_timeout_seconds, or carry out a rollback in a drill to measure it."
        return CheckResult("rollback_time", title, planned < limit, detail, "" if planned < limit else todo, True)
    link, back = f"/deployments/{last.pk}/", last.traffic_back_at
    if last.status != Status.SUCCEEDED or back is None:
        detail = f"The last rollback here, deployment {last.pk}, {last.get_status_display().lower()}."
        todo = "Find out why, and show by a rollback in a drill that the way back works."
        return CheckResult("rollback_time", title, False, detail, todo, True, link=link)
    took = (back - last.created_at).total_seconds()
    detail = f"The last rollback here, deployment {last.pk}, had the requests back after {took:.1f} s."
    todo = "" if took < limit else "Find out what took so long, and measure it again in a drill."
    return CheckResult("rollback_time", title, took < limit, detail, todo, True, link=link)


def _previous_ready(look: Look) -> CheckResult:
    """What serves now is a registered release, so that a rollback knows what to return to; it stays warm meanwhile."""
    slot, title = look.environment.live_slot, "Previous version ready"
    if slot is None:
        return CheckResult("previous_ready", title, True, "First deployment: nothing serves yet.", overridable=True)
    releases = Release.objects.filter(service=look.environment.service_id, version=slot.version)
    registered = (releases.filter(digest=slot.digest) if slot.digest else releases).exists()
    watch = seconds_in_words(look.environment.policy.watch_seconds)
    if registered:
        detail = f"{slot.version} is registered, serves on {slot.name}, and stays warm there for {watch}."
        return CheckResult("previous_ready", title, True, detail, overridable=True)
    detail = f"{slot.version} serves on {slot.name}, but no release of that version and digest is registered."
    todo = f"Register {slot.version} with the artifact that serves, or there is nothing to go back to."
    return CheckResult("previous_ready", title, False, detail, todo, True)


def _migrations(look: Look) -> CheckResult:
    title, release = "Migrations reversible", look.release
    if not release.migrations:
        return CheckResult("migrations_reversible", title, True, f"{release} brings no migration.", overridable=True)
    names = ", ".join(str(one) for one in release.migrations)
    if release.reversible:
        return CheckResult("migrations_reversible", title, True, f"Can be taken back: {names}.", overridable=True)
    said = "cannot be taken back" if release.reversible is False else "nobody said whether they can be taken back"
    todo = "Release it again with migrations that can be taken back, and say so (reversible)."
    return CheckResult("migrations_reversible", title, False, f"{names}: {said}.", todo, True)


def _report(kind: str) -> Callable[[Look], CheckResult]:
    def judge(look: Look) -> CheckResult:
        title = gate_words.REPORT_TITLES[kind]
        if kind not in look.policy.require:
            return not_asked(kind, title)
        report = look.reports.get(kind)
        ok, detail = gate_words.report(report, look.release)
        todo = "" if ok else gate_words.report_todo(kind, look.release)
        link = f"/releases/{look.release.version}/#reports"
        return CheckResult(kind, title, ok, detail, todo, True, link=link)

    return judge


def _staging(look: Look) -> CheckResult:
    return gate_staging.judge(look.environment, look.release, look.policy)


def _rollback_plan(look: Look) -> CheckResult:
    plan, title = look.release.rollback_plan.strip(), "Rollback plan written"
    if plan:
        return CheckResult("rollback_plan", title, True, gate_words.one_line(plan), overridable=True)
    todo = "Release it under a new version that says how to go back from it (rollback_plan)."
    return CheckResult("rollback_plan", title, False, f"{look.release} came without one.", todo, True)


def _change_size(look: Look) -> CheckResult:
    lines, limit = changed_lines(look.release), look.policy.large_change_lines
    title = "Small change"
    if lines is None:
        return CheckResult("change_size", title, True, f"The size of {look.release} was not reported.")
    detail = f"{lines} lines; up to {limit} count as small."
    if lines <= limit:
        return CheckResult("change_size", title, True, detail)
    reason = look.exceptions.large_change_reason.strip()
    if reason:
        return CheckResult("change_size", title, True, f"{detail} In one piece because: {gate_words.one_line(reason)}")
    return CheckResult(
        "change_size", title, False, detail, "Split it, or say why it goes out in one piece (large_change_reason)."
    )


def changed_lines(release: Release) -> int | None:
    """Lines that a release adds and removes; None when nobody said."""
    given: Mapping[str, Any] = release.changes or {}
    counts = [given.get(name) for name in ("insertions", "deletions")]
    known = [count for count in counts if isinstance(count, int) and not isinstance(count, bool)]
    return sum(known) if known else None


def _checklist(look: Look) -> CheckResult:
    slug, title = look.policy.checklist, "Deployment checklist complete"
    if not slug:
        return not_asked("checklist", title)
    run = ChecklistRun.objects.filter(
        checklist__slug=slug,
        checklist__service=look.environment.service_id,
        environment=look.environment,
        period=look.release.version,
    ).first()
    name = f"The list “{slug}” of {look.release} for {look.environment}"
    if run is None:
        return CheckResult("checklist", title, False, f"{name} was not begun.", "Begin it: /checklists/.", True)
    if run.status == ChecklistRun.Status.COMPLETE:
        return CheckResult("checklist", title, True, f"{name} is complete.", overridable=True)
    detail = f"{name} is {run.get_status_display().lower()}."
    return CheckResult("checklist", title, False, detail, "Complete it: /checklists/.", True, link="/checklists/")


def _report_owed(look: Look) -> CheckResult:
    return rollback_report_check.owed(look.environment)


Check = Callable[[Look], CheckResult]
_REPORTS: tuple[Check, ...] = tuple(_report(kind) for kind in KINDS)
CHECKS: tuple[Check, ...] = (
    _freeze,
    _rollback_time,
    _previous_ready,
    _migrations,
    *_REPORTS,
    _staging,
    _rollback_plan,
    _change_size,
    _checklist,
    _report_owed,
)


def results(environment: Environment, release: Release, exceptions: Exceptions = NOTHING) -> list[CheckResult]:
    """Every check of the gate, whether or not the environment asks for it, in order; at most ten queries."""
    look = Look(environment, release, exceptions)
    return [one(look).after(exceptions.names) for one in CHECKS]


def asked(environment: Environment, release: Release, exceptions: Exceptions = NOTHING) -> list[CheckResult]:
    """Those that count: all of them where the gate is asked, elsewhere a freeze alone."""
    if environment.is_gated:
        return results(environment, release, exceptions)
    return [_freeze(Look(environment, release, exceptions)).after(exceptions.names)]


def exceptions_of(deployment: Deployment) -> Exceptions:
    """What a deployment was started with beyond the gate."""
    return Exceptions(deployment.large_change_reason, deployment.override_reason, tuple(deployment.overrides))


def against_promotion(deployment: Deployment) -> str:
    """Why the gate shut again since the start, in words; empty when it did not. A rollback is never asked.

    A freeze, and reports: what these say may change while a deployment waits. At most two queries.
    """
    if deployment.is_rollback:
        return ""
    allowed = exceptions_of(deployment)
    look = Look(deployment.environment, deployment.to_release, allowed)
    found = [one(look).after(allowed.names) for one in (_freeze, *(_REPORTS if look.environment.is_gated else ()))]
    return " ".join(f"{one.title}: {one.detail}" for one in found if one.blocks)
