"""Comparing the system's positions with the exchange's, on a schedule and by hand, and taking over the exchange's.

The exchange is the truth. Every comparison is kept as a row; one that differs raises an alert, which the next equal one
clears. A comparison in which a side could not be read says nothing about the positions: it neither raises nor clears.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.domain import DomainError, InvalidRequest
from accounts.roles import RESUME, VIEW
from accounts.use_case import use_case
from alerts.actions import clear, raise_alert
from alerts.models import Alert
from audit.actions import record
from audit.actors import Actor, system
from audit.models import Outcome
from environments.models import Environment
from environments.permissions import require
from environments.secrets import SecretMissing
from environments.target import TargetError, TargetRefused
from trading import sides
from trading.comparing import KIND_WORDS, Difference, Kind, compare, settle
from trading.errors import Unreachable, WrongState
from trading.models import Comparison
from trading.positions import clean_reason, clean_symbol

CHECK = system("reconciliation")
SETTLE_SECONDS = 1.0
"""Between two reads of both sides; an order under way is over by then."""
SILENT_CHECKS = 3
"""So many comparisons without data after each other raise an alert."""
KEPT = timedelta(days=90)
MOST_SYMBOLS = 200
ALL = "all"
Verdict = Comparison.Verdict


@dataclass(frozen=True, slots=True)
class Measured:
    """What a comparison found."""

    verdict: str
    at: datetime
    differences: tuple[Difference, ...] = ()
    detail: str = ""
    """Why there is no data."""


def measure(environment: Environment) -> Measured:
    """Compare now: once when both sides are equal, else again until it is clear what counts (``comparing.settle``).

    Takes up to two seconds more than the reads.
    """
    reads: list[list[Difference]] = []
    while True:
        found = sides.positions(environment)
        if not found.are_known:
            return Measured(str(Verdict.NO_DATA), timezone.now(), detail=_why_no_data(found))
        reads.append(compare(*({one.symbol: one.size for one in side.rows} for side in (found.system, found.exchange))))
        settled = settle(reads)
        if not settled.is_open:
            verdict = Verdict.FAIL if settled.differences else Verdict.PASS
            return Measured(str(verdict), timezone.now(), settled.differences)
        Event().wait(SETTLE_SECONDS)


def check(environment: Environment) -> Comparison | None:
    """The scheduled comparison of one environment; None when it has nothing to compare, or another one is under way."""
    if not environment.exchange or not environment.writer_slot_id:
        return None
    with _alone(environment) as is_alone:
        return _keep(CHECK, environment, measure(environment)) if is_alone else None


def compare_now(actor: Actor, environment: Environment) -> Comparison:
    """Compare because somebody asks.

    Raises:
        Forbidden: the actor may not see the environment.
    """
    _may_look(actor, environment)
    return _keep(actor, environment, measure(environment))


def adopt(actor: Actor, environment: Environment, symbols: Sequence[str] | str, reason: str) -> Comparison:
    """Let the system take over the exchange's positions, read both back, and keep what was found then.

    Args:
        symbols: those to take over, or ``all``.

    Raises:
        Forbidden: the actor may not resume trading here.
        InvalidRequest: symbols or reason are wrong.
        WrongState: nothing differs in them, or the system refuses; nothing was done.
        Unreachable: a side cannot be read, or the system did not answer.
    """
    reason = _permit_adoption(actor, environment, reason)
    wanted = clean_symbols(symbols)
    before = _differing(environment, wanted)
    names = [one.symbol for one in before]
    state = {"differences": [one.as_json() for one in before]}
    _note(actor, environment, Outcome.INTENT, reason, state, {"symbols": names})
    error = _ask_to_adopt(actor, environment, None if wanted is None else names, reason)
    measured = measure(environment)
    left = [one for one in measured.differences if wanted is None or one.symbol in wanted]
    is_done = measured.verdict != Verdict.NO_DATA and not left
    with transaction.atomic():
        kept = _keep(actor, environment, measured, adopted=names if is_done else ())
        after = {"symbols": names, "verdict": kept.verdict, "differences": kept.differences, "detail": kept.detail}
        _note(actor, environment, Outcome.DONE if is_done else Outcome.FAILED, reason, state, after)
    if not is_done:
        raise _not_adopted(error, measured, left)
    return kept


def prune(now: datetime | None = None) -> int:
    """Delete what is older than 90 days; comparisons with differences and take-overs are kept for ever."""
    old = Comparison.objects.filter(at__lt=(now or timezone.now()) - KEPT, adopted=[])
    return old.exclude(verdict=Verdict.FAIL).delete()[0]


def clean_symbols(symbols: Sequence[str] | str) -> list[str] | None:
    """The symbols that are meant; None for all.

    Raises:
        InvalidRequest: there is none, there are too many, or one is written wrongly.
    """
    if symbols == ALL:
        return None
    if isinstance(symbols, str) or not symbols:
        raise InvalidRequest("symbols", f"Name the symbols as a list, or write {json.dumps(ALL)}.")
    if len(symbols) > MOST_SYMBOLS:
        raise InvalidRequest("symbols", f"These are {len(symbols)}; at most {MOST_SYMBOLS} at once.")
    try:
        return sorted({clean_symbol(one) for one in symbols})
    except InvalidRequest as error:
        raise InvalidRequest("symbols", str(error)) from None


@use_case
def _may_look(actor: Actor, environment: Environment) -> None:
    require(actor, VIEW, environment)


@use_case
def _permit_adoption(actor: Actor, environment: Environment, reason: str) -> str:
    require(actor, RESUME, environment)
    return clean_reason(reason)


def _differing(environment: Environment, wanted: list[str] | None) -> list[Difference]:
    """What would be taken over, as it is now."""
    measured = measure(environment)
    if measured.verdict == Verdict.NO_DATA:
        raise Unreachable(f"{measured.detail} Both sides must be read, before and after. Nothing was done.")
    found = [one for one in measured.differences if wanted is None or one.symbol in wanted]
    if not found:
        where = "" if wanted is None else f" in {', '.join(wanted)}"
        raise WrongState(f"System and exchange agree{where}. Nothing was done.")
    return found


def _ask_to_adopt(actor: Actor, environment: Environment, symbols: list[str] | None, reason: str) -> DomainError | None:
    try:
        sides.writer(environment)[1].reconcile(actor.name, reason, symbols)
    except TargetRefused as error:
        return WrongState(f"The trading system refused: {error.detail or error.title}.")
    except (TargetError, SecretMissing, sides.NotThere) as error:
        return Unreachable(f"The trading system did not do it: {str(error).rstrip('.')}.")
    return None


def _not_adopted(error: DomainError | None, measured: Measured, left: Sequence[Difference]) -> DomainError:
    if measured.verdict == Verdict.NO_DATA:
        return Unreachable(f"{error or 'It was asked for.'} It is NOT confirmed: {measured.detail}")
    names = ", ".join(one.symbol for one in left)
    words = f"{error or 'The system says that it did it.'} Read back: {names} still differ{'s' * (len(left) == 1)}."
    return (type(error) if error else WrongState)(f"{words} Try again; if it stays, halt the system and look closer.")


def _keep(actor: Actor, environment: Environment, measured: Measured, adopted: Sequence[str] = ()) -> Comparison:
    """The row, and what follows from it."""
    with transaction.atomic():
        last = Comparison.objects.filter(environment=environment).exclude(verdict=Verdict.NO_DATA).first()
        kept = Comparison.objects.create(
            environment=environment,
            at=measured.at,
            verdict=measured.verdict,
            differences=[one.as_json() for one in measured.differences],
            detail=measured.detail,
            adopted=list(adopted),
            actor_name="" if actor.is_system else actor.name,
        )
        _tell(environment, measured, kept)
        is_news = last is None or last.verdict != Verdict.FAIL or last.differences != kept.differences
        if kept.verdict == Verdict.FAIL and is_news:
            after = {"differences": kept.differences}
            record(actor, "positions.compared", environment, environment=environment.name, after=after)
    return kept


def _tell(environment: Environment, measured: Measured, kept: Comparison) -> None:
    """Raise and clear alerts."""
    link = f"/positions/reconciliation/?environment={environment.name}"
    contact_key = f"{environment.name}:positions"
    if measured.verdict == Verdict.NO_DATA:
        recent = list(Comparison.objects.filter(environment=environment)[:SILENT_CHECKS])
        if len(recent) == SILENT_CHECKS and all(one.verdict == Verdict.NO_DATA for one in recent):
            title = f"Positions of {environment.name} cannot be compared with the exchange"
            severity = Alert.Severity.WARNING
            detail = f"{SILENT_CHECKS} comparisons without data after each other. {measured.detail}"
            args: dict[str, Any] = {"severity": severity, "title": title, "detail": detail, "link": link}
            raise_alert("contact", contact_key, environment=environment, actor=CHECK, **args)
        return
    clear("contact", contact_key, actor=CHECK)
    if not measured.differences:
        clear("mismatch", environment.name, actor=CHECK)
        return
    names = ", ".join(one.symbol for one in measured.differences)
    raise_alert(
        "mismatch",
        environment.name,
        severity=Alert.Severity.CRITICAL,
        title=f"Positions differ from the exchange in {environment.name}: {names}",
        environment=environment,
        detail="\n".join(in_words(one) for one in kept.differences),
        link=link,
        actor=CHECK,
    )


def in_words(difference: dict[str, str]) -> str:
    """``BTC: the system keeps 0, the exchange says 0.02 (unknown to the system)``."""
    kind = KIND_WORDS[Kind(difference["class"])].lower()
    return (
        f"{difference['symbol']}: the system keeps {difference['internal']}, the exchange says "
        f"{difference['exchange']} ({kind})"
    )


def _why_no_data(found: sides.Sides[Any]) -> str:
    named = (("The trading system", found.system), ("The exchange", found.exchange))
    return " ".join(f"{name} cannot be read: {side.problem.rstrip('.')}." for name, side in named if not side.is_known)


@contextmanager
def _alone(environment: Environment) -> Iterator[bool]:
    """Whether no other comparison of the environment runs on a schedule; the lock ends with the block."""
    with connection.cursor() as cursor:
        key = f"comparison {environment.pk}"
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [key])
        taken = bool(cursor.fetchone()[0])
        try:
            yield taken
        finally:
            if taken:
                cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])


def _note(actor: Actor, environment: Environment, outcome: str, reason: str, before: Any, after: Any) -> None:
    with transaction.atomic():
        record(
            actor,
            "positions.adopted",
            environment,
            environment=environment.name,
            outcome=outcome,
            reason=reason,
            before=before,
            after=after,
        )
