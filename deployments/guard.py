"""The guard judges every batch of samples, keeps the measurements, and rolls back when a hard rule fails.

It runs in the monitor process from a deployment's start to its end, whatever its status, also while somebody decides.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from accounts import doorbell
from audit.actions import record
from audit.actors import system
from deployments import actions, breaches
from deployments.analysis import baseline
from deployments.analysis.assess import assess
from deployments.analysis.summary import Summary, summarise_many
from deployments.analysis.verdict import Outcome, Verdict
from deployments.errors import WrongState
from deployments.models import Deployment, Measurement, VerdictRow
from environments.models import Slot
from environments.policy import Policy
from environments.sample import Sample
from environments.sampling import keep_rows
from trading import latch

logger = logging.getLogger(__name__)

GUARD = system("guard")
WINDOW_SECONDS = 5.0
"""A measurement covers the last five seconds, so that a p99 has something to stand on."""
ANCHOR = timedelta(seconds=10)
"""How far before the promotion the last answer is looked for, from which the counters count."""


class Guard:
    """Keeps what it needs of the past in memory; what is missing after a restart is read from the kept samples."""

    def __init__(self) -> None:
        self._recent: dict[int, deque[Sample]] = defaultdict(lambda: deque(maxlen=60))
        self._since_promotion: dict[int, dict[int, list[Sample]]] = {}

    def keep(self, batch: Sequence[tuple[int, Sample]]) -> None:
        """Store a batch of samples, then measure and judge every deployment that it concerns."""
        keep_rows(batch)
        touched = {instance_id for instance_id, _ in batch}
        for instance_id, sample in batch:
            self._recent[instance_id].append(sample)
        deployments = list(
            Deployment.objects.active().select_related(
                "environment__live_slot", "from_release", "to_release", "to_slot"
            )
        )
        for gone in self._since_promotion.keys() - {deployment.pk for deployment in deployments}:
            del self._since_promotion[gone]
        for deployment in deployments:
            live = deployment.environment.live_slot
            if live is None:
                continue
            instances = dict(live.instances.values_list("pk", "name"))
            if touched & instances.keys():
                try:
                    self._measure(deployment, live, list(instances))
                    if not self._is_interrupted(deployment, live):
                        self._judge(deployment, instances, batch)
                except DatabaseError:
                    raise
                except Exception:  # a defect or wrong data; the other deployments are judged nevertheless
                    logger.exception("deployment %s could not be judged", deployment.pk)
                doorbell.ring((f"deployment.{deployment.pk}", "overview"))

    def _measure(self, deployment: Deployment, live: Slot, instances: Sequence[int]) -> None:
        newest = max((s.at for key in instances for s in self._recent[key]), default=0.0)
        window = {
            key: [s for s in self._recent[key] if s.at > newest - WINDOW_SECONDS and s.version in ("", live.version)]
            for key in instances
        }  # what ran in this slot a moment earlier is not counted
        Measurement.objects.create(
            deployment=deployment,
            at=datetime.fromtimestamp(newest, UTC),
            slot=live.name,
            version=live.version,
            values=_values(summarise_many(window)) | {"mismatches": _mismatches(window)},
        )

    def _judge(self, deployment: Deployment, instances: dict[int, str], batch: Sequence[tuple[int, Sample]]) -> None:
        if deployment.promoted_at is None or deployment.is_rollback or deployment.from_release is None:
            return
        samples = self._history(deployment, instances, batch)
        policy = Policy.model_validate(deployment.policy_data)
        verdicts = assess(
            policy.rules,
            baseline=baseline.load(deployment.baseline),
            samples={instances[key]: listed for key, listed in samples.items()},
            promoted_at=deployment.promoted_at.timestamp(),
            confirmations=policy.confirmations,
            now=time.time(),
        )
        with transaction.atomic():
            keep_verdicts(deployment, verdicts)
        hard = [v for v in verdicts if v.verdict is Outcome.FAIL and v.action == "rollback"]
        if hard:
            _roll_back(deployment, hard)

    def _is_interrupted(self, deployment: Deployment, live: Slot) -> bool:
        """Whether the kill switch stopped trading in the watch: a halt that was ordered is no fault of the release.

        Once every instance is seen ACTIVE again, and the switch is released, the watch begins anew.
        """
        if deployment.promoted_at is None or deployment.is_rollback:
            return False
        if latch.engaged(deployment.environment):
            if deployment.interrupted_at is None:
                Deployment.objects.filter(pk=deployment.pk).update(interrupted_at=Now())
            return True
        if deployment.interrupted_at is None:
            return False
        newest = [self._recent[key][-1] for key in live.instances.values_list("pk", flat=True) if self._recent[key]]
        if newest and all(sample.ok and sample.role == "ACTIVE" for sample in newest):
            self._since_promotion.pop(deployment.pk, None)
            self._recent.clear()
            actions.restart_watch(GUARD, deployment, "Trading was resumed after the kill switch")
        return True

    def _history(
        self, deployment: Deployment, instances: dict[int, str], batch: Sequence[tuple[int, Sample]]
    ) -> dict[int, list[Sample]]:
        history = self._since_promotion.get(deployment.pk)
        if history is None:
            live = deployment.environment.live_slot
            assert live is not None and deployment.promoted_at is not None  # the callers looked
            history = {key: [] for key in instances} | baseline.kept_samples(live, deployment.promoted_at - ANCHOR)
            self._since_promotion[deployment.pk] = history
            return history  # what was just kept is in it
        for instance_id, sample in batch:
            if instance_id in history:
                history[instance_id].append(sample)
        return history


def keep_verdicts(deployment: Deployment, verdicts: Sequence[Verdict]) -> None:
    """Store the verdicts: a changed one is a new row and an audit record, an unchanged one gets the new numbers."""
    now = datetime.now(UTC)
    current = {row.rule: row for row in VerdictRow.objects.filter(deployment=deployment, is_current=True)}
    same: list[VerdictRow] = []
    advised = {rule for rule, row in current.items() if row.advises_rollback and row.action == "recommend"}
    for verdict in verdicts:
        row = current.get(verdict.rule)
        if row is not None and row.verdict == verdict.verdict:
            same.append(_fill(row, verdict, now))
            continue
        if row is not None:
            VerdictRow.objects.filter(pk=row.pk).update(is_current=False, at=now)
        _fill(VerdictRow(deployment=deployment, rule=verdict.rule, since=now), verdict, now).save()
        if row is not None or verdict.verdict is not Outcome.PASS:
            record(
                GUARD,
                "deployment.verdict",
                deployment,
                environment=deployment.environment.name,
                reason=verdict.reason,
                before={"verdict": row.verdict} if row else None,
                after={"rule": verdict.rule, "verdict": verdict.verdict},
            )
    _tell(deployment, advised, [verdict for verdict in verdicts if _advises(verdict)])
    VerdictRow.objects.bulk_update(same, ["value", "baseline", "limit", "unit", "reason", "supported", "hold", "at"])


def _tell(deployment: Deployment, before: set[str], failing: Sequence[Verdict]) -> None:
    """An alert when a rule begins to recommend a rollback; it ends with the last of them."""
    now = {verdict.rule for verdict in failing}
    if now - before:
        breaches.decision_wanted(deployment, "; ".join(f"{v.rule}: {v.reason}" for v in failing))
    elif before and not now:
        breaches.over(deployment)


def _advises(verdict: Verdict) -> bool:
    """Whether somebody has to decide (``VerdictRow.advises_rollback``); what rolls back by itself is told there."""
    certain = verdict.verdict is Outcome.WARN and verdict.supported
    return verdict.action == "recommend" and (verdict.verdict is Outcome.FAIL or certain)


def _fill(row: VerdictRow, verdict: Verdict, now: datetime) -> VerdictRow:
    row.kind, row.verdict, row.action, row.at = verdict.kind, verdict.verdict, verdict.action, now
    row.value, row.baseline, row.limit, row.unit = verdict.value, verdict.baseline, verdict.limit, verdict.unit
    row.reason, row.supported, row.hold = verdict.reason, verdict.supported, verdict.hold
    return row


def _roll_back(deployment: Deployment, failed: Sequence[Verdict]) -> None:
    after = min((v.fault_after for v in failed if v.fault_after is not None), default=None)
    moment = None if after is None else datetime.fromtimestamp(after, UTC)
    reason = "; ".join(f"{verdict.rule}: {verdict.reason}" for verdict in failed)
    try:
        rollback = actions.roll_back(GUARD, deployment, reason, fault_after=moment)
    except WrongState as error:  # somebody was faster
        logger.info("deployment %s is not rolled back: %s", deployment.pk, error)
        return
    logger.warning("deployment %s rolls back by itself (deployment %s): %s", deployment.pk, rollback.pk, reason)


def _mismatches(window: Mapping[int, Sequence[Sample]]) -> int | None:
    """Positions that differ, by the newest answer of each instance; None when none reports them."""
    newest = [next((s.mismatches for s in reversed(samples) if s.ok), None) for samples in window.values()]
    known = [number for number in newest if number is not None]
    return sum(known) if known else None


def _values(summary: Summary) -> dict[str, float | int | None]:
    return {
        "requests": summary.requests,
        "errors": summary.errors,
        "error_rate": summary.error_rate,
        "latency_p99_ms": summary.latency_p99_ms,
        "win_rate": summary.win_rate,
        "trades": summary.trades,
    }
