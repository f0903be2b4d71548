"""The warm snapshot: what the exchange showed a moment ago, so that a stop can write before it has read anything."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from trading.exchange.base import ExchangeError, Markets, OpenOrder, Position
from trading.stop.files import write_json

NAME = "snapshot.json"
MARKETS_SECONDS = 600.0
"""So long the list of markets is taken as it was."""
_DECIMALS = frozenset({"size", "price", "entry", "mark", "pnl"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The account at a moment. ``at``, ``markets_at``, ``read_at`` (by section): seconds since 1970."""

    at: float
    url: str
    account: str
    markets: Markets
    markets_at: float
    orders: tuple[OpenOrder, ...]
    positions: tuple[Position, ...]
    read_at: Mapping[str, float]

    def age(self, now: float) -> float:
        """Seconds since it was taken."""
        return max(0.0, now - self.at)


def read(path: Path) -> Snapshot | None:
    """The snapshot in a file; None when there is none that can be used."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Snapshot(
            at=float(found["at"]),
            url=str(found["url"]),
            account=str(found["account"]),
            markets=found["markets"],
            markets_at=float(found["markets_at"]),
            orders=tuple(OpenOrder(**_numbers(row)) for row in found["orders"]),
            positions=tuple(Position(**_numbers(row)) for row in found["positions"]),
            read_at={str(name): float(at) for name, at in found["read_at"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidOperation):
        return None


def write(path: Path, snapshot: Snapshot) -> None:
    """Replace the file; not brought to the disk, it is old after a power cut anyway. Raises OSError."""
    document = {name: getattr(snapshot, name) for name in ("at", "url", "account", "markets", "markets_at")}
    document |= {"read_at": dict(snapshot.read_at)}
    document |= {"orders": [_row(one) for one in snapshot.orders]}
    document |= {"positions": [_row(one) for one in snapshot.positions]}
    write_json(path, document, durable=False)


def refresh(definition: Mapping[str, Any], path: Path, exchange: Any = None) -> Snapshot:
    """Read the account and replace the snapshot: the main section, those with something in them, and one more in turn.

    An exchange with many sections would spend its rate limit otherwise; a stop itself reads all of them.

    Args:
        exchange: of an earlier call, so that its connections are used again.

    Raises:
        ExchangeError: it could not be read; the file is as it was.
        OSError: the file could not be written.
    """
    from trading.exchange.open import open_exchange

    before, now = read(path), time.time()
    account = str(definition.get("vault") or definition.get("account"))
    if before is not None and (before.account, before.url) != (account, definition.get("url")):
        before = None
    exchange = exchange or open_exchange(definition)
    known = before is not None and now - before.markets_at < MARKETS_SECONDS
    markets = before.markets if before is not None and known else exchange.load_markets()
    names = [str(section["name"]) for section in markets["sections"]]
    read_at = {name: at for name, at in (before.read_at if before else {}).items() if name in names}
    orders, positions = list(before.orders if before else ()), list(before.positions if before else ())
    held = {order.section for order in orders} | {position.section for position in positions}
    for name in _due(names, read_at, held):
        fresh_orders, fresh_positions = exchange.open_orders(name), exchange.positions(name)
        orders = [*fresh_orders, *(one for one in orders if one.section != name)]
        positions = [*fresh_positions, *(one for one in positions if one.section != name)]
        read_at[name] = now
    markets_at = before.markets_at if before is not None and known else now
    snapshot = Snapshot(
        now, str(definition["url"]), account, markets, markets_at, tuple(orders), tuple(positions), read_at
    )
    write(path, snapshot)
    return snapshot


def _due(names: list[str], read_at: Mapping[str, float], held: set[str]) -> list[str]:
    always = [name for name in names if name in held or name == names[0]]
    others = sorted((name for name in names if name not in always), key=lambda name: read_at.get(name, 0.0))
    return always + others[:1]


def _row(one: OpenOrder | Position) -> dict[str, Any]:
    values = {item.name: getattr(one, item.name) for item in fields(one)}
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in values.items()}


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: Decimal(v) if name in _DECIMALS and v is not None else v for name, v in row.items()}


__all__ = ["ExchangeError", "Snapshot", "read", "refresh", "write"]
