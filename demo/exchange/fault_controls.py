"""Faults that tests and the demo switch on: what the exchange does wrong, and to which requests.

`POST /faults` merges a JSON object into what holds, `GET` shows it, `DELETE` clears everything:

    latency_ms        added to every round trip
    hang_next         {"type": T, "count": n}: the next n requests are never answered
    status            {"type": T, "code": 429, "count": n or null, "body": …}: answered so, nothing is done
    lose_reply        {"type": T, "count": n}: done, then the connection closes without an answer
    dead              [T, …]: always answered 500
    depth             {"BTC": 0} or {"BTC": {"size": 0.3, "distance": 0.03}}, null for a coin: as usual
    weight_limit      weight a minute for each client (1200 at the real exchange), null is off
    weight_spent      so much is spent already: a number, or {"127.0.0.2": number} by listening address
    runaway           {"account": NAME, "agent": NAME, "every_ms": n, "usd": n}: opens orders until null
    position          {"account": NAME, "coin": "BTC", "size": "0.01"}: a fill that no client knows of
    shock             {"BTC": -0.05}: the price moves at once by a fraction

T is a type of /info ("openOrders"), of an action ("cancel"), or a path ("/info", "/exchange"). `hang_next`, `status`
and `lose_reply` also take a list of such objects; null takes all of them back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from demo.exchange.depth import Thin
from demo.exchange.market import COIN_BY_NAME, HALF_SPREAD
from demo.exchange.weights import Budgets
from demo.exchange.wire import BadRequest, number

LONGEST_LATENCY_MS = 60_000
RULES = ("hang_next", "status", "lose_reply")


@dataclass(slots=True)
class Rule:
    """A fault of one kind of request. `count` of them are left; None: until it is taken back."""

    kind: str
    type: str
    count: int | None = 1
    code: int = 500
    body: Any = None

    def as_json(self) -> dict[str, Any]:
        """The rule as `POST /faults` takes it."""
        shown: dict[str, Any] = {"type": self.type, "count": self.count}
        return shown | ({"code": self.code, "body": self.body} if self.kind == "status" else {})


@dataclass(frozen=True, slots=True)
class Runaway:
    """A writer that goes on and on. `usd` is what each of its orders is worth."""

    account: str
    agent: str
    every_ms: int
    usd: int


@dataclass(slots=True)
class Controls:
    """The faults that hold now. One-time acts (position, shock) are carried out by the application."""

    budgets: Budgets
    thin: dict[str, Thin]
    latency_ms: float = 0.0
    rules: list[Rule] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    runaway: Runaway | None = None

    def take(self, kind: str, path: str, asked: str) -> Rule | None:
        """The rule of this kind that applies to a request now; one of its count is used up."""
        for rule in self.rules:
            if rule.kind == kind and rule.type in (path, asked):
                if rule.count is not None:
                    rule.count -= 1
                    if rule.count <= 0:
                        self.rules.remove(rule)
                return rule
        return None

    def is_dead(self, path: str, asked: str) -> bool:
        """Whether requests of this type are answered 500."""
        return path in self.dead or asked in self.dead

    def merge(self, body: dict[str, Any], accounts: list[str]) -> None:
        """Takes over what the body names. Raises BadRequest, and then nothing has changed."""
        readers: dict[str, Callable[[Any], Any]] = {
            "latency_ms": lambda v: _between(v, "latency_ms", 0, LONGEST_LATENCY_MS),
            "dead": lambda v: _texts(v, "dead"),
            "depth": _depth,
            "weight_limit": lambda v: None if v is None else int(_between(v, "weight_limit", 0, 10**9)),
            "weight_spent": _spent,
            "runaway": lambda v: None if v is None else _runaway(v, accounts),
            **{kind: partial(_rules, kind=kind) for kind in RULES},
        }
        unknown = sorted(set(body) - set(readers))
        if unknown:
            raise BadRequest(f"{unknown[0]}: is no fault; known are {', '.join(readers)}, position, shock")
        read = {name: readers[name](value) for name, value in body.items()}
        for name, value in read.items():
            self._set(name, value)

    def clear(self) -> None:
        """Everything works again."""
        self.budgets.clear()
        self.thin.clear()
        self.latency_ms, self.rules, self.dead, self.runaway = 0.0, [], [], None

    def as_json(self) -> dict[str, Any]:
        """What holds now."""
        kinds = {kind: [rule.as_json() for rule in self.rules if rule.kind == kind] for kind in RULES}
        depth = {c: {"size": number(t.size), "distance": number(t.distance)} for c, t in self.thin.items()}
        runaway = self.runaway
        shown = {"account": runaway.account, "agent": runaway.agent, "every_ms": runaway.every_ms} if runaway else None
        rest = {"dead": self.dead, "depth": depth, "weight": self.budgets.as_json(), "runaway": shown}
        return {"latency_ms": self.latency_ms} | kinds | rest

    def _set(self, name: str, value: Any) -> None:
        if name in RULES:
            self.rules = [rule for rule in self.rules if rule.kind != name or value] + value
        elif name == "depth":
            for coin, thin in value.items():
                self.thin.pop(coin, None)
                if thin is not None:
                    self.thin[coin] = thin
        elif name == "weight_limit":
            self.budgets.limit = value
        elif name == "weight_spent":
            for listener, spent in value.items():
                self.budgets.preset(spent, listener)
        else:
            setattr(self, name, value)


def read_position(value: object, accounts: list[str]) -> tuple[str, str, Decimal]:
    """Account, coin and signed size of an injected fill. Raises BadRequest."""
    if not isinstance(value, dict):
        raise BadRequest("position: must be {account, coin, size}")
    account, coin = _account(value.get("account"), accounts, "position.account"), _coin(value.get("coin"), "position")
    size = _number(value.get("size"), "position.size")
    if not size or size != round(size, COIN_BY_NAME[coin].size_decimals):
        raise BadRequest(f"position.size: {coin} takes {COIN_BY_NAME[coin].size_decimals} decimals, and not 0")
    return account, coin, size


def read_shock(value: object) -> dict[str, float]:
    """Fraction by coin. Raises BadRequest."""
    if not isinstance(value, dict):
        raise BadRequest("shock: must be {coin: fraction}")
    return {_coin(coin, "shock"): _between(fraction, f"shock.{coin}", -0.9, 9) for coin, fraction in value.items()}


def _rules(value: object, kind: str) -> list[Rule]:
    found = []
    for raw in [] if value is None else value if isinstance(value, list) else [value]:
        if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
            raise BadRequest(f"{kind}: must be {{type, count}}")
        count, code = raw.get("count", 1), raw.get("code", 500)
        if not isinstance(code, int) or not 400 <= code < 600:
            raise BadRequest(f"{kind}.code: must be an HTTP status from 400 to 599")
        if count is not None and (not isinstance(count, int) or count < 1):
            raise BadRequest(f"{kind}.count: must be a whole number above 0, or null for always")
        found.append(Rule(kind, raw["type"], count, code, raw.get("body")))
    return found


def _depth(value: object) -> dict[str, Thin | None]:
    if value is None:
        return dict.fromkeys(COIN_BY_NAME)
    if not isinstance(value, dict):
        raise BadRequest("depth: must be {coin: size} or {coin: {size, distance}}")
    return {_coin(coin, "depth"): None if raw is None else _thin(raw, f"depth.{coin}") for coin, raw in value.items()}


def _thin(raw: object, where: str) -> Thin:
    size, distance = (raw.get("size"), raw.get("distance", "0")) if isinstance(raw, dict) else (raw, "0")
    thin = Thin(_number(size, f"{where}.size"), max(_number(distance, f"{where}.distance"), HALF_SPREAD))
    if thin.size < 0 or thin.distance >= 1:
        raise BadRequest(f"{where}: size must not be below 0, distance below 1")
    return thin


def _spent(value: object) -> dict[str, float]:
    spent = value if isinstance(value, dict) else {"": value}
    return {str(key): _between(number, "weight_spent", 0, 10**9) for key, number in spent.items()}


def _runaway(value: object, accounts: list[str]) -> Runaway:
    if not isinstance(value, dict) or not isinstance(value.get("agent"), str):
        raise BadRequest("runaway: must be {account, agent, every_ms, usd}")
    every = int(_between(value.get("every_ms", 50), "runaway.every_ms", 1, 60_000))
    usd = int(_between(value.get("usd", 100), "runaway.usd", 11, 100_000))
    return Runaway(_account(value.get("account"), accounts, "runaway.account"), value["agent"], every, usd)


def _account(value: object, accounts: list[str], where: str) -> str:
    if value not in accounts:
        raise BadRequest(f"{where}: {value!r} is no account; known are {', '.join(accounts) or 'none'}")
    return str(value)


def _coin(value: object, where: str) -> str:
    if not isinstance(value, str) or value not in COIN_BY_NAME:
        raise BadRequest(f"{where}: {value!r} is not a known coin ({', '.join(COIN_BY_NAME)})")
    return value


def _number(value: object, where: str) -> Decimal:
    try:
        number = Decimal(repr(value) if isinstance(value, int | float) else str(value))
    except InvalidOperation:
        raise BadRequest(f"{where}: {value!r} is not a number") from None
    if not number.is_finite() or abs(number) > 10**12:
        raise BadRequest(f"{where}: {value!r} is not a usable number")
    return number


def _between(value: object, where: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRequest(f"{where}: must be a number from {low} to {high}, got {value!r}")
    return value


def _texts(value: object, where: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{where}: must be a list of types")
    return value
