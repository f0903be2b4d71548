"""The ops contract, part two: positions and orders, emergency stop, reconciliation, circuit breaker."""

import time
from decimal import Decimal
from typing import Any

from .account import NotQuiet
from .desk import NotPermitted
from .emergency import StopOrder
from .exchange import ExchangeRefused, ExchangeUnreachable
from .health import rfc3339
from .http import Problem, Request, Response, Route, as_json
from .ledger import Difference
from .mutations import Repetitions, read_flag, read_order
from .roles import Role
from .store import StoreError
from .system import System


class Interventions:
    """Handlers with which a person or the console acts on positions, orders and halts."""

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
            Route("POST", "/v1/emergency-stop", "emergency", once(self.emergency_stop)),
            Route("GET", "/v1/operations/{id}", "read", self.operation),
            Route("POST", "/v1/reconcile", "operate", once(self.reconcile)),
            Route("GET", "/v1/circuit-breaker", "read", self.breaker),
            Route("POST", "/v1/circuit-breaker/reset", "operate", once(self.reset_breaker)),
            Route("POST", "/v1/resume", "operate", once(self.resume)),
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
        except (ExchangeRefused, ExchangeUnreachable) as error:
            raise Problem(502, "exchange-refused", f"{symbol} was not closed: {error}") from None
        await self._system.records.closed("operator", execution)
        fill = execution.fill
        answer = {"symbol": symbol, "closed_size": format(fill.size, "f"), "price": format(fill.price, "f")}
        answer["pnl"] = format(round(execution.profit, 6), "f")
        return as_json(answer | {"remaining": format(self._system.account.ledger.size(symbol), "f")})

    async def cancel_orders(self, request: Request) -> Response:
        """Cancels resting orders: all, or those of one `symbol`; answers what a fresh read shows."""
        order = read_order(request, self._system.grant)
        symbol = order.body.get("symbol")
        account = self._system.account
        try:
            cancelled = await self._system.desk.cancel(symbol)
            account.open_orders = await account.client.open_orders()
        except NotPermitted as error:
            raise Problem(409, "not-permitted", str(error)) from None
        except (ExchangeRefused, ExchangeUnreachable) as error:
            raise Problem(502, "exchange-refused", f"orders were not cancelled: {error}") from None
        remaining = [o for o in account.open_orders if symbol in (None, o["coin"])]
        return as_json({"cancelled": cancelled, "remaining": len(remaining)})

    async def emergency_stop(self, request: Request) -> Response:
        """Halts and latches at once; the operation does the rest. Needs no reason given: nothing may delay it."""
        order = read_order(request, self._system.grant, required=False)
        stop = StopOrder(
            close_positions=read_flag(order.body, "close_positions", True),
            cancel_orders=read_flag(order.body, "cancel_orders", True),
            disconnect=read_flag(order.body, "disconnect", True),
            actor=order.actor,
            reason=order.reason,
        )
        try:
            operation = await self._system.emergency.stop(stop)
        except StoreError as error:
            raise Problem(500, "latch-not-stored", f"halted, but the latch is not on the disk: {error}") from None
        location = f"/v1/operations/{operation.id}".encode()
        return as_json(operation.as_json(), 202, [(b"location", location)])

    async def operation(self, request: Request) -> Response:
        """The state of an operation."""
        known = self._system.emergency.operations.get(request.parameters["id"])
        if known is None:
            raise Problem(404, "not-found", f"there is no operation {request.parameters['id']}")
        return as_json(known.as_json())

    async def reconcile(self, request: Request) -> Response:
        """Compares with the exchange and takes its positions as the truth; answers the differences that were."""
        read_order(request, self._system.grant, required=False)
        try:
            found = await self._system.account.reconcile()
        except ExchangeUnreachable as error:
            raise Problem(502, "exchange-unreachable", f"nothing was changed: {error}") from None
        except NotQuiet as error:
            raise Problem(503, "not-quiet", str(error)) from None
        return as_json({"differences": [_difference(d) for d in found], "at": rfc3339(time.time())})

    async def breaker(self, request: Request) -> Response:
        """The circuit breaker."""
        state = self._system.breaker.state()
        tripped_at = state["tripped_at"]
        return as_json(state | {"tripped_at": rfc3339(tripped_at) if tripped_at else None})

    async def reset_breaker(self, request: Request) -> Response:
        """Acknowledges the breaker; the instance stays HALTED."""
        read_order(request, self._system.grant)
        self._refuse_latched()
        await self._system.breaker.reset()
        return await self.breaker(request)

    async def resume(self, request: Request) -> Response:
        """Ends a halt: STANDBY again, nothing is started."""
        read_order(request, self._system.grant)
        self._refuse_latched()
        grant = self._system.grant
        if grant.role is not Role.HALTED:
            raise Problem(409, "not-halted", f"there is nothing to resume: the role is {grant.role}")
        if grant.breaker is not None:
            raise Problem(409, "breaker-open", "reset the circuit breaker first")
        await grant.resume()
        return as_json({"role": grant.role, "epoch": grant.epoch})

    def _refuse_latched(self) -> None:
        latch = self._system.grant.latch
        if latch is not None:
            detail = "refused while the emergency latch holds: stop the process, remove latch.json from its state"
            raise Problem(409, "latched", f"{detail} directory, start it, then resume", latch=latch)


def _difference(found: Difference) -> dict[str, Any]:
    amounts: dict[str, Decimal] = {"internal": found.internal, "exchange": found.exchange, "delta": found.delta}
    return {"symbol": found.symbol, "class": found.kind, **{k: format(v, "f") for k, v in amounts.items()}}
