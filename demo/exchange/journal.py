"""The exchange's log of orders, and how accounts survive a restart.

Every order, cancel and later fill is one JSON line, written with a single unbuffered append before the reply leaves.
A snapshot next to the log says how far the log is already contained in it; the rest of the log is replayed on top.
"""

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from demo.exchange.account import Account, Fill, NewOrder, Order, Position, Side, Trigger
from demo.exchange.book import Book
from demo.exchange.nonces import Nonces
from demo.exchange.wire import number

SNAPSHOT_FILLS = 200
# A snapshot of another version is passed over: the log has everything.
VERSION = 2


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


def snapshot(book: Book, nonces: Nonces, offset: int) -> dict[str, Any]:
    """The state of every account as JSON, valid at this offset of the log."""
    return {
        "version": VERSION,
        "offset": offset,
        "next_oid": book.next_oid,
        "next_tid": book.next_tid,
        "prices": book.market.dump(),
        "nonces": nonces.by_signer,
        "accounts": {name: _dump_account(account) for name, account in book.accounts.items()},
    }


def save(path: Path, state: dict[str, Any]) -> None:
    """Replaces the snapshot file atomically."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w") as file:
        json.dump(state, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def restore(book: Book, nonces: Nonces, state_path: Path, log_path: Path) -> int:
    """Fills an empty book from the snapshot and the log after it; answers how many log entries were replayed.

    Raises ValueError when the snapshot cannot be read: it names the file, which may then be removed (the whole log is
    replayed instead).
    """
    offset = 0
    if state_path.exists():
        try:
            state = json.loads(state_path.read_text())
            if state.get("version") == VERSION:
                _load(book, nonces, state)
                offset = int(state["offset"])
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError(
                f"{state_path} cannot be read ({error!r}); remove it to rebuild every account from {log_path}"
            ) from error
    entries = read_log(log_path, offset if offset <= log_path.stat().st_size else 0)
    for entry in entries:
        _replay(book, entry)
    return len(entries)


def _load(book: Book, nonces: Nonces, state: dict[str, Any]) -> None:
    book.market.load(state["prices"])
    nonces.by_signer = {signer: [int(n) for n in used] for signer, used in state["nonces"].items()}
    for name, raw in state["accounts"].items():
        account = book.account(name)
        account.cash = Decimal(raw["cash"])
        account.positions = {c: Position(Decimal(s), Decimal(e)) for c, (s, e) in raw["positions"].items()}
        account.leverage = {c: (int(times), bool(cross)) for c, (times, cross) in raw["leverage"].items()}
        account.scheduled_ms = raw["scheduled_ms"]
        for order in raw["open_orders"]:
            book.add(account, _load_order(order))
        account.fills.extend(_load_fill(fill) for fill in raw["fills"])
    book.next_oid, book.next_tid = int(state["next_oid"]), int(state["next_tid"])


def _replay(book: Book, entry: dict[str, Any]) -> None:
    """Repeats one logged event. Rejected orders and cancels changed nothing and are passed over."""
    account, action, status = book.account(entry["account"]), entry["action"], str(entry.get("status"))
    at_ms = int(entry["at"] * 1000)
    if action == "schedule":
        account.scheduled_ms = entry["time"]
    elif action == "leverage":
        account.leverage[entry["coin"]] = (entry["leverage"], entry["cross"])
    elif action == "order" and not status.startswith("error"):
        _fill(book, account, book.add(account, _order_of(entry, at_ms)), entry, at_ms)
    elif action in ("cancel", "fill", "trigger"):
        known = account.resting.get(entry["oid"])
        if known is None:
            return
        if action == "cancel":
            account.settle(known, status, at_ms)
        else:
            known.armed = False
            _fill(book, account, known, entry, at_ms)


def _order_of(entry: dict[str, Any], at_ms: int) -> Order:
    size, trigger = Decimal(entry.get("orig_sz", entry["sz"])), entry.get("trigger")
    request = NewOrder(
        coin=entry["coin"],
        side=cast(Side, entry["side"]),
        size=size,
        limit=Decimal(entry.get("limit", entry["px"])),
        tif=entry.get("tif", "Gtc"),
        reduce_only=entry["reduce_only"],
        cloid=entry["cloid"],
        trigger=Trigger(Decimal(trigger[0]), trigger[1], trigger[2]) if trigger else None,
        position_tpsl=bool(trigger and trigger[3]),
    )
    return Order(entry["oid"], request, size, at_ms, status_ms=at_ms, armed=trigger is not None)


def _fill(book: Book, account: Account, order: Order, entry: dict[str, Any], at_ms: int) -> None:
    """Repeats the fills of an entry, then leaves the order as the entry says that it was."""
    crossed = entry["action"] != "fill"
    # Entries of earlier versions had one fill at most, and name it by size and price alone.
    before = [[entry["sz"], entry["px"]]] if entry["status"] == "filled" else []
    for size, price in entry.get("fills", before):
        book.execute(account, order, Decimal(price), Decimal(size), at_ms, crossed=crossed)
    if entry["status"] == "resting":
        order.remaining = Decimal(entry.get("remaining", str(order.remaining)))
    elif order.oid in account.resting:
        account.settle(order, entry["status"], at_ms)


def _dump_account(account: Account) -> dict[str, Any]:
    return {
        "cash": number(account.cash),
        "positions": {c: [number(p.size), number(p.entry)] for c, p in account.positions.items()},
        "leverage": account.leverage,
        "scheduled_ms": account.scheduled_ms,
        "open_orders": [_dump_order(order) for order in account.open_orders()],
        "fills": [_dump_fill(fill) for fill in list(account.fills)[-SNAPSHOT_FILLS:]],
    }


def _dump_order(order: Order) -> list[Any]:
    r = order.request
    trigger = [number(r.trigger.price), r.trigger.is_market, r.trigger.tpsl, r.position_tpsl] if r.trigger else None
    what = [order.oid, r.coin, r.side, number(r.size), number(r.limit), r.tif, r.reduce_only, r.cloid, trigger]
    return [*what, number(order.remaining), order.armed, order.at_ms]


def _load_order(raw: list[Any]) -> Order:
    oid, coin, side, size, limit, tif, reduce_only, cloid, trigger, remaining, armed, at_ms = raw
    kind = Trigger(Decimal(trigger[0]), trigger[1], trigger[2]) if trigger else None
    more = (tif, reduce_only, cloid, kind, bool(trigger and trigger[3]))
    request = NewOrder(coin, side, Decimal(size), Decimal(limit), *more)
    return Order(oid, request, Decimal(remaining), at_ms, status_ms=at_ms, armed=armed)


def _dump_fill(fill: Fill) -> list[Any]:
    amounts = [number(v) for v in (fill.size, fill.price, fill.start_position, fill.closed_pnl)]
    return [fill.tid, fill.oid, fill.cloid, fill.coin, fill.side, *amounts, fill.at_ms, fill.crossed]


def _load_fill(raw: list[Any]) -> Fill:
    tid, oid, cloid, coin, side, size, price, start, pnl, at_ms, crossed = raw
    amounts = (Decimal(size), Decimal(price), at_ms, Decimal(start), Decimal(pnl))
    return Fill(tid, oid, cloid, coin, side, *amounts, crossed)
