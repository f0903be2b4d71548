"""What alerts tell a checklist or a runbook: those that are open, and the critical ones among them."""

from __future__ import annotations

from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from alerts.models import Alert
from alerts.queries import open_in
from environments.evidence import Reading, Subject, Verdict, provider
from environments.evidence_words import MOST_LINES, count, lasting, lines, moment


@provider("alerts.open", "Open alerts")
def open_alerts(subject: Subject) -> Reading:
    """Alerts of the environment, and those that concern none, that nobody acknowledged or whose cause is there."""
    found = _found(subject)
    if not found:
        return Reading("None is open", Verdict.PASS, _page(subject))
    critical = sum(1 for one in found if one.is_critical)
    waiting = sum(1 for one in found if one.acknowledged_at is None)
    value = f"{count(len(found), 'alert')} open, {critical} critical, {waiting} not acknowledged"
    lasting_critical = any(one.is_critical and one.cleared_at is None for one in found)
    verdict = Verdict.FAIL if lasting_critical else Verdict.WARN
    return Reading(f"{value}. The first: {found[0].title}", verdict, _page(subject), lines(map(_line, found)))


@provider("alerts.critical", "Critical alerts")
def critical_alerts(subject: Subject) -> Reading:
    """The critical ones only; one whose cause is gone, and that nobody acknowledged, warns."""
    found = [one for one in _found(subject) if one.is_critical]
    if not found:
        return Reading("None is open", Verdict.PASS, _page(subject))
    there = sum(1 for one in found if one.cleared_at is None)
    value = f"{count(len(found), 'critical alert')} open, of which the cause of {there} is still there"
    verdict = Verdict.FAIL if there else Verdict.WARN
    return Reading(f"{value}. The first: {found[0].title}", verdict, _page(subject), lines(map(_line, found)))


def _found(subject: Subject) -> list[Alert]:
    return list(open_in([subject.environment.pk])[: MOST_LINES + 1])


def _line(alert: Alert) -> str:
    age = lasting(timezone.now() - alert.raised_at)
    where = alert.environment.name if alert.environment else "no environment"
    return f"{moment(alert.raised_at)} ({age} ago) {where}, {alert.severity}, {alert.state}: {alert.title}"


def _page(subject: Subject) -> str:
    return f"{reverse('alerts')}?{urlencode({'environment': subject.environment.name})}"
