"""The ops contract, part two: positions, orders, reconciliation, strategies."""

import time
from decimal import Decimal
from typing import Any

from .account import NotQuiet
from .desk import Disconnected, NotPermitted
from .exchange import ExchangeRefused, ExchangeUnreachable
from .health import rfc3339
from .http import Problem, Request, Response, Route, as_json
from .ledger import Difference
from .mutations import Repetitions, read_order, read_symbols, read_text
from .store import StoreError
from .switches import Latched
from .system import System


class Interventions:
    """Handlers with which a person or the console acts on positions, orders and strategies."""

    def __init__(self, system: System, repetitions: Repetitions) -> None:
        self._system = system
        self._once = repetitions.once

    def routes(self) -> list[Route]:
        """The routes of this part."""
        once = self._once
        return [
            Route("GET", "/v1/positions", "read", self.positions),
            Route("GET", "/v1/orders", "read", self.orders),
            Route("POST", "/v1/positions/{symbol}/close", "operate", once(self.close_position)),
            Route("POST", "/v1/orders/cancel", "operate", once(self.cancel_orders)),
            Route("POST", "/v1/reconcile", "operate", once(self.reconcile)),
            Route("POST", "/v1/strategies/{id}/enable", "operate", once(self.enable)),
            Route("POST", "/v1/strategies/{id}/disable", "operate", once(self.disable)),
        ]

    async def positions(self, request: Request) -> Response:
        """The positions kept by this instance."""
        account = self._system.account
        rows = []
        for symbol, held in sorted(account.ledger.positions.items()):
            mark = account.mids.get(symbol, held.entry)
            row = {"symbol": symbol, "side": "long" if held.size > 0 else "short", "size": format(held.size, "f")}
            row |= {"entry_price": format(round(held.entry, 6), "f"), "mark_price": format(mark, "f")}
            rows.append(row | {"unrealized_pnl": format(round((mark - held.entry) * held.size, 6), "f")})
        return as_json({"positions": rows, "at": rfc3339(account.synced_at)})

    async def orders(self, request: Request) -> Response:
        """Resting orders of the account, as last read from the exchange."""
        rows = [
            {
                "id": str(order["oid"]),
                "symbol": order["coin"],
                "side": "buy" if order["side"] == "B" else "sell",
                "size": order["sz"],
                "price": order["limitPx"],
                "reduce_only": order["reduceOnly"],
                "type": "trigger" if order.get("isTrigger") else "limit",
                "trigger_price": order["triggerPx"] if order.get("isTrigger") else None,
                "placed_at": rfc3339(order["timestamp"] / 1000),
            }
            for order in self._system.account.open_orders
        ]
        return as_json({"orders": rows, "at": rfc3339(self._system.account.synced_at)})

    async def close_position(self, request: Request) -> Response:
        """Closes one position at the market, reduce-only."""
        read_order(request, self._system.grant)
        symbol = request.parameters["symbol"]
        try:
            execution = await self._system.desk.close(symbol)
        except LookupError as error:
            raise Problem(404, "no-position", str(error.args[0])) from None
        except NotPermitted as error:
            raise Problem(409, "not-permitted", str(error)) from None
        except Disconnected as error:
            raise Problem(409, "disconnected", str(error)) from None
        except ExchangeRefused as error:
            raise Problem(502, "exchange-refused", f"{symbol} was not closed: {error}") from None
        except ExchangeUnreachable as error:
            detail = f"it is open whether {symbol} was closed; read the positions: {error}"
            raise Problem(502, "exchange-unreachable", detail) from None
        self._system.records.closed("operator", execution)
        fill = execution.fill
        answer = {"symbol": symbol, "closed_size": format(fill.size, "f"), "price": format(fill.price, "f")}
        answer["pnl"] = format(round(execution.profit, 6), "f")
        return as_json(answer | {"remaining": format(self._system.account.ledger.size(symbol), "f")})

    async def cancel_orders(self, request: Request) -> Response:
        """Cancels resting orders: all, those of one `symbol`, or one `order`; answers what a fresh read shows."""
        order = read_order(request, self._system.grant)
        symbol, oid = (read_text(order.body, name) for name in ("symbol", "order"))
        account = self._system.account
        try:
            cancelled = await self._system.desk.cancel(symbol, oid)
            account.open_orders = await account.client.open_orders()
        except LookupError as error:
            raise Problem(404, "no-order", str(error.args[0])) from None
        except NotPermitted as error:
            raise Problem(409, "not-permitted", str(error)) from None
        except Disconnected as error:
            raise Problem(409, "disconnected", str(error)) from None
        except ExchangeRefused as error:
            raise Problem(502, "exchange-refused", f"orders were not cancelled: {error}") from None
        except ExchangeUnreachable as error:
            detail = f"it is open whether orders were cancelled; read the orders: {error}"
            raise Problem(502, "exchange-unreachable", detail) from None
        remaining = [o for o in account.open_orders if symbol in (None, o["coin"]) and oid in (None, str(o["oid"]))]
        return as_json({"cancelled": cancelled, "remaining": len(remaining)})

    async def reconcile(self, request: Request) -> Response:
        """Takes the exchange's positions (all, or of `symbols`) as the truth; answers what differed."""
        order = read_order(request, self._system.grant, required=False)
        symbols = read_symbols(order.body, "symbols")
        try:
            found = await self._system.account.reconcile(symbols)
        except (ExchangeUnreachable, ExchangeRefused) as error:
            raise Problem(502, "exchange-unreachable", f"nothing was changed: {error}") from None
        except NotQuiet as error:
            raise Problem(503, "not-quiet", str(error)) from None
        rows = [_difference(d) | {"adopted": symbols is None or d.symbol in symbols} for d in found]
        return as_json({"differences": rows, "at": rfc3339(time.time())})

    async def enable(self, request: Request) -> Response:
        """Lets a strategy trade again."""
        return await self._turn(request, on=True)

    async def disable(self, request: Request) -> Response:
        """Switches a strategy off: it closes what it holds and opens nothing, also after a restart."""
        return await self._turn(request, on=False)

    async def _turn(self, request: Request, *, on: bool) -> Response:
        order = read_order(request, self._system.grant)
        switches = self._system.switches
        try:
            strategy = await switches.turn(request.parameters["id"], on, order.actor, order.reason)
        except LookupError as error:
            raise Problem(404, "no-strategy", str(error.args[0])) from None
        except Latched:
            detail = "no strategy is switched on while the emergency latch holds; release the emergency stop first"
            raise Problem(409, "latched", detail) from None
        except StoreError as error:
            raise Problem(500, "switch-not-stored", str(error)) from None
        return as_json({"id": strategy.name, "state": switches.state(strategy)})


def _difference(found: Difference) -> dict[str, Any]:
    amounts: dict[str, Decimal] = {"internal": found.internal, "exchange": found.exchange, "delta": found.delta}
    return {"symbol": found.symbol, "class": found.kind, **{k: format(v, "f") for k, v in amounts.items()}}
