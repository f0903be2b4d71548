"""The ops contract, part three: emergency stop and its release, circuit breaker, and the leave to trade again."""

import logging

from .emergency import StopOrder
from .handover import what_holds
from .health import rfc3339
from .http import Problem, Request, Response, Route, as_json
from .mutations import Repetitions, read_flag, read_order
from .ops import state_of
from .roles import Role
from .store import StoreError
from .system import System

log = logging.getLogger("trading_system")


class Halts:
    """Handlers that halt an instance, and those that let it begin again: release, reset and resume, each by itself."""

    def __init__(self, system: System, repetitions: Repetitions) -> None:
        self._system = system
        self._once = repetitions.once

    def routes(self) -> list[Route]:
        """The routes of this part."""
        once = self._once
        return [
            Route("POST", "/v1/emergency-stop", "emergency", once(self.emergency_stop)),
            Route("POST", "/v1/emergency-stop/release", "emergency", once(self.release)),
            Route("GET", "/v1/operations/{id}", "read", self.operation),
            Route("GET", "/v1/circuit-breaker", "read", self.breaker),
            Route("POST", "/v1/circuit-breaker/trip", "operate", once(self.trip)),
            Route("POST", "/v1/circuit-breaker/reset", "operate", once(self.reset_breaker)),
            Route("POST", "/v1/resume", "operate", once(self.resume)),
        ]

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

    async def release(self, request: Request) -> Response:
        """Takes the latch off; HALTED, and a restart is still needed. Repeating it is harmless."""
        order = read_order(request, self._system.grant)
        if self._system.emergency.running:
            raise Problem(409, "stop-running", "the emergency stop is still being carried out; wait until it has ended")
        try:
            await self._system.emergency.release(order.actor, order.reason)
        except StoreError as error:
            raise Problem(500, "latch-not-removed", f"still latched: {error}") from None
        return as_json(state_of(self._system))

    async def operation(self, request: Request) -> Response:
        """The state of an operation."""
        known = self._system.emergency.operations.get(request.parameters["id"])
        if known is None:
            raise Problem(404, "not-found", f"there is no operation {request.parameters['id']}")
        return as_json(known.as_json())

    async def breaker(self, request: Request) -> Response:
        """The circuit breaker."""
        state = self._system.breaker.state()
        tripped_at = state["tripped_at"]
        moment = rfc3339(tripped_at) if tripped_at else None
        return as_json(state | {"tripped_at": moment, "role": self._system.grant.role})

    async def trip(self, request: Request) -> Response:
        """Opens the breaker by hand, in any role; an open one stays as it is."""
        order = read_order(request, self._system.grant)
        try:
            await self._system.breaker.trip_by_hand(order.actor, order.reason)
        except StoreError as error:
            raise Problem(500, "halt-not-stored", f"halted, but a restart would not know it: {error}") from None
        return await self.breaker(request)

    async def reset_breaker(self, request: Request) -> Response:
        """Acknowledges the breaker; the instance stays HALTED."""
        read_order(request, self._system.grant)
        self._refuse_latched()
        try:
            await self._system.breaker.reset()
        except StoreError as error:
            raise Problem(500, "reset-not-stored", f"the breaker is still open: {error}") from None
        self._system.account.begin_day()
        return await self.breaker(request)

    async def resume(self, request: Request) -> Response:
        """Ends a halt: STANDBY again, nothing is started."""
        order = read_order(request, self._system.grant)
        self._refuse_latched()
        grant = self._system.grant
        if grant.breaker is not None:
            raise Problem(409, "breaker-open", f"not resumed: {what_holds(grant)}")
        if grant.restart_required:
            raise Problem(409, "restart-required", f"not resumed: {what_holds(grant)}")
        if grant.role is not Role.HALTED:
            raise Problem(409, "not-halted", f"there is nothing to resume: the role is {grant.role}")
        try:
            await grant.resume()
        except StoreError as error:
            raise Problem(500, "halt-not-lifted", f"still halted: {error}") from None
        log.warning("resumed by %s: %s", order.actor, order.reason)
        return as_json({"role": grant.role, "epoch": grant.epoch})

    def _refuse_latched(self) -> None:
        latch = self._system.grant.latch
        if latch is not None:
            raise Problem(409, "latched", f"refused: {what_holds(self._system.grant)}", latch=latch)
