"""Candles: what the price of every coin did, minute by minute, as far back as this process saw it."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from demo.exchange.market import COINS, Market
from demo.exchange.wire import BadRequest, number

MINUTE_MS = 60_000
KEPT_MINUTES = 3 * 24 * 60
INTERVALS = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "8h": 480, "1d": 1440}
MOST_ROWS = 5_000


@dataclass(slots=True)
class Bar:
    """One minute of one coin: prices in USD, volume in coins, number of trades. `start` in ms."""

    start: int
    open: Decimal
    close: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal = Decimal(0)
    trades: int = 0


class Candles:
    """Bars of every coin, fed with each tick and each fill."""

    def __init__(self) -> None:
        self._bars: dict[str, deque[Bar]] = {coin.name: deque(maxlen=KEPT_MINUTES) for coin in COINS}

    def tick(self, market: Market, now_ms: int) -> None:
        """Notes the present price of every coin."""
        start = now_ms - now_ms % MINUTE_MS
        for name, bars in self._bars.items():
            price = market.mid(name)
            if not bars or bars[-1].start != start:
                bars.append(Bar(start, price, price, price, price))
                continue
            bar = bars[-1]
            bar.close = price
            if price > bar.high:
                bar.high = price
            elif price < bar.low:
                bar.low = price

    def trade(self, coin: str, size: Decimal) -> None:
        """Notes a fill of `size` coins."""
        bars = self._bars[coin]
        if bars:
            bars[-1].volume += size
            bars[-1].trades += 1

    def answer(self, request: object) -> list[dict[str, Any]]:
        """Answer of `candleSnapshot`: {coin, interval, startTime, endTime}. Raises BadRequest."""
        if not isinstance(request, dict) or request.get("coin") not in self._bars:
            raise BadRequest("req.coin: is not a known coin")
        minutes = INTERVALS.get(str(request.get("interval")))
        start, end = request.get("startTime", 0), request.get("endTime", 2**63)
        if minutes is None or not isinstance(start, int) or not isinstance(end, int):
            raise BadRequest(f"req: interval must be one of {', '.join(INTERVALS)}; startTime and endTime are in ms")
        wanted = [bar for bar in self._bars[request["coin"]] if start - minutes * MINUTE_MS < bar.start <= end]
        rows = _joined(wanted, minutes * MINUTE_MS)
        return [_row(request, bar, minutes * MINUTE_MS) for bar in rows[-MOST_ROWS:]]


def _joined(bars: Iterable[Bar], width: int) -> list[Bar]:
    joined: list[Bar] = []
    for bar in bars:
        start = bar.start - bar.start % width
        if not joined or joined[-1].start != start:
            joined.append(Bar(start, bar.open, bar.close, bar.high, bar.low, bar.volume, bar.trades))
            continue
        last = joined[-1]
        last.close, last.high, last.low = bar.close, max(last.high, bar.high), min(last.low, bar.low)
        last.volume, last.trades = last.volume + bar.volume, last.trades + bar.trades
    return joined


def _row(request: dict[str, Any], bar: Bar, width: int) -> dict[str, Any]:
    return {
        "t": bar.start,
        "T": bar.start + width - 1,
        "s": request["coin"],
        "i": request["interval"],
        "o": number(bar.open),
        "c": number(bar.close),
        "h": number(bar.high),
        "l": number(bar.low),
        "v": number(bar.volume),
        "n": bar.trades,
    }
