"""The synthetic order book: how much can be bought and sold at which price. Refilled with every tick."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from demo.exchange.market import COIN_BY_NAME, COINS, HALF_SPREAD, Market

# Where the levels lie (fractions away from the mid) and what each is worth in USD at the start price.
LEVELS: tuple[tuple[Decimal, int], ...] = (
    (HALF_SPREAD, 500_000),
    (Decimal("0.00001"), 500_000),
    (Decimal("0.00005"), 1_000_000),
    (Decimal("0.0002"), 1_000_000),
    (Decimal("0.0005"), 2_000_000),
    (Decimal("0.001"), 2_000_000),
    (Decimal("0.002"), 4_000_000),
    (Decimal("0.004"), 4_000_000),
)


@dataclass(frozen=True, slots=True)
class Thin:
    """What a fault leaves of a coin's book: `size` coins on each side, `distance` (a fraction) away from the mid."""

    size: Decimal
    distance: Decimal = HALF_SPREAD


class Depth:
    """Levels on both sides of every coin, and what has been taken from them since the last tick."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.thin: dict[str, Thin] = {}
        self._taken: dict[tuple[str, str], Decimal] = {}
        self._sizes = {
            coin.name: [
                (away, (Decimal(usd) / Decimal(repr(coin.start))).quantize(Decimal(1).scaleb(-coin.size_decimals)))
                for away, usd in LEVELS
            ]
            for coin in COINS
        }

    def refill(self) -> None:
        """The market makers put back what was taken."""
        self._taken.clear()

    def levels(self, coin: str, side: str) -> Iterator[tuple[Decimal, Decimal]]:
        """Price and size of what an order of this side can take now, best first; nothing empty."""
        sign, taken = (1 if side == "B" else -1), self._taken.get((coin, side), Decimal(0))
        for away, size in self._shape(coin):
            left = max(size - taken, Decimal(0))
            taken -= size - left
            if left:
                yield self.market.offset(coin, sign * away), left

    def take(self, coin: str, side: str, size: Decimal, limit: Decimal) -> list[tuple[Decimal, Decimal]]:
        """Takes up to `size` coins not worse than `limit`; answers (price, size) for each level."""
        got: list[tuple[Decimal, Decimal]] = []
        left = size
        for price, there in self.levels(coin, side):
            if not left or (price > limit if side == "B" else price < limit):
                break
            got.append((price, min(left, there)))
            left -= got[-1][1]
        self._took(coin, side, size - left)
        return got

    def reached(self, coin: str, side: str, size: Decimal) -> Decimal:
        """How much of a resting order is filled when the market has reached it; taken off the depth."""
        there = sum((size for _, size in self._shape(coin)), Decimal(0)) - self._taken.get((coin, side), Decimal(0))
        got = max(min(size, there), Decimal(0))
        self._took(coin, side, got)
        return got

    def _took(self, coin: str, side: str, size: Decimal) -> None:
        if size:
            self._taken[coin, side] = self._taken.get((coin, side), Decimal(0)) + size

    def _shape(self, coin: str) -> list[tuple[Decimal, Decimal]]:
        thin = self.thin.get(coin)
        if thin is None:
            return self._sizes[coin]
        step = Decimal(1).scaleb(-COIN_BY_NAME[coin].size_decimals)
        return [(max(thin.distance, HALF_SPREAD), thin.size.quantize(step, ROUND_DOWN))]
