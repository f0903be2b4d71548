"""What the pages of positions, orders and reconciliation show. Each page reads both sides anew (``sides.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

from accounts.roles import RESUME, STOP, roles_with
from environments.models import Environment
from environments.permissions import permissions_of
from trading import queries, sides
from trading.comparing import KIND_WORDS, Difference, Kind, compare, plain
from trading.models import Comparison
from trading.sides import Held, Resting, Sides
from trading.ways import Via

HISTORY = 50
PRICE_DECIMALS = 6
"""An average price may have any number of them."""
MINUS = "\N{MINUS SIGN}"
CAUSES = (
    (
        "Missed fill notification",
        "The exchange filled an order and the system was not told. Its log has no fill at the time of the change.",
    ),
    (
        "Duplicate order submission",
        "An order was sent twice, often after a reply that was lost. The exchange lists two fills, the system one.",
    ),
    (
        "Exchange-side fill not recorded",
        "A liquidation, a trigger order, or somebody who traded by hand. The exchange lists a fill no order of the "
        "system explains.",
    ),
)
"""Specification, part 9, each with how it is told from the others."""
T = TypeVar("T", Held, Resting)


@dataclass(frozen=True, slots=True)
class Place:
    """The environment of a page, and what who looks may do there."""

    environment: Environment
    choices: tuple[Environment, ...]
    may: frozenset[str]

    @property
    def may_stop(self) -> bool:
        """Whether they may close positions and cancel orders."""
        return STOP in self.may

    @property
    def may_adopt(self) -> bool:
        """Whether they may take over the exchange's positions."""
        return RESUME in self.may

    @property
    def who_may_stop(self) -> str:
        """Roles that may."""
        return _who(STOP, self.environment)

    @property
    def who_may_adopt(self) -> str:
        """Roles that may."""
        return _who(RESUME, self.environment)

    @property
    def filters(self) -> list[dict[str, Any]]:
        """For ``ui/filter_bar.html``."""
        options = [(one.name, one.name.capitalize()) for one in self.choices]
        return [
            {"name": "environment", "label": "Environment", "options": options, "value": self.environment.name},
        ]


@dataclass(frozen=True, slots=True)
class PositionRow:
    """One symbol on both sides."""

    symbol: str
    system: Held | None
    exchange: Held | None
    difference: Difference | None
    """As this one read shows it; only a comparison tells whether it stays."""

    @property
    def sizes(self) -> tuple[str, str]:
        """The system's and the exchange's size, exact."""
        return (
            size(self.system.size if self.system else Decimal()),
            size(self.exchange.size if self.exchange else Decimal()),
        )

    @property
    def words(self) -> str:
        """How it differs; empty when it does not."""
        return KIND_WORDS[self.difference.kind] if self.difference else ""

    @property
    def delta(self) -> str:
        """What the exchange has more, with its sign."""
        return signed(self.difference.delta) if self.difference else ""

    @property
    def entry(self) -> str:
        """In USD, the exchange's word first."""
        return price(self._first("entry"))

    @property
    def mark(self) -> str:
        """In USD; the system knows it, too."""
        return price(self._first("mark"))

    @property
    def pnl(self) -> Decimal | None:
        """Unrealised, in USD."""
        return self._first("pnl")

    @property
    def effect(self) -> str:
        """What closing it sends: ``Buys 0.4 ETH``; empty when the exchange's side is not known."""
        held = self.exchange.size if self.exchange else Decimal()
        return f"{'Sells' if held > 0 else 'Buys'} {plain(abs(held))} {self.symbol}" if held else ""

    @property
    def advice(self) -> Via:
        """Which way closing should take: the system can only close what it keeps."""
        return Via.SYSTEM if self.system is not None and self.system.size else Via.EXCHANGE

    @property
    def can_close(self) -> bool:
        """Whether there may be something to close: only the exchange's own "none" says that there is not."""
        return self.exchange is None or bool(self.exchange.size)

    def _first(self, name: str) -> Decimal | None:
        found = (getattr(side, name) for side in (self.exchange, self.system) if side is not None)
        return next((value for value in found if value is not None), None)


@dataclass(frozen=True, slots=True)
class OrderRow:
    """One open order on both sides."""

    order: Resting
    """As the exchange says it, else as the system."""
    where: str
    """Who has it: ``both``, ``system``, ``exchange``; ``system?``, ``exchange?`` when the other one cannot be read."""
    differs: bool

    @property
    def size(self) -> str:
        """What remains, in coins."""
        return size(self.order.size)

    @property
    def price(self) -> str:
        """In USD."""
        return price(self.order.price)


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A page of positions or of orders."""

    place: Place
    sides: Sides[T]
    rows: tuple[Any, ...]
    last: Comparison | None = None

    @property
    def differing(self) -> int:
        """How many rows differ in this one read."""
        return sum(bool(getattr(row, "difference", None) or getattr(row, "differs", False)) for row in self.rows)

    @property
    def advice(self) -> Via:
        """Which way an act should take now: directly when the system cannot be read."""
        return Via.SYSTEM if self.sides.system.is_known else Via.EXCHANGE

    @property
    def symbols(self) -> list[str]:
        """Symbols of the orders, for cancelling those of one."""
        return sorted({row.order.symbol for row in self.rows})

    @property
    def pnl(self) -> Decimal | None:
        """Unrealised profit of all positions in USD; None when one is not known."""
        found = [row.pnl for row in self.rows]
        return None if None in found else sum(found, Decimal())

    @property
    def has_mismatch(self) -> bool:
        """Whether the last comparison found one."""
        return self.last is not None and self.last.verdict == Comparison.Verdict.FAIL


def place(user: Any, name: str = "") -> Place | None:
    """The environment that is meant, else the first, production before others; None when the person sees none.

    Raises:
        Environment.DoesNotExist: the person sees none of this name.
    """
    choices = queries.trading_environments(user)
    if not choices and not name:
        return None
    found = next((one for one in choices if one.name == name or not name), None)
    if found is None:
        raise Environment.DoesNotExist
    return Place(found, tuple(choices), permissions_of(user, choices)[found.name])


def positions(where: Place) -> Listing[Held]:
    """The positions of both sides."""
    found = sides.positions(where.environment)
    rows = position_rows(found)
    return Listing(where, found, tuple(rows), queries.last_comparison(where.environment))


def orders(where: Place) -> Listing[Resting]:
    """The open orders of both sides."""
    found = sides.orders(where.environment)
    return Listing(where, found, tuple(order_rows(found)))


def position_rows(found: Sides[Held]) -> list[PositionRow]:
    """One row for each symbol, differing ones first; a side that cannot be read differs from nothing."""
    system, exchange = _by_symbol(found.system.rows), _by_symbol(found.exchange.rows)
    different: dict[str, Difference] = {}
    if found.are_known:
        sizes = ({key: one.size for key, one in side.items()} for side in (system, exchange))
        different = {one.symbol: one for one in compare(*sizes)}
    rows = [
        PositionRow(
            symbol,
            _or_none(system, symbol, found.system.is_known),
            _or_none(exchange, symbol, found.exchange.is_known),
            different.get(symbol),
        )
        for symbol in sorted(system.keys() | exchange.keys())
    ]
    return sorted(rows, key=lambda row: row.difference is None)


def order_rows(found: Sides[Resting]) -> list[OrderRow]:
    """One row for each order by symbol, differing ones first."""
    system, exchange = ({one.id: one for one in side.rows} for side in (found.system, found.exchange))
    rows = []
    for key in system.keys() | exchange.keys():
        where = "both" if key in system and key in exchange else "system" if key in system else "exchange"
        other_known = found.exchange.is_known if where == "system" else found.system.is_known
        if where != "both" and not other_known:
            where += "?"
        rows.append(OrderRow(exchange.get(key) or system[key], where, where in ("system", "exchange")))
    return sorted(rows, key=lambda row: (not row.differs, row.order.symbol, row.order.price or 0, row.order.id))


def row_of(found: Listing[Held], symbol: str) -> PositionRow | None:
    """The row of a symbol; None when no side has it."""
    return next((row for row in found.rows if row.symbol == symbol), None)


def differences(comparison: Comparison | None) -> list[dict[str, str]]:
    """Those of a kept comparison, with the words of each class and real minus signs."""
    return [
        {
            **one,
            "words": KIND_WORDS[Kind(one["class"])],
            "internal": size(Decimal(one["internal"])),
            "exchange": size(Decimal(one["exchange"])),
            "delta": signed(Decimal(one["delta"])),
        }
        for one in (comparison.differences if comparison else [])
    ]


def size(value: Decimal) -> str:
    """An exact amount with a real minus sign."""
    return plain(value).replace("-", MINUS)


def price(value: Decimal | None) -> str:
    """A price with thousands separators; an en dash when it is not known."""
    if value is None:
        return "\N{EN DASH}"
    whole, _, part = plain(round(abs(value), PRICE_DECIMALS)).partition(".")
    return f"{MINUS if value < 0 else ''}{int(whole):,}{f'.{part}' if part else ''}"


def signed(value: Decimal) -> str:
    """An exact amount that always shows its sign."""
    return size(value) if value < 0 else f"+{plain(value)}"


def _by_symbol(rows: Iterable[Held]) -> dict[str, Held]:
    return {one.symbol: one for one in rows}


def _or_none(side: dict[str, Held], symbol: str, is_known: bool) -> Held | None:
    """A position, none (size 0), or None when that side cannot be read."""
    return side.get(symbol, Held(symbol, Decimal())) if is_known else None


def _who(permission: str, environment: Environment) -> str:
    return " or ".join(role.value for role in roles_with(permission, production=environment.is_production))
