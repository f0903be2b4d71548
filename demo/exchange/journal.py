"""The exchange's log of orders, and how accounts survive a restart.

Every order, cancel and later fill is one JSON line, written with a single unbuffered append before the reply leaves.
A snapshot next to the log says how far the log is already contained in it; the rest of the log is replayed on top.
"""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from demo.exchange.book import Book, Fill, NewOrder, Order, Position, Side
from demo.exchange.wire import number

SNAPSHOT_FILLS = 200


class Journal:
    """Appends to the log file. `offset` is the length of the log in bytes."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        self._end_broken_line()
        self.offset = os.fstat(self._descriptor).st_size

    def append(self, entry: dict[str, Any]) -> None:
        """Writes one entry; when this returns, the line is with the operating system."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        os.write(self._descriptor, line)
        self.offset += len(line)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _end_broken_line(self) -> None:
        # A process killed inside a write leaves half a line; the next entry must not be glued to it.
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")


def read_log(path: Path, offset: int = 0) -> list[dict[str, Any]]:
    """Every entry of the log from a byte offset on. A line that is not JSON (cut off by a kill) is passed over."""
    entries = []
    with path.open("rb") as log:
        log.seek(offset)
        for line in log:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                entries.append(entry)
    return entries


def snapshot(book: Book, offset: int) -> dict[str, Any]:
    """The state of every account as JSON, valid at this offset of the log."""
    accounts = {
        name: {
            "cash": number(account.cash),
            "positions": {c: [number(p.size), number(p.entry)] for c, p in account.positions.items()},
            "open_orders": [_dump_order(order) for order in account.open_orders()],
            "fills": [_dump_fill(fill) for fill in list(account.fills)[-SNAPSHOT_FILLS:]],
        }
        for name, account in book.accounts.items()
    }
    return {
        "offset": offset,
        "next_oid": book.next_oid,
        "next_tid": book.next_tid,
        "prices": book.market.dump(),
        "accounts": accounts,
    }


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces the snapshot file atomically."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        json.dump(state, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(book: Book, state_path: Path, log_path: Path) -> int:
    """Fills an empty book from the snapshot and the log after it; answers how many log entries were replayed.

    Raises ValueError when the snapshot cannot be read: it names the file, which may then be removed (the whole log is
    replayed instead).
    """
    offset = 0
    if state_path.exists():
        try:
            state = json.loads(state_path.read_text())
            _load(book, state)
            offset = int(state["offset"])
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            raise ValueError(
                f"{state_path} cannot be read ({error!r}); remove it to rebuild every account from {log_path}"
            ) from error
    entries = read_log(log_path, offset if offset <= log_path.stat().st_size else 0)
    for entry in entries:
        _replay(book, entry)
    return len(entries)


def _load(book: Book, state: dict[str, Any]) -> None:
    book.market.load(state["prices"])
    book.next_oid, book.next_tid = int(state["next_oid"]), int(state["next_tid"])
    for name, raw in state["accounts"].items():
        account = book.account(name)
        account.cash = Decimal(raw["cash"])
        account.positions = {c: Position(Decimal(s), Decimal(e)) for c, (s, e) in raw["positions"].items()}
        for order in raw["open_orders"]:
            book.add(account, _load_order(order))
        account.fills.extend(_load_fill(fill) for fill in raw["fills"])


def _replay(book: Book, entry: dict[str, Any]) -> None:
    """Repeats one logged event. Rejected orders and cancels changed nothing and are passed over."""
    account, status = book.account(entry["account"]), entry.get("status")
    at_ms = int(entry["at"] * 1000)
    if entry["action"] == "order" and status in ("filled", "resting"):
        size, price = Decimal(entry["sz"]), Decimal(entry["px"])
        side = cast(Side, entry["side"])
        request = NewOrder(entry["coin"], side, size, price, "Gtc", entry["reduce_only"], entry["cloid"])
        order = book.add(account, Order(entry["oid"], request, size, at_ms, status_ms=at_ms))
        if status == "filled":
            book.execute(account, order, price, at_ms, crossed=True)
    elif entry["action"] in ("cancel", "fill"):
        known = account.resting.get(entry["oid"])
        if known is None:
            return
        if status == "filled":
            book.execute(account, known, Decimal(entry["px"]), at_ms, crossed=False)
        elif status == "canceled":
            account.settle(known, "canceled", at_ms)


def _dump_order(order: Order) -> list[Any]:
    r = order.request
    return [order.oid, r.coin, r.side, number(r.size), number(r.limit), r.reduce_only, r.cloid, order.at_ms]


def _load_order(raw: list[Any]) -> Order:
    oid, coin, side, size, limit, reduce_only, cloid, at_ms = raw
    request = NewOrder(coin, side, Decimal(size), Decimal(limit), "Gtc", reduce_only, cloid)
    return Order(oid, request, request.size, at_ms, status_ms=at_ms)


def _dump_fill(fill: Fill) -> list[Any]:
    amounts = [number(v) for v in (fill.size, fill.price, fill.start_position, fill.closed_pnl)]
    return [fill.tid, fill.oid, fill.cloid, fill.coin, fill.side, *amounts, fill.at_ms, fill.crossed]


def _load_fill(raw: list[Any]) -> Fill:
    tid, oid, cloid, coin, side, size, price, start, pnl, at_ms, crossed = raw
    amounts = (Decimal(size), Decimal(price), at_ms, Decimal(start), Decimal(pnl))
    return Fill(tid, oid, cloid, coin, side, *amounts, crossed)
