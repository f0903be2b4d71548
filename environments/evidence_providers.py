"""What environments know for a checklist or a runbook: health, components, versions, errors and latency.

Health is asked of the instances at that moment. Rates are those of the last minute, from what the monitor sampled.
"""

from __future__ import annotations

from collections.abc import Callable

from django.urls import reverse

from environments import adapters, asking, evidence_access, evidence_hosts
from environments.asking import Answer
from environments.evidence import Reading, Subject, Verdict, provider
from environments.evidence_words import count, lines, milliseconds, moment, percent, worst
from environments.health import Health
from environments.models import Environment, Instance, Slot
from environments.policy import RuleKind, RuleSpec
from environments.readings import CHECK_TITLES
from environments.recent import Baseline, baseline, minute
from environments.sample import Component

__all__ = ["evidence_access", "evidence_hosts"]
LATENCY_LIMIT_MS = 50.0
"""Order latency p99 beyond this is high, whatever the baseline (specification, part 9)."""
NOTHING_LIVE = Reading("Nothing is live yet", Verdict.NO_DATA)


@provider("environments.health", "Health of the live system")
def health(subject: Subject) -> Reading:
    """An instance that does not answer fails here: that it does not is what was asked."""
    answers = _healths(asking.running(subject.environment))
    live = [one for one in answers if one.instance.slot_id == subject.environment.live_slot_id]
    if not live:
        return NOTHING_LIVE
    states = {one.instance.name: _status(one.value) for one in answers}
    healthy = sum(1 for one in live if states[one.instance.name] == Verdict.PASS)
    bad = [f"{one.instance.name}: {_trouble(one)}" for one in live if states[one.instance.name] != Verdict.PASS]
    slot = live[0].instance.slot
    value = f"{healthy} of {count(len(live), 'live instance')} healthy, {slot.version or 'no release'} on {slot.name}"
    detail = [f"{one.instance.name}: {_trouble(one) or 'every check passes'}" for one in answers]
    verdict = worst(states[one.instance.name] for one in live)
    return Reading("; ".join([value, *bad]), verdict, _page(subject.environment), lines(detail))


@provider("environments.components", "Components of the live system")
def components(subject: Subject) -> Reading:
    """Every check of every live instance."""
    answers = _healths(asking.live(subject.environment))
    if not answers:
        return NOTHING_LIVE
    found = [(one.instance, part) for one in answers for part in (one.value.components if one.value else ())]
    silent = [f"{one.instance.name} does not answer: {one.problem}" for one in answers if one.value is None]
    bad = [f"{_title(part)} {part.status}" for _, part in found if part.status != "pass"]
    passed = f"{sum(1 for _, part in found if part.status == 'pass')} of {count(len(found), 'check')} pass"
    detail = [f"{where.name}: {_title(part)}: {part.status} {part.detail}".rstrip() for where, part in found]
    verdicts = [Verdict(part.status) for _, part in found] + [Verdict.NO_DATA] * len(silent)
    value = "; ".join([passed, *bad, *silent] if found else silent) or "reports no checks"
    return Reading(value, worst(verdicts), _page(subject.environment), lines(detail + silent))


@provider("environments.versions", "Versions that run")
def versions(subject: Subject) -> Reading:
    """What each running instance says it is, against what was put into its slot."""
    answers = _healths(asking.running(subject.environment))
    if not answers:
        return NOTHING_LIVE
    detail, verdicts, wrong = [], [], []
    for one in answers:
        slot = one.instance.slot
        said = one.value.version if one.value else ""
        differs = one.value is not None and said != slot.version
        verdicts.append(Verdict.NO_DATA if one.value is None else Verdict.FAIL if differs else Verdict.PASS)
        words = f"says {said or 'no version'}" if one.value else f"does not answer: {one.problem}"
        detail.append(f"{one.instance.name} ({slot.name}, {slot.role}): {words}; release of the slot {slot.version}")
        if differs:
            wrong.append(f"{one.instance.name} says {said or 'no version'} instead of {slot.version}")
        elif one.value is None:
            wrong.append(f"{one.instance.name} does not answer")
    slots = {one.instance.slot.name: one.instance.slot for one in answers}
    value = ", ".join(f"{slot.version or 'nothing'} on {name} ({_role(subject, slot)})" for name, slot in slots.items())
    return Reading("; ".join([value, *wrong]), worst(verdicts), _page(subject.environment), lines(detail))


@provider("environments.error_rate", "Error rate")
def error_rate(subject: Subject) -> Reading:
    """Of the last minute, against the limits of the environment's rule and the last baseline."""
    now = minute(subject.environment)
    if now.problem or now.rates.error_rate is None:
        return now.without("no request")
    rule, base = _rule(subject.environment, RuleKind.ERROR_RATE), baseline(subject.environment)
    share, requests = now.rates.error_rate, round((now.rates.request_rate or 0) * now.rates.seconds)
    value = (
        f"{percent(share)} of {count(requests, 'request')} in the last minute{_against(base, 'error_rate', percent)}"
    )
    limits = [rule.fail] if rule and rule.fail is not None else []
    earlier = base.values.get("error_rate") if base else None
    if rule and rule.times_baseline and earlier:
        limits.append(rule.times_baseline * float(earlier))
    if limits:
        value += f", limit {percent(min(limits))}"
    if requests < (rule.minimum if rule else 0) and share:
        return now.told(f"{value}; too few requests to judge", Verdict.NO_DATA)
    failed = bool(limits) and share > min(limits)
    return now.told(value, Verdict.FAIL if failed else Verdict.PASS)


@provider("environments.latency", "Order latency")
def latency(subject: Subject) -> Reading:
    """The 99th percentile of the last minute, against 50 ms and the last baseline."""
    now = minute(subject.environment)
    if now.problem or now.rates.latency_p99_ms is None:
        return now.without("no order")
    rule, base = _rule(subject.environment, RuleKind.LATENCY), baseline(subject.environment)
    p99 = now.rates.latency_p99_ms
    value = f"p99 {milliseconds(p99)} over the last minute{_against(base, 'latency_p99_ms', milliseconds)}"
    earlier = base.values.get("latency_p99_ms") if base else None
    times = p99 / float(earlier) if earlier else None
    if p99 > LATENCY_LIMIT_MS:
        return now.told(f"{value}; above {LATENCY_LIMIT_MS:g} ms", Verdict.FAIL)
    if rule and times and rule.fail and times > rule.fail:
        return now.told(f"{value}; {times:.1f} times the baseline", Verdict.FAIL)
    if rule and times and rule.warn and times > rule.warn:
        return now.told(f"{value}; {times:.1f} times the baseline", Verdict.WARN)
    return now.told(f"{value}, limit {LATENCY_LIMIT_MS:g} ms", Verdict.PASS)


def _against(base: Baseline | None, key: str, words: Callable[[float], str]) -> str:
    known = base.values.get(key) if base else None
    if base is None or known is None:
        return ", no baseline"
    return f", baseline {words(float(known))} (deployment {base.deployment}, {moment(base.at)})"


def _rule(environment: Environment, kind: RuleKind) -> RuleSpec | None:
    return next((rule for rule in environment.policy.rules if rule.kind == kind), None)


def _healths(instances: list[Instance]) -> list[Answer[Health]]:
    return asking.ask(instances, lambda one: adapters.client(one, read_timeout=asking.READ_SECONDS).health())


def _status(found: Health | None) -> Verdict:
    return Verdict.FAIL if found is None else worst(Verdict(part.status) for part in found.components)


def _trouble(one: Answer[Health]) -> str:
    if one.value is None:
        return f"does not answer: {one.problem}"
    bad = [f"{_title(part)} {part.status}" for part in one.value.components if part.status != "pass"]
    return ", ".join(bad) if one.value.components else "reports no checks"


def _title(part: Component) -> str:
    return CHECK_TITLES.get(part.name.partition(":")[0], part.name)


def _role(subject: Subject, slot: Slot) -> str:
    return "live" if slot.pk == subject.environment.live_slot_id else slot.role


def _page(environment: Environment) -> str:
    return reverse("environment", args=[environment.name])
