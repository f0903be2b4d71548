"""The prices of the paper exchange: one seeded random walk per coin."""

import random
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

TICK_SECONDS = 0.05
HALF_SPREAD = Decimal("0.000002")
MIN_ORDER_USD = Decimal(10)


@dataclass(frozen=True, slots=True)
class Coin:
    """A perpetual market: its name, size and price steps, start price (USD) and volatility of one tick (fraction)."""

    name: str
    size_decimals: int
    price_step: Decimal
    start: float
    volatility: float
    max_leverage: int


COINS: tuple[Coin, ...] = (
    Coin("BTC", 5, Decimal("0.1"), 95_000.0, 0.00006, 40),
    Coin("ETH", 4, Decimal("0.01"), 3_400.0, 0.00008, 25),
    Coin("SOL", 2, Decimal("0.001"), 180.0, 0.00010, 20),
)
COIN_BY_NAME: dict[str, Coin] = {coin.name: coin for coin in COINS}
# A weak pull back to the start price keeps a demo that runs for days in a believable range.
REVERSION = 0.0002


class Market:
    """Mid prices of every coin; `step()` moves all by one tick. Same seed and same ticks give the same prices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._prices = {coin.name: coin.start for coin in COINS}

    def step(self) -> None:
        """Moves every price by one tick of TICK_SECONDS."""
        for coin in COINS:
            price = self._prices[coin.name]
            pull = REVERSION * (coin.start - price) / coin.start
            self._prices[coin.name] = price * (1 + pull + self._random.gauss(0.0, coin.volatility))

    def mid(self, coin: str) -> Decimal:
        """The mid price in USD, rounded to the coin's price step. KeyError for an unknown coin."""
        return _round(self._prices[coin], COIN_BY_NAME[coin].price_step)

    def bid(self, coin: str) -> Decimal:
        """The price in USD at which a seller is filled at once."""
        step = COIN_BY_NAME[coin].price_step
        return (self.mid(coin) * (1 - HALF_SPREAD)).quantize(step, ROUND_HALF_EVEN)

    def ask(self, coin: str) -> Decimal:
        """The price in USD at which a buyer is filled at once."""
        step = COIN_BY_NAME[coin].price_step
        return (self.mid(coin) * (1 + HALF_SPREAD)).quantize(step, ROUND_HALF_EVEN)

    def dump(self) -> dict[str, float]:
        """Prices to be kept over a restart."""
        return dict(self._prices)

    def load(self, prices: dict[str, float]) -> None:
        """Goes on from prices that `dump` gave; unknown coins are ignored."""
        self._prices.update({name: float(price) for name, price in prices.items() if name in self._prices})


def _round(price: float, step: Decimal) -> Decimal:
    return Decimal(repr(price)).quantize(step, ROUND_HALF_EVEN)
