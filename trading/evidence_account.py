"""What a checklist asks about the account: the exchange's round trip, capital, and the trades that were closed.

The ops contract lists trades upwards by their number only, so a moment is looked for by halving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median
from time import monotonic
from zoneinfo import ZoneInfo

from django.urls import reverse

from environments import adapters, asking
from environments.evidence import Reading, Subject, Verdict, provider
from environments.evidence_words import count, lines, milliseconds, percent, worst
from environments.models import Environment
from environments.policy import RuleKind
from environments.recent import Baseline, baseline
from environments.target import MAX_TRADES, TargetClient, Trade
from trading import sides
from trading.exchange.base import Balance, Exchange, ExchangeError, all_positions, whole_balance
from trading.seen import last_trades

PINGS, PING_SECONDS = 5, 1.5
SLOW_MS = 250.0
"""A round trip to the exchange beyond this warns."""
MUCH, TOO_MUCH = Decimal("0.80"), Decimal("0.95")
"""Share of the account that backs positions: beyond it warns, and fails."""
MOST_READ = 2_000
"""So many trades of a day are read one by one."""
COMPARED = 200
"""So many of the last trades are compared with as many before."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What asking the exchange for its prices a few times took."""

    took: tuple[float, ...]
    """Milliseconds of those that were answered."""
    lost: tuple[str, ...]
    """Why the others were not."""


@provider("trading.exchange", "Round trip to the exchange")
def exchange(subject: Subject) -> Reading:
    """Its prices are asked for, up to five times; one that does not answer fails: that is what was asked."""
    link = reverse("environment", args=[subject.environment.name])
    if not subject.environment.exchange:
        return Reading(sides.NO_EXCHANGE, Verdict.NO_DATA, link)
    found = sides.at_exchange(subject.environment, lambda one: [_ping(one)])
    if not found.is_known:
        return Reading(f"The exchange does not answer: {found.problem}", Verdict.FAIL, link)
    trip = found.rows[0]
    asked = len(trip.took) + len(trip.lost)
    if not trip.took:
        return Reading(f"The exchange does not answer: {trip.lost[0]}", Verdict.FAIL, link)
    middle = median(trip.took)
    worst_case = milliseconds(max(trip.took))
    value = f"{milliseconds(middle)} in the middle, {worst_case} at worst, {len(trip.lost)} of {asked} lost"
    detail = [f"Answered in {milliseconds(one)}" for one in trip.took] + [f"Lost: {one}" for one in trip.lost]
    return Reading(value, Verdict.WARN if trip.lost or middle > SLOW_MS else Verdict.PASS, link, lines(detail))


@provider("trading.capital", "Use of the capital")
def capital(subject: Subject) -> Reading:
    """What the account is worth, and how much of it backs open positions."""
    link = reverse("positions") + f"?environment={subject.environment.name}"
    found = sides.at_exchange(subject.environment, lambda one: [(whole_balance(one), all_positions(one))])
    if not found.is_known:
        return Reading(f"The exchange cannot be read: {found.problem}", Verdict.NO_DATA, link)
    account, held = found.rows[0]
    exposure = sum((abs(one.size) * one.mark for one in held if one.mark is not None), Decimal(0))
    value = f"Account worth {account.value:,.2f} USD, {_share(account)} of it backs positions worth {exposure:,.2f} USD"
    detail = [
        f"Account value: {account.value:,.2f} USD",
        f"Margin in use: {account.margin:,.2f} USD",
        *(f"{one.coin} {one.size}: {abs(one.size) * one.mark:,.2f} USD" for one in held if one.mark is not None),
    ]
    if account.value <= 0:
        return Reading(value, Verdict.FAIL, link, lines(detail))
    used = account.margin / account.value
    verdict = Verdict.FAIL if used > TOO_MUCH else Verdict.WARN if used > MUCH else Verdict.PASS
    return Reading(value, verdict, link, lines(detail))


@provider("trading.trades_yesterday", "Trades of yesterday")
def trades_yesterday(subject: Subject) -> Reading:
    """Of the day before today in the environment's time zone; orders that failed, or no trade at all, warn."""
    zone = ZoneInfo(subject.environment.timezone)
    end = datetime.now(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = (end - timedelta(hours=12)).replace(hour=0)  # also where a day has 23 or 25 hours
    found, problem = _ask_writers(subject.environment, lambda client: _day(client, begin, end))
    link, name = reverse("deployments"), f"{begin:%Y-%m-%d} ({subject.environment.timezone})"
    if found is None:
        return Reading(f"The trading system cannot be read: {problem}", Verdict.NO_DATA, link)
    if not found:
        return Reading(f"No trade was closed on {name}", Verdict.WARN, link)
    failed = any(one.outcome == "failed" for one in found)
    value = f"{name}: {_summary(found)}"
    value += f"; only the first {len(found):,} of the day were read" if len(found) >= MOST_READ else ""
    value += f"; not read: {problem}" if problem else ""
    detail = [*_by("strategy", found), *_by("symbol", found), *_failures(found)]
    return Reading(value, Verdict.WARN if failed or problem else Verdict.PASS, link, lines(detail))


@provider("trading.win_rate", "Win rate and its trend")
def win_rate(subject: Subject) -> Reading:
    """The last 200 trades against the 200 before and the last baseline; each strategy in the detail."""
    found, problem = _ask_writers(subject.environment, lambda client: _last(client, 2 * COMPARED))
    link = reverse("environment", args=[subject.environment.name])
    if found is None:
        return Reading(f"The trading system cannot be read: {problem}", Verdict.NO_DATA, link)
    rule = next((one for one in subject.environment.policy.rules if one.kind == RuleKind.WIN_RATE), None)
    needed = max(rule.minimum if rule else 0, 1)
    closed = [one for one in found if one.outcome in ("win", "loss")]
    recent, before = closed[-COMPARED:], closed[-2 * COMPARED : -COMPARED]
    if len(recent) < needed:
        return Reading(f"{count(len(recent), 'closed trade')}; {needed} are needed", Verdict.NO_DATA, link)
    now, base = _won(recent), baseline(subject.environment)
    others = {"the trades before": _won(before) if len(before) >= needed else None, "the baseline": _kept(base)}
    known = {name: share for name, share in others.items() if share}
    against = ", ".join(f"{name} {percent(share)}" for name, share in known.items()) or "nothing to compare with"
    drops = [1 - now / share for share in known.values()]
    verdict = worst(_judge(drop, rule.warn if rule else None, rule.fail if rule else None) for drop in drops)
    detail = [*_by("strategy", recent, "The last trades"), *_by("strategy", before, "The trades before")]
    value = f"{percent(now)} of the last {count(len(recent), 'trade')}; {against}"
    return Reading(value, verdict if drops else Verdict.PASS, link, lines(detail))


def _ping(exchange: Exchange) -> Trip:
    took: list[float] = []
    lost: list[str] = []
    began = monotonic()
    while len(took) + len(lost) < PINGS and monotonic() - began < PING_SECONDS:
        start = monotonic()
        try:
            exchange.mids()
            took.append((monotonic() - start) * 1000)
        except ExchangeError as error:
            lost.append(str(error))
    return Trip(tuple(took), tuple(lost))


def _ask_writers(
    environment: Environment, question: Callable[[TargetClient], Sequence[Trade]]
) -> tuple[list[Trade] | None, str]:
    """What the instances that trade list, each trade once, oldest first; None with the reason when none answers."""
    writers = sides.writers(environment)
    if not writers:
        return None, sides.NO_WRITER
    answers = asking.ask(writers, lambda one: question(adapters.client(one, read_timeout=asking.READ_SECONDS)))
    silent = "; ".join(f"{one.instance.name}: {one.problem}" for one in answers if one.value is None)
    if all(one.value is None for one in answers):
        return None, silent
    # Instances may share a book, and then list the same trades.
    found = {(one.at, one.id, one.symbol): one for answer in answers for one in answer.value or ()}
    return [found[key] for key in sorted(found)], silent


def _day(client: TargetClient, begin: datetime, end: datetime) -> list[Trade]:
    """The trades of a time, ``MOST_READ`` of them at most and then those that came first."""
    after, found = _number_before(client, begin), list[Trade]()
    while len(found) < MOST_READ and (page := client.trades(after=after, limit=MAX_TRADES)):
        found += [one for one in page if begin <= one.at < end]
        after = page[-1].id
        if page[-1].at >= end or len(page) < MAX_TRADES:
            break
    return found


def _number_before(client: TargetClient, moment: datetime) -> int:
    """A number such that every trade since ``moment`` has a larger one, and no earlier one but by its gaps."""

    def is_before(number: int) -> bool:
        following = client.trades(after=number, limit=1)
        return bool(following) and following[0].at < moment

    if not is_before(0):
        return 0
    low, high = 0, 1
    while is_before(high):  # ends: trades are finite, and the step doubles
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_before(middle) else (low, middle)
    return high


def _last(client: TargetClient, wanted: int) -> list[Trade]:
    """The newest trades, oldest first; about as many as wanted, since numbers may have gaps."""
    newest = last_trades(client, 1)
    if not newest:
        return []
    after, found = max(0, newest[-1].id - wanted), list[Trade]()
    while len(found) < wanted and (page := client.trades(after=after, limit=MAX_TRADES)):
        found += page
        after = page[-1].id
    return found


def _won(trades: Sequence[Trade]) -> float:
    return sum(1 for one in trades if one.outcome == "win") / len(trades)


def _kept(base: Baseline | None) -> float | None:
    share = base.values.get("win_rate") if base else None
    return None if share is None else float(share)


def _judge(drop: float, warn: float | None, fail: float | None) -> Verdict:
    """How a relative drop of the win rate is judged; the limits are those of the environment's rule."""
    if fail is not None and drop > fail:
        return Verdict.FAIL
    return Verdict.WARN if warn is not None and drop > warn else Verdict.PASS


def _summary(trades: Sequence[Trade]) -> str:
    """``41 closed, 25 won (61.0 %), +12.40 USD, 1 order failed``."""
    closed = [one for one in trades if one.outcome in ("win", "loss")]
    failed = len(trades) - len(closed)
    won = sum(1 for one in closed if one.outcome == "win")
    share = f" ({percent(won / len(closed))})" if closed else ""
    pnl = sum((one.pnl for one in closed if one.pnl is not None), Decimal(0))
    words = f"{len(closed):,} closed, {won:,} won{share}, {pnl:+,.2f} USD"
    return words + (f", {count(failed, 'order')} failed" if failed else "")


def _by(name: str, trades: Sequence[Trade], title: str = "") -> list[str]:
    """A line for each strategy or symbol."""
    groups: dict[str, list[Trade]] = {}
    for one in trades:
        groups.setdefault(str(getattr(one, name)), []).append(one)
    head = f"{title or 'Trades'} by {name}:"
    return [head, *(f"  {key}: {_summary(groups[key])}" for key in sorted(groups))] if groups else []


def _failures(trades: Sequence[Trade]) -> list[str]:
    return [
        f"{one.at:%H:%M:%S} UTC: order of {one.strategy} in {one.symbol} failed"
        for one in trades
        if one.outcome == "failed"
    ]


def _share(account: Balance) -> str:
    return percent(float(account.margin / account.value)) if account.value > 0 else "all"
