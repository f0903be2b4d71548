"""The exchange's limit of requests: a budget of weight for each client, which refills steadily."""

from collections.abc import Callable, Mapping
from typing import Any

from demo.exchange.wire import BATCHES

LIGHT = frozenset(
    {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
)
Client = tuple[str, str]


def weight_of(path: str, body: Mapping[str, Any]) -> int:
    """What a request costs: 1 and 1 for every 40 of a batch, or 2, 20 or 60 for a question."""
    if path == "/exchange":
        action = body.get("action")
        kind = action.get("type") if isinstance(action, dict) else None
        batch = action.get(BATCHES.get(str(kind), "")) if isinstance(action, dict) else None
        return 1 + (len(batch) // 40 if isinstance(batch, list) else 0)
    kind = body.get("type")
    return 2 if kind in LIGHT else 60 if kind == "userRole" else 20


class Budgets:
    """Off while `limit` (weight a minute) is None. A client is (its address, the address it has connected to)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.limit: int | None = None
        self._clock = clock
        self._spent: dict[Client, tuple[float, float]] = {}
        self._first: dict[str, tuple[float, float]] = {}

    def spend(self, client: Client, weight: int) -> bool:
        """Takes `weight` from the client's budget; False, and nothing taken, when it is not there."""
        if self.limit is None:
            return True
        spent = self.spent(client)
        allowed = spent + weight <= self.limit
        self._spent[client] = (spent + weight if allowed else spent, self._clock())
        return allowed

    def spent(self, client: Client) -> float:
        """How much of its budget the client has spent by now."""
        first = self._first.get(client[1]) or self._first.get("") or (0.0, self._clock())
        spent, at = self._spent.get(client, first)
        return max(0.0, spent - (self._clock() - at) * (self.limit or 0) / 60)

    def preset(self, spent: float, listener: str = "") -> None:
        """Every client (or those of one listening address) has now spent so much."""
        self._first[listener] = (spent, self._clock())
        for client in self._spent:
            if listener in ("", client[1]):
                self._spent[client] = (spent, self._clock())

    def clear(self) -> None:
        """Off, and nothing spent."""
        self.limit = None
        self._spent.clear()
        self._first.clear()

    def as_json(self) -> dict[str, Any]:
        """What a look at the faults shows."""
        clients = {f"{peer}>{here}": round(self.spent((peer, here)), 1) for peer, here in self._spent}
        return {"limit": self.limit, "spent": clients}
