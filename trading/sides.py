"""Both sides of the account, read at the same time: what the trading system keeps, and what the exchange says.

Each reading is bounded (``READ_SECONDS``) and independent: a side that does not answer is told as no data, with why,
and the other one is still there. Nothing here reads the database while it waits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, lru_cache
from time import monotonic
from typing import Any, Generic, TypeVar

from django.utils import timezone

from environments import adapters
from environments.models import Environment, Instance
from environments.secrets import SecretMissing, resolve
from environments.target import TargetClient, TargetError, TargetState
from trading.exchange.base import Exchange, ExchangeError, OpenOrder, all_orders, all_positions
from trading.exchange.open import open_exchange, preload

READ_SECONDS = 2.0
GRACE_SECONDS = 0.5
"""Beyond it a reading is given up, whatever hangs in it."""
REOPEN_SECONDS = 600
"""After so long the markets are read again: another part of the exchange may have come."""
NO_EXCHANGE = "The definition of this environment has no exchange account; add its exchange section and apply it."
NO_WRITER = "No slot has the trading role, so nothing keeps positions here."
R = TypeVar("R")


class NotThere(Exception):
    """There is no such side: the definition names no exchange account, or no slot trades. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Held:
    """A position as one side has it. Size in coins, below zero is short; prices and profit in USD."""

    symbol: str
    size: Decimal
    entry: Decimal | None = None
    mark: Decimal | None = None
    pnl: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Resting:
    """An open order as one side has it."""

    id: str
    symbol: str
    side: str
    """``buy`` or ``sell``."""
    size: Decimal
    price: Decimal | None = None
    reduce_only: bool = False
    kind: str = ""
    """The exchange's word for it, for example ``Stop Market``; empty when that side does not tell."""
    placed_at: datetime | None = None
    trigger: bool = False
    """Whether it waits for a price, as orders that protect a position do."""


@dataclass(frozen=True, slots=True)
class Reading(Generic[R]):
    """What one side said; without ``problem`` the rows are everything there is."""

    rows: tuple[R, ...]
    at: datetime
    problem: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the side could be read."""
        return not self.problem


@dataclass(frozen=True, slots=True)
class Sides(Generic[R]):
    """Both readings of one moment."""

    system: Reading[R]
    exchange: Reading[R]
    instance: str = ""
    """The instance that keeps the system's side."""
    role: str = ""
    """Its trading role; empty when it did not say."""

    @property
    def are_known(self) -> bool:
        """Whether both could be read."""
        return self.system.is_known and self.exchange.is_known


def positions(environment: Environment) -> Sides[Held]:
    """The positions of both sides. At most ``READ_SECONDS`` and a little."""
    return _both(
        environment,
        lambda client: [
            Held(p.symbol, p.size, p.entry_price, p.mark_price, p.unrealized_pnl) for p in client.positions()
        ],
        _positions_of,
    )


def orders(environment: Environment) -> Sides[Resting]:
    """The open orders of both sides. At most ``READ_SECONDS`` and a little."""
    return _both(
        environment,
        lambda client: [
            Resting(o.id, o.symbol, o.side, o.size, o.price, o.reduce_only, placed_at=o.placed_at)
            for o in client.orders()
        ],
        _orders_of,
    )


def positions_at_exchange(environment: Environment) -> Reading[Held]:
    """What the exchange says now; for reading back."""
    return at_exchange(environment, _positions_of)


def orders_at_exchange(environment: Environment) -> Reading[Resting]:
    """What the exchange says now; for reading back."""
    return at_exchange(environment, _orders_of)


def at_exchange(environment: Environment, read: Callable[[Exchange], Sequence[R]]) -> Reading[R]:
    """What ``read`` finds at the exchange now. At most ``READ_SECONDS`` and a little."""
    return _read_all([_exchange_reader(environment, read)])[0]


def exchange_of(environment: Environment) -> Exchange:
    """The account at the exchange.

    Raises:
        NotThere: the definition names none.
        SecretMissing: its key is not there.
        ExchangeError: it cannot be opened.
    """
    if not environment.exchange:
        raise NotThere(NO_EXCHANGE)
    definition = json.dumps(environment.exchange, sort_keys=True)
    secret = hash(resolve(str(environment.exchange.get("key"))))
    return _opened(definition, secret, int(monotonic() // REOPEN_SECONDS))


@lru_cache(maxsize=16)
def _opened(definition: str, secret: int, period: int) -> Exchange:
    """Kept for a while, since the markets are read at the first use; anew when its key changes or time has passed."""
    return open_exchange(json.loads(definition), timeout=READ_SECONDS)


def writers(environment: Environment) -> list[Instance]:
    """The instances of the slot that has the trading role, with what their clients need. One query."""
    found = Instance.objects.filter(slot=environment.writer_slot_id).select_related("slot")
    return list(found) if environment.writer_slot_id else []


def writer(environment: Environment) -> tuple[Instance, TargetClient]:
    """The instance that trades: of several the one that says it is ACTIVE, else the first that answers.

    Raises:
        NotThere: no slot has the trading role, or none of its instances answers.
        SecretMissing: a token is not there.
    """
    candidates = [(one, adapters.client(one)) for one in writers(environment)]
    if not candidates:
        raise NotThere(NO_WRITER)
    if len(candidates) == 1:
        return candidates[0]
    states = _read_all([_state_reader(client) for _, client in candidates])
    answered = [(pair, state.rows[0]) for pair, state in zip(candidates, states, strict=True) if state.is_known]
    if not answered:
        raise NotThere("; ".join(state.problem for state in states))
    return next((pair for pair, state in answered if state.role == "ACTIVE"), answered[0][0])


def _both(
    environment: Environment,
    of_system: Callable[[TargetClient], Sequence[R]],
    of_exchange: Callable[[Exchange], Sequence[R]],
) -> Sides[R]:
    try:
        candidates = [(one, adapters.client(one, read_timeout=READ_SECONDS)) for one in writers(environment)]
        problem = "" if candidates else NO_WRITER
    except SecretMissing as error:
        candidates, problem = [], str(error)
    jobs: list[Callable[[], Sequence[Any]]] = [_exchange_reader(environment, of_exchange)]
    for _, client in candidates:
        jobs += [_state_reader(client), _reader(client, of_system)]
    exchange, *found = _read_all(jobs)
    if not candidates:
        return Sides(Reading((), timezone.now(), problem), exchange)
    pairs = list(zip(candidates, found[::2], found[1::2], strict=True))
    # The one that trades; of those that do not say so, the first that answers.
    best = min(pairs, key=lambda pair: (_role(pair[1]) != "ACTIVE", not pair[2].is_known))
    return Sides(best[2], exchange, best[0][0].name, _role(best[1]))


def _positions_of(exchange: Exchange) -> list[Held]:
    return [Held(one.coin, one.size, one.entry, one.mark, one.pnl) for one in all_positions(exchange)]


def _orders_of(exchange: Exchange) -> list[Resting]:
    return [_resting(one) for one in all_orders(exchange)]


def _resting(order: OpenOrder) -> Resting:
    placed = datetime.fromtimestamp(order.placed_at, UTC) if order.placed_at else None
    return Resting(
        str(order.oid),
        order.coin,
        order.side,
        order.size,
        order.price,
        order.reduce_only,
        order.kind,
        placed,
        order.trigger,
    )


def _role(state: Reading[TargetState]) -> str:
    return state.rows[0].role if state.is_known else ""


def _state_reader(client: TargetClient) -> Callable[[], Sequence[TargetState]]:
    return lambda: [client.state()]


def _reader(client: TargetClient, read: Callable[[TargetClient], Sequence[R]]) -> Callable[[], Sequence[R]]:
    return lambda: read(client)


def _exchange_reader(environment: Environment, read: Callable[[Exchange], Sequence[R]]) -> Callable[[], Sequence[R]]:
    return lambda: read(exchange_of(environment))


@cache
def _prepare() -> None:
    """Once a process: what only the machine's own work delays must not look like an exchange that does not answer."""
    preload()


@cache
def _hands() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=8, thread_name_prefix="sides")


def _read_all(jobs: Sequence[Callable[[], Sequence[Any]]]) -> list[Reading[Any]]:
    """Every job at the same time, each within its limit."""
    _prepare()
    deadline = monotonic() + READ_SECONDS + GRACE_SECONDS
    futures = [_hands().submit(job) for job in jobs]
    return [_result(future, deadline) for future in futures]


def _result(future: Future[Sequence[R]], deadline: float) -> Reading[R]:
    try:
        rows = future.result(timeout=max(0.0, deadline - monotonic()))
        return Reading(tuple(rows), timezone.now())
    except TooLate:
        future.cancel()
        problem = f"It did not answer within {READ_SECONDS:g} s."
    except (TargetError, ExchangeError, SecretMissing, NotThere) as error:
        problem = str(error)
    return Reading((), timezone.now(), problem)
