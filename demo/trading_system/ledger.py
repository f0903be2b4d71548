"""Internal positions, kept from fills, and their differences from the exchange. Pure: no clock, no network."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .exchange import ExchangePosition, Fill

DifferenceClass = Literal["size", "missing_internal", "missing_exchange"]


@dataclass(slots=True)
class Held:
    """A net position: size in coins (negative is short), average entry price in USD."""

    size: Decimal
    entry: Decimal


@dataclass(frozen=True, slots=True)
class Difference:
    """One symbol in which the two books disagree; `delta` is exchange minus internal, in coins."""

    symbol: str
    internal: Decimal
    exchange: Decimal
    delta: Decimal
    kind: DifferenceClass


class Ledger:
    """Positions by symbol. `version` grows with every change, so that a reader can tell whether a snapshot is stale."""

    def __init__(self) -> None:
        self.positions: dict[str, Held] = {}
        self.version = 0

    def size(self, symbol: str) -> Decimal:
        """The net size in coins; zero when there is no position."""
        held = self.positions.get(symbol)
        return held.size if held else Decimal(0)

    def apply(self, fill: Fill) -> Decimal:
        """Books a fill; answers the profit in USD that it realised (zero when it only opened)."""
        self.version += 1
        change = fill.size if fill.side == "buy" else -fill.size
        held = self.positions.get(fill.symbol)
        if held is None:
            self.positions[fill.symbol] = Held(change, fill.price)
            return Decimal(0)
        if held.size * change > 0:
            held.entry = (held.entry * held.size + fill.price * change) / (held.size + change)
            held.size += change
            return Decimal(0)
        closed = min(abs(change), abs(held.size))
        profit = (fill.price - held.entry) * closed * (1 if held.size > 0 else -1)
        flips = abs(change) > abs(held.size)
        held.size += change
        if flips:
            held.entry = fill.price
        if not held.size:
            del self.positions[fill.symbol]
        return profit

    def adopt(self, positions: dict[str, ExchangePosition], symbols: frozenset[str] | None = None) -> None:
        """Takes the exchange's positions as the truth: all, or only those of these symbols."""
        self.version += 1
        kept = {} if symbols is None else {s: held for s, held in self.positions.items() if s not in symbols}
        taken = positions if symbols is None else {s: p for s, p in positions.items() if s in symbols}
        self.positions = kept | {symbol: Held(p.size, p.entry) for symbol, p in taken.items()}

    def differences(self, positions: dict[str, ExchangePosition]) -> list[Difference]:
        """Compares with the exchange, symbol by symbol, exactly."""
        found = []
        for symbol in sorted(self.positions.keys() | positions.keys()):
            internal = self.size(symbol)
            outside = positions[symbol].size if symbol in positions else Decimal(0)
            if internal != outside:
                kind: DifferenceClass = "size"
                if not internal or not outside:
                    kind = "missing_exchange" if internal else "missing_internal"
                found.append(Difference(symbol, internal, outside, outside - internal, kind))
        return found
