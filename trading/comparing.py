"""Positions of a trading system against those of the exchange: numbers in, differences out. No database, no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

MOST_READS = 3


class Kind(StrEnum):
    """How a position differs; the values are those of the ops contract's ``class``."""

    SIZE = "size"
    SIDE = "side"
    MISSING_INTERNAL = "missing_internal"
    MISSING_EXCHANGE = "missing_exchange"


KIND_WORDS = {
    Kind.SIZE: "Another size",
    Kind.SIDE: "The other side",
    Kind.MISSING_INTERNAL: "Unknown to the system",
    Kind.MISSING_EXCHANGE: "Not at the exchange",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One symbol on which both sides do not agree. Sizes in coins; below zero is short, zero is no position."""

    symbol: str
    internal: Decimal
    exchange: Decimal

    @property
    def delta(self) -> Decimal:
        """What the exchange has more than the system."""
        return self.exchange - self.internal

    @property
    def kind(self) -> Kind:
        """The class."""
        if not self.internal:
            return Kind.MISSING_INTERNAL
        if not self.exchange:
            return Kind.MISSING_EXCHANGE
        return Kind.SIDE if (self.internal > 0) != (self.exchange > 0) else Kind.SIZE

    def as_json(self) -> dict[str, str]:
        """As it is kept and answered: exact decimals, as texts."""
        return {
            "symbol": self.symbol,
            "internal": plain(self.internal),
            "exchange": plain(self.exchange),
            "delta": plain(self.delta),
            "class": self.kind.value,
        }


@dataclass(frozen=True, slots=True)
class Settled:
    """What several reads of both sides say together."""

    differences: tuple[Difference, ...]
    """Those that count, as last read, by symbol."""
    is_open: bool
    """A symbol differed each time and by another amount each time: one more read tells."""


def plain(size: Decimal) -> str:
    """A decimal without exponent and without zeros at its end: ``0.01``, ``-2``, ``0``."""
    text = format(size, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def compare(internal: Mapping[str, Decimal], exchange: Mapping[str, Decimal]) -> list[Difference]:
    """Every symbol whose sizes are not exactly equal, by symbol; one that is missing has size zero."""
    nothing = Decimal(0)
    pairs = (
        Difference(symbol, internal.get(symbol, nothing), exchange.get(symbol, nothing))
        for symbol in sorted(internal.keys() | exchange.keys())
    )
    return [pair for pair in pairs if pair.delta]


def settle(reads: Sequence[Sequence[Difference]]) -> Settled:
    """Judge reads that were made one after the other, about a second apart.

    An order under way makes both sides differ for a moment, so one read is never enough: a difference counts when two
    reads after each other show the same delta (trading meanwhile moves both sides alike), or ``MOST_READS`` reads show
    one. Fewer than two reads with a difference in the last one leave it open.
    """
    if not reads or not reads[-1]:
        return Settled((), False)
    if len(reads) < 2:
        return Settled((), True)
    last, before = reads[-1], {one.symbol: one for one in reads[-2]}
    always = frozenset.intersection(*(frozenset(one.symbol for one in read) for read in reads[-MOST_READS:]))
    counted, is_open = [], False
    for one in last:
        earlier = before.get(one.symbol)
        if earlier is None:
            continue
        if earlier.delta == one.delta or (len(reads) >= MOST_READS and one.symbol in always):
            counted.append(one)
        else:
            is_open = len(reads) < MOST_READS
    return Settled(tuple(counted), is_open)
