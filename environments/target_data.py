"""What a trading system answers over the ops contract, as plain data. Amounts are decimals, times are aware, in UTC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from environments.health import MalformedAnswer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StrategyState:
    """One strategy of the trading system."""

    id: str
    state: str
    last_heartbeat: datetime | None


@dataclass(frozen=True, slots=True)
class TargetState:
    """``GET /v1/state``; also the answer to a change of the role."""

    role: str
    """ACTIVE, STANDBY, REDUCING or HALTED."""
    epoch: int
    """The highest fencing epoch that was granted."""
    latched: bool
    """The emergency latch holds: trading, promotion and resume are refused."""
    restart_required: bool
    config_revision: str
    strategies: tuple[StrategyState, ...]
    version: str = ""
    deployed_at: datetime | None = None
    since: datetime | None = None
    """In this role since."""
    open_orders: int | None = None
    """Resting orders left; only in the answer to a change of the role."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A position that the system and the exchange did not agree about."""

    symbol: str
    internal: Decimal
    exchange: Decimal
    delta: Decimal
    kind: str
    """The member ``class`` of the contract."""


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """One of the system's own smoke tests."""

    name: str
    status: str
    """``pass``, ``warn`` or ``fail``."""
    detail: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Position:
    """An open position."""

    symbol: str
    side: str
    """``long`` or ``short``."""
    size: Decimal
    """Signed: below zero is short."""
    entry_price: Decimal | None
    mark_price: Decimal | None
    unrealized_pnl: Decimal | None


@dataclass(frozen=True, slots=True)
class Order:
    """A resting order."""

    id: str
    symbol: str
    side: str
    """``buy`` or ``sell``."""
    size: Decimal
    price: Decimal | None
    reduce_only: bool
    placed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ClosedPosition:
    """What a close did, in the system's words."""

    symbol: str
    closed: Decimal
    price: Decimal | None
    remaining: Decimal | None
    """As the system keeps it now; only the exchange knows for sure."""


@dataclass(frozen=True, slots=True)
class CancelledOrders:
    """What a cancellation did, in the system's words."""

    cancelled: int
    remaining: int | None


@dataclass(frozen=True, slots=True)
class BreakerState:
    """``GET /v1/circuit-breaker``; all but ``is_open`` is empty while it is closed."""

    is_open: bool
    reason_code: str
    reason: str
    tripped_at: datetime | None
    observed: str
    """What was measured when it opened, in the system's words; a number where it is one."""
    threshold: str


@dataclass(frozen=True, slots=True)
class Trade:
    """A closed trade, or an order that failed (then without side, size, price and pnl)."""

    id: int
    at: datetime
    strategy: str
    symbol: str
    side: str
    size: Decimal | None
    price: Decimal | None
    pnl: Decimal | None
    outcome: str
    """``win``, ``loss`` or ``failed``."""


def read_list(where: str, document: object, member: str, read: Callable[[Fields], T]) -> list[T]:
    """Each object of a list that is the answer itself or its member ``member``. Raises ``MalformedAnswer``."""
    listed = document.get(member) if isinstance(document, Mapping) else document
    if not isinstance(listed, list):
        raise MalformedAnswer(f"{where} must answer a list, or an object with the list {member!r}")
    return [read(Fields(f"{where}: {member}[{index}]", item)) for index, item in enumerate(listed)]


class Fields:
    """Typed access to the members of a JSON object; every error names where, which member and what it was."""

    def __init__(self, where: str, document: object) -> None:
        if not isinstance(document, Mapping):
            raise MalformedAnswer(f"{where} must be a JSON object, not {document!r:.80}")
        self._where, self._document = where, document

    def text(self, name: str, default: str | None = None) -> str:
        """A text; with a default it may be missing or null."""
        value = self._get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return value

    def whole(self, name: str) -> int:
        """A whole number."""
        value = self._get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "a whole number", value)
        return value

    def flag(self, name: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def amount(self, name: str) -> Decimal:
        """A decimal, sent as a text (or a number)."""
        value = self._get(name)
        try:
            found = Decimal(str(value)) if isinstance(value, str | int | float) else None
        except InvalidOperation:
            found = None
        if found is None or not found.is_finite():
            raise self._wrong(name, "a decimal number", value)
        return found

    def moment(self, name: str) -> datetime:
        """An RFC 3339 time."""
        value = self._get(name)
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise self._wrong(name, "an RFC 3339 time with its offset", value)
        return found.astimezone(UTC)

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """None when the member is missing or null, else what ``read`` makes of it."""
        return None if self._document.get(name) is None else read(name)

    def raw(self, name: str) -> Any:
        """The member as it is, or None."""
        return self._document.get(name)

    def _get(self, name: str, default: object = None) -> object:
        value = self._document.get(name)
        return default if value is None else value

    def _wrong(self, name: str, wanted: str, value: object) -> MalformedAnswer:
        return MalformedAnswer(f"{self._where}: {name} must be {wanted}, not {value!r:.80}")


def read_state(fields: Fields) -> TargetState:
    """``/v1/state`` and the answer of ``/v1/role``. Raises ``MalformedAnswer``, as the other readers."""
    return TargetState(
        role=fields.text("role"),
        epoch=fields.whole("epoch"),
        latched=fields.flag("latched", default=False),
        restart_required=fields.flag("restart_required", default=False),
        config_revision=fields.text("config_revision", default=""),
        strategies=tuple(read_list("/v1/state", fields.raw("strategies") or [], "strategies", _read_strategy)),
        version=fields.text("version", default=""),
        deployed_at=fields.optional("deployed_at", fields.moment),
        since=fields.optional("since", fields.moment),
        open_orders=fields.optional("open_orders", fields.whole),
    )


def _read_strategy(fields: Fields) -> StrategyState:
    return StrategyState(fields.text("id"), fields.text("state"), fields.optional("last_heartbeat", fields.moment))


def read_difference(fields: Fields) -> Difference:
    """One of ``/v1/reconcile``."""
    return Difference(
        symbol=fields.text("symbol"),
        internal=fields.amount("internal"),
        exchange=fields.amount("exchange"),
        delta=fields.amount("delta"),
        kind=fields.text("class", default=""),
    )


def read_smoke_result(fields: Fields) -> SmokeResult:
    """One of ``/v1/smoke-test``; any status but ``pass`` and ``warn`` is a failure."""
    status = fields.text("status")
    duration = fields.optional("duration_ms", fields.amount)
    return SmokeResult(
        name=fields.text("name"),
        status=status if status in ("pass", "warn") else "fail",
        detail=fields.text("detail", default=""),
        duration_ms=float(duration or 0),
    )


def read_position(fields: Fields) -> Position:
    """One of ``/v1/positions``."""
    size = fields.amount("size")
    return Position(
        symbol=fields.text("symbol"),
        side=fields.text("side", default="short" if size < 0 else "long"),
        size=size,
        entry_price=fields.optional("entry_price", fields.amount),
        mark_price=fields.optional("mark_price", fields.amount),
        unrealized_pnl=fields.optional("unrealized_pnl", fields.amount),
    )


def read_order(fields: Fields) -> Order:
    """One of ``/v1/orders``."""
    return Order(
        id=str(fields.raw("id")),
        symbol=fields.text("symbol"),
        side=fields.text("side"),
        size=fields.amount("size"),
        price=fields.optional("price", fields.amount),
        reduce_only=fields.flag("reduce_only", default=False),
        placed_at=fields.optional("placed_at", fields.moment),
    )


def read_closed_position(fields: Fields) -> ClosedPosition:
    """The answer of ``/v1/positions/{symbol}/close``."""
    return ClosedPosition(
        symbol=fields.text("symbol"),
        closed=fields.amount("closed_size"),
        price=fields.optional("price", fields.amount),
        remaining=fields.optional("remaining", fields.amount),
    )


def read_cancelled_orders(fields: Fields) -> CancelledOrders:
    """The answer of ``/v1/orders/cancel``."""
    return CancelledOrders(fields.whole("cancelled"), fields.optional("remaining", fields.whole))


def read_breaker(fields: Fields) -> BreakerState:
    """``/v1/circuit-breaker`` and the answers of its mutations; any state but ``closed`` is open."""
    return BreakerState(
        is_open=fields.text("state") != "closed",
        reason_code=fields.text("reason_code", default=""),
        reason=fields.text("reason", default=""),
        tripped_at=fields.optional("tripped_at", fields.moment),
        observed=str(fields.raw("observed") or ""),
        threshold=str(fields.raw("threshold") or ""),
    )


def read_trade(fields: Fields) -> Trade:
    """One of ``/v1/trades``."""
    outcome = fields.text("outcome")
    if outcome not in ("win", "loss", "failed"):
        raise MalformedAnswer(f"/v1/trades: the outcome must be win, loss or failed, not {outcome!r}")
    return Trade(
        id=fields.whole("id"),
        at=fields.moment("at"),
        strategy=fields.text("strategy"),
        symbol=fields.text("symbol"),
        side=fields.text("side", default=""),
        size=fields.optional("size", fields.amount),
        price=fields.optional("price", fields.amount),
        pnl=fields.optional("pnl", fields.amount),
        outcome=outcome,
    )
