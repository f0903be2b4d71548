"""Channel B's hands: each request to the exchange in a thread of its own, which posts what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from trading.exchange.base import Exchange, ExchangeError, ExchangeRefused, OpenOrder, Position
from trading.exchange.open import open_exchange
from trading.stop import snapshot as snapshots
from trading.stop.plan import Part, Round, Unit
from trading.stop.settings import StopSettings
from trading.stop.tasks import start

DEAD_MAN_SECONDS = 8.0
"""From the press; the exchange refuses a time that is nearer than 5 s."""
LISTED = 200
"""So many orders or positions are listed in one entry."""
Post = Callable[..., None]


def open_account(settings: StopSettings, timeout: float, post: Post, *, at_once: bool = False) -> None:
    """Posts ``opened`` with the exchange and the snapshot (or None), or ``not_opened`` with the reason.

    ``at_once``: in this thread, when it takes two milliseconds only: the SDK is loaded, and nothing must be asked.
    """

    def work() -> None:
        try:
            snapshot = _usable(settings)
            markets = snapshot.markets if snapshot else None
            exchange = open_exchange(settings.exchange, timeout=timeout, markets=markets)
            if snapshot is None:
                exchange.load_markets()
            post("opened", exchange, snapshot)
        except Exception as error:  # a stop goes on without its second channel, and says so
            post("not_opened", _text(error))

    if at_once and "trading.exchange.hyperliquid" in sys.modules and settings.snapshot_path.is_file():
        work()
    else:
        start(work, name="stop-open")


def write(exchange: Exchange, plan: Round, post: Post) -> int:
    """Send every batch of a round; how many. Posts ``written`` for each: round, what, ms, items, results, error."""

    def work(what: str, items: Sequence[Any], call: Callable[[], Sequence[Any]]) -> None:
        began = time.monotonic()
        try:
            results, error = call(), None
        except ExchangeError as failed:
            results, error = (), failed
        except Exception as failed:  # never silently: it counts as lost, and the next round sends it again
            results, error = (), ExchangeError(_text(failed))
        post("written", plan.number, what, round((time.monotonic() - began) * 1000), items, results, error)

    for cancels in plan.cancels:
        start(work, "cancel", cancels, lambda items=cancels: exchange.cancel(items), name="stop-cancel")
    for closes in plan.closes:
        call = lambda items=closes: exchange.close(items, slippage=plan.slippage)  # noqa: E731
        start(work, "close", closes, call, name="stop-close")
    return len(plan.cancels) + len(plan.closes)


def read(exchange: Exchange, unit: Unit, post: Post) -> None:
    """Read every part. Posts ``part`` for each: unit, part, what was found, error, whether the rate limit is spent."""

    def work(part: Part) -> None:
        kind, section = part
        try:
            found = exchange.open_orders(section) if kind == "orders" else exchange.positions(section)
            post("part", unit, part, found, "", False)
        except Exception as error:
            busy = isinstance(error, ExchangeRefused) and error.busy
            post("part", unit, part, None, _text(error), busy)

    for part in sorted(unit.waiting):
        start(work, part, name=f"stop-read-{part[0]}")


def arm_dead_man(exchange: Exchange, post: Post) -> None:
    """Ask the exchange to cancel everything by itself soon, whatever becomes of us. Posts ``dead_man``: error or ""."""

    def work() -> None:
        try:
            exchange.arm_dead_man(time.time() + DEAD_MAN_SECONDS)
            post("dead_man", "")
        except Exception as error:
            post("dead_man", _text(error))

    start(work, name="stop-dead-man")


def result_rows(items: Sequence[Any], results: Sequence[Any], error: Exception | None) -> list[dict[str, Any]]:
    """What became of each item of a batch, as the journal keeps it."""
    if error is not None:
        status = "refused" if isinstance(error, ExchangeRefused) else "lost"
        return [_key(item) | {"status": status, "detail": str(error)} for item in items]
    return [{name: _plain(value) for name, value in _values(result).items()} for result in results]


def order_row(order: OpenOrder) -> dict[str, Any]:
    """An order as the journal keeps it."""
    row = {"oid": order.oid, "coin": order.coin, "side": order.side, "size": str(order.size)}
    return row | {"price": str(order.price), "trigger": order.trigger}


def position_row(position: Position) -> dict[str, Any]:
    """A position as the journal keeps it."""
    value = abs(position.size) * position.mark if position.mark is not None else None
    return {"coin": position.coin, "size": str(position.size), "value": None if value is None else f"{value:.2f}"}


def _usable(settings: StopSettings) -> snapshots.Snapshot | None:
    found = snapshots.read(settings.snapshot_path)
    account = settings.exchange.get("vault") or settings.exchange.get("account")
    fits = found is not None and (found.account, found.url) == (account, settings.exchange.get("url"))
    return found if fits else None


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, ExchangeError) else f"{type(error).__name__}: {error}"


def _key(item: OpenOrder | Position) -> dict[str, Any]:
    return {"oid": item.oid, "coin": item.coin} if isinstance(item, OpenOrder) else {"coin": item.coin}


def _values(result: Any) -> Mapping[str, Any]:
    return {name: getattr(result, name) for name in result.__slots__}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value
