"""The ops contract, part one: health, state, role, configuration, smoke test, metrics, trades."""

import time
from typing import Any

from .book import BookUnavailable
from .config import ConfigError
from .desk import NotPermitted, Unresolved
from .exchange import ExchangeRefused, ExchangeUnreachable
from .health import rfc3339, worst
from .http import Problem, Request, Response, Route, as_json
from .mutations import Repetitions, read_epoch, read_order, stale
from .roles import Role, StaleEpoch
from .store import StoreError
from .system import System

METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
GRANTABLE = ("ACTIVE", "STANDBY")
MAX_TRADES = 1_000


class Ops:
    """Handlers that observe an instance and grant its role."""

    def __init__(self, system: System, repetitions: Repetitions) -> None:
        self._system = system
        self._once = repetitions.once

    def routes(self) -> list[Route]:
        """The routes of this part. The role needs no Idempotency-Key: the epoch already makes it repeatable."""
        return [
            Route("GET", "/livez", None, self.livez),
            Route("GET", "/healthz", None, self.healthz),
            Route("GET", "/metrics", None, self.metrics),
            Route("GET", "/v1/state", "read", self.state),
            Route("POST", "/v1/role", "operate", self.role),
            Route("GET", "/v1/trades", "read", self.trades),
            Route("POST", "/v1/config/reload", "operate", self._once(self.reload)),
            Route("POST", "/v1/smoke-test", "operate", self._once(self.smoke_test)),
        ]

    async def livez(self, request: Request) -> Response:
        """The process answers."""
        return as_json({"status": "pass"})

    async def healthz(self, request: Request) -> Response:
        """Every component; 503 when one fails."""
        system, checks, at = self._system, self._system.health.checks(), rfc3339(time.time())
        status = worst(checks)
        body = {
            "status": status,
            "version": system.release.version,
            "releaseId": system.release.release_id,
            "serviceId": system.settings.instance,
            "checks": {check.name: [check.as_json(at)] for check in checks},
        }
        answer = as_json(body, 503 if status == "fail" else 200)
        answer.content_type = b"application/health+json"
        return answer

    async def metrics(self, request: Request) -> Response:
        """The Prometheus exposition."""
        self._system.show()
        return Response(200, self._system.metrics.render(), METRICS_TYPE)

    async def state(self, request: Request) -> Response:
        """Role, epoch, latch, configuration and strategies."""
        return as_json(self._state())

    async def role(self, request: Request) -> Response:
        """Grants or takes the trading role; answers when it is true."""
        order = read_order(request, self._system.grant)
        role, epoch = order.body.get("role"), read_epoch(order.body.get("epoch"))
        if role not in GRANTABLE:
            raise Problem(422, "invalid-body", f"role: must be one of {', '.join(GRANTABLE)}, got {role!r}")
        try:
            answer = await self._system.handover.change(Role(role), epoch)
        except StaleEpoch as error:
            raise stale(error) from None
        except NotPermitted as error:
            raise Problem(409, "halted", str(error), state=self._state()) from None
        except (ExchangeUnreachable, ExchangeRefused) as error:
            raise Problem(503, "exchange-unreachable", f"stays STANDBY: {error}", state=self._state()) from None
        except Unresolved as error:
            raise Problem(503, "standby-unverified", str(error), state=self._state()) from None
        except StoreError as error:
            raise Problem(500, "epoch-not-stored", str(error), state=self._state()) from None
        fields: dict[str, Any] = {"open_orders": answer.open_orders, "cancelled_orders": answer.cancelled}
        return as_json(self._state() | fields | {"since": rfc3339(answer.since)})

    async def trades(self, request: Request) -> Response:
        """Closed and failed trades with an id above `after`, newest last."""
        after = _whole(request.query.get("after", "0"), "after")
        limit = min(_whole(request.query.get("limit", "100"), "limit"), MAX_TRADES)
        try:
            rows = await self._system.records.after(after, limit)
        except BookUnavailable as error:
            raise Problem(503, "database-unavailable", str(error)) from None
        return as_json({"trades": [row | {"at": rfc3339(row["at"])} for row in rows]})

    async def reload(self, request: Request) -> Response:
        """Reads the configuration again; an invalid one changes nothing."""
        read_order(request, self._system.grant)
        if self._system.grant.latch:
            raise Problem(
                409, "latched", "nothing was changed: the emergency latch holds; release the emergency stop first"
            )
        try:
            old, new = self._system.reload_config()
        except ConfigError as error:
            raise Problem(422, "invalid-configuration", f"nothing was changed: {error}", errors=error.errors) from None
        return as_json({"old_revision": old, "new_revision": new, "changed": old != new})

    async def smoke_test(self, request: Request) -> Response:
        """Runs the smoke tests; 200 also when one fails: the answer says which."""
        read_order(request, self._system.grant, required=False)
        results = await self._system.smoke.run()
        failed = [result["name"] for result in results if result["status"] != "pass"]
        status = "fail" if failed else "pass"
        return as_json({"status": status, "version": self._system.release.version, "results": results})

    def _state(self) -> dict[str, Any]:
        return state_of(self._system)


def state_of(system: System) -> dict[str, Any]:
    """The answer of `GET /v1/state`."""
    grant = system.grant
    return {
        "role": grant.role,
        "epoch": grant.epoch,
        "latched": grant.latch is not None,
        "latch": grant.latch,
        "restart_required": grant.restart_required,
        "connected": system.client.connected,
        "since": rfc3339(grant.since),
        "version": system.release.version,
        "release_id": system.release.release_id,
        "instance": system.settings.instance,
        "deployed_at": rfc3339(system.started_at),
        "config_revision": system.config.revision,
        "strategies": [
            {
                "id": strategy.name,
                "state": system.switches.state(strategy),
                "last_heartbeat": rfc3339(strategy.heartbeat),
            }
            for strategy in system.strategies
        ],
    }


def _whole(text: str, name: str) -> int:
    if not text.isdecimal():
        raise Problem(400, "invalid-query", f"{name}: must be a whole number, got {text!r}")
    return int(text)
