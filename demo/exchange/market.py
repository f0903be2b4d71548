"""The prices of the paper exchange: one seeded random walk per coin, and which prices an order may name."""

import random
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

TICK_SECONDS = 0.05
HALF_SPREAD = Decimal("0.000002")
MIN_ORDER_USD = Decimal(10)
# Rules of the exchange for the price of an order in a perpetual market.
SIGNIFICANT_FIGURES = 5
MAX_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Coin:
    """A perpetual market: its name, decimals of a size, start price (USD), volatility of one tick (fraction)."""

    name: str
    size_decimals: int
    start: float
    volatility: float
    max_leverage: int

    @property
    def price_decimals(self) -> int:
        """The most decimals a price may have."""
        return MAX_DECIMALS - self.size_decimals

    @property
    def price_step(self) -> Decimal:
        """The finest price in USD."""
        return Decimal(1).scaleb(-self.price_decimals)


# The place in this list is the asset id. The synthetic quotes use the finest price, the orders of clients may name
# five significant figures only: a spread of one such tick would cost the demo's strategies more than they trade for.
COINS: tuple[Coin, ...] = (
    Coin("BTC", 5, 95_000.0, 0.00006, 40),
    Coin("ETH", 4, 3_400.0, 0.00008, 25),
    Coin("SOL", 2, 180.0, 0.00010, 20),
    Coin("BNB", 3, 640.0, 0.00007, 10),
    Coin("XRP", 0, 2.3, 0.00010, 20),
    Coin("DOGE", 0, 0.38, 0.00012, 10),
    Coin("AVAX", 2, 41.0, 0.00011, 10),
    Coin("LINK", 1, 24.0, 0.00010, 10),
    Coin("LTC", 2, 118.0, 0.00008, 10),
    Coin("ADA", 0, 0.92, 0.00011, 10),
    Coin("SUI", 1, 4.2, 0.00012, 10),
    Coin("HYPE", 2, 26.0, 0.00012, 10),
)
COIN_BY_NAME: dict[str, Coin] = {coin.name: coin for coin in COINS}
ASSET_BY_NAME: dict[str, int] = {coin.name: index for index, coin in enumerate(COINS)}
# A weak pull back to the start price keeps a demo that runs for days in a believable range.
REVERSION = 0.0002


class Market:
    """Mid prices of every coin; `step()` moves all by one tick. Same seed and same ticks give the same prices."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._prices = {coin.name: coin.start for coin in COINS}
        self._mids: dict[str, Decimal] = {}
        self._round()

    def step(self) -> None:
        """Moves every price by one tick of TICK_SECONDS."""
        for coin in COINS:
            price = self._prices[coin.name]
            pull = REVERSION * (coin.start - price) / coin.start
            self._prices[coin.name] = price * (1 + pull + self._random.gauss(0.0, coin.volatility))
        self._round()

    def shock(self, coin: str, fraction: float) -> None:
        """Moves one price at once by a fraction (-0.05 is five percent down). KeyError for an unknown coin."""
        self._prices[coin] *= 1 + fraction
        self._round()

    def mid(self, coin: str) -> Decimal:
        """The mid price in USD, rounded to the coin's price step. KeyError for an unknown coin."""
        return self._mids[coin]

    def bid(self, coin: str) -> Decimal:
        """The best price in USD for a seller."""
        return self.offset(coin, -HALF_SPREAD)

    def ask(self, coin: str) -> Decimal:
        """The best price in USD for a buyer."""
        return self.offset(coin, HALF_SPREAD)

    def offset(self, coin: str, fraction: Decimal) -> Decimal:
        """The price in USD that is away from the mid by a signed fraction."""
        return (self._mids[coin] * (1 + fraction)).quantize(COIN_BY_NAME[coin].price_step, ROUND_HALF_EVEN)

    def dump(self) -> dict[str, float]:
        """Prices to be kept over a restart."""
        return dict(self._prices)

    def load(self, prices: dict[str, float]) -> None:
        """Goes on from prices that `dump` gave; unknown coins are ignored."""
        self._prices.update({name: float(price) for name, price in prices.items() if name in self._prices})
        self._round()

    def _round(self) -> None:
        for coin in COINS:
            price = Decimal(repr(self._prices[coin.name]))
            self._mids[coin.name] = price.quantize(coin.price_step, ROUND_HALF_EVEN)


def on_tick(coin: Coin, price: Decimal) -> bool:
    """Whether an order may name this price: few enough decimals, and five significant figures or a whole number."""
    _, digits, exponent = price.normalize().as_tuple()
    if not isinstance(exponent, int) or exponent >= 0:
        return isinstance(exponent, int)
    return -exponent <= coin.price_decimals and len(digits) <= SIGNIFICANT_FIGURES
