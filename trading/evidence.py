"""What the console sees beside each question: readings of this moment, in words, kept with the answer."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from environments import adapters
from environments.models import Instance
from environments.secrets import SecretMissing
from environments.target import TargetError, Trade
from trading.breaker_words import measured, title
from trading.models import BreakerTrip
from trading.seen import READ_SECONDS, InstanceSeen, Seen, last_trades

Evidence = dict[str, list[str]]
NO_DATA = "No data: the trading system does not answer."


def for_validation(trip: BreakerTrip, now: InstanceSeen | None) -> Evidence:
    """Beside the three questions before a reset."""
    found = title(trip.reason_code)
    reason = f"{found}: {trip.reason}" if trip.reason else found
    fixed = [reason, f"Opened {trip.tripped_at:%Y-%m-%d %H:%M:%S} UTC."]
    if trip.observed and trip.threshold:
        fixed.append(
            f"{measured(trip.reason_code, trip.observed)} against a limit of "
            f"{measured(trip.reason_code, trip.threshold)}."
        )
    return {"fixed": fixed, "legitimate": _trades(trip.instance), "healthy": _health(now)}


def for_release(now: Seen) -> Evidence:
    """Beside the four questions before a release."""
    stop = now.stop
    reason = ["No emergency stop is kept; the latch file alone says that it is engaged."]
    flat = ["No data: no stop is kept."]
    if stop is not None:
        why = stop.reason or "No reason was stated."
        reason = [f"Pressed by {stop.actor_name}, {stop.pressed_at:%Y-%m-%d %H:%M:%S} UTC: {why}"]
        flat = [
            f"{stop.get_outcome_display()}." if stop.outcome else "The stop has no outcome yet.",
            _left(stop.remaining),
        ]
    return {"reason": reason, "flat": flat, "reconciled": [_positions(now)], "version": _versions(now)}


def _left(remaining: object) -> str:
    if not isinstance(remaining, dict):
        return "Nothing is known to be left."
    unread = remaining.get("unread")
    if unread:
        return f"Not everything could be read at the exchange: {unread}"
    counts = [
        f"{len(found)} {name}" for name in ("orders", "positions") if isinstance(found := remaining.get(name), list)
    ]
    return (
        f"At the last read of the exchange: {' and '.join(counts)} left." if counts else "Nothing is known to be left."
    )


def _positions(now: Seen) -> str:
    if now.mismatches is None:
        return f"No data: {now.compared}."
    if now.mismatches:
        return f"Different: {', '.join(now.mismatches)} ({now.compared})."
    return f"Equal ({now.compared})."


def _versions(now: Seen) -> list[str]:
    slot = now.environment.writer_slot
    found = [f"{slot.name} is to trade, with {slot.version or 'no known version'}." if slot else "No slot is to trade."]
    for one in now.writers:
        if one.state is None:
            found.append(f"{one.instance.name} does not answer.")
        else:
            found.append(f"{one.instance.name} runs {one.state.version or 'no stated version'}, {one.state.role}.")
    return found


def _health(now: InstanceSeen | None) -> list[str]:
    if now is None or now.health is None:
        return [NO_DATA + (f" {now.problem}" if now and now.problem else "")]
    found = [f"{one.title}: {one.status}{f', {one.detail}' if one.detail else ''}" for one in now.components]
    return found or ["It reports no checks."]


def _trades(instance: Instance | None) -> list[str]:
    if instance is None:
        return ["No data: the instance is no longer part of the environment."]
    try:
        found = last_trades(adapters.client(instance, read_timeout=READ_SECONDS))
    except (TargetError, SecretMissing) as error:
        return [f"{NO_DATA} {error}"]
    return (
        [_summary(found), *(_trade(one) for one in reversed(found) if one.outcome != "win")]
        if found
        else ["It has no trades yet."]
    )


def _summary(trades: Sequence[Trade]) -> str:
    total = sum((one.pnl for one in trades if one.pnl is not None), Decimal(0))
    counts = {name: sum(1 for one in trades if one.outcome == name) for name in ("win", "loss", "failed")}
    words = f"{counts['win']} won, {counts['loss']} lost, {counts['failed']} failed"
    return f"The last {len(trades)} trades: {words}, PnL {total:+.2f}."


def _trade(trade: Trade) -> str:
    if trade.outcome == "failed":
        return f"{trade.at:%H:%M:%S} {trade.symbol} failed ({trade.strategy})"
    price, pnl = trade.price, trade.pnl
    return f"{trade.at:%H:%M:%S} {trade.side} {trade.size} {trade.symbol} at {price}: {pnl:+.2f} ({trade.strategy})"
