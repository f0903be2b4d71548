"""The configuration: the release's default, the environment's file over it, validated before use."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STRATEGY_NAMES = ("geometry", "kinematics")
SYMBOLS = ("BTC", "ETH", "SOL")


class ConfigError(Exception):
    """The configuration is not valid. `errors` lists {pointer, detail} for each fault."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{e['pointer']}: {e['detail']}" for e in errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class StrategyConfig:
    """One strategy. `order_usd` is the value of an opening order; intervals are seconds between two orders."""

    enabled: bool
    symbols: tuple[str, ...]
    order_usd: float
    min_interval_s: float
    max_interval_s: float
    confidence_min: float


@dataclass(frozen=True, slots=True)
class Config:
    """A validated configuration. `revision` identifies its `content`. Limits of losses are fractions of the account."""

    revision: str
    trading_enabled: bool
    max_positions: int
    max_position_usd: float
    strategies: Mapping[str, StrategyConfig]
    daily_loss_limit: float
    rapid_loss_limit: float
    rapid_loss_seconds: float
    max_consecutive_losses: int
    max_rejected_orders: int
    holdings: Mapping[str, float]
    content: Mapping[str, Any]

    @property
    def traded(self) -> frozenset[str]:
        """Every symbol that a strategy trades."""
        return frozenset(symbol for strategy in self.strategies.values() for symbol in strategy.symbols)


def load_config(default: Path, override: Path | None = None) -> Config:
    """Reads the release's file and the environment's file over it. Raises ConfigError."""
    merged = read_yaml(default)
    if override is not None:
        merged = merge(merged, read_yaml(override))
    return validate(merged)


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping. Raises ConfigError naming the file and line."""
    try:
        value = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ConfigError([{"pointer": str(path), "detail": f"cannot be read: {error.strerror}"}]) from error
    except yaml.YAMLError as error:
        raise ConfigError([{"pointer": str(path), "detail": f"is not YAML: {error}"}]) from error
    if not isinstance(value, dict):
        raise ConfigError([{"pointer": str(path), "detail": "must be a mapping"}])
    return value


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; a list or a scalar replaces what was there."""
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        result[key] = merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def revision_of(raw: Mapping[str, Any]) -> str:
    """The revision of a configuration: `cfg-` and 12 hex digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(raw, sort_keys=True, separators=(",", ":"), default=str)
    return "cfg-" + hashlib.sha256(canonical.encode()).hexdigest()[:12]


def validate(raw: Mapping[str, Any]) -> Config:
    """Checks every field and answers the configuration. Raises ConfigError with all faults at once."""
    check = _Checker(raw)
    config = Config(
        revision=revision_of(raw),
        trading_enabled=check.boolean("/trading/enabled"),
        max_positions=int(check.number("/trading/max_positions", 1, 100)),
        max_position_usd=check.number("/trading/max_position_usd", 1, 1e7),
        strategies={name: _strategy(check, f"/strategies/{name}") for name in STRATEGY_NAMES},
        daily_loss_limit=check.number("/risk/daily_loss_limit", 0.0001, 1),
        rapid_loss_limit=check.number("/risk/rapid_loss_limit", 0.0001, 1),
        rapid_loss_seconds=check.number("/risk/rapid_loss_seconds", 1, 3600),
        max_consecutive_losses=int(check.number("/risk/max_consecutive_losses", 1, 10_000)),
        max_rejected_orders=int(check.number("/risk/max_rejected_orders", 1, 1000)),
        holdings=check.amounts("/holdings", 1e6),
        content=dict(raw),
    )
    for symbol in sorted(config.traded & set(config.holdings)):
        check.fault(f"/holdings/{symbol}", "is traded by a strategy; hold a symbol that none trades")
    check.names("/strategies", STRATEGY_NAMES)
    if check.errors:
        raise ConfigError(check.errors)
    return config


def _strategy(check: "_Checker", at: str) -> StrategyConfig:
    strategy = StrategyConfig(
        enabled=check.boolean(f"{at}/enabled"),
        symbols=check.symbols(f"{at}/symbols"),
        order_usd=check.number(f"{at}/order_usd", 0.01, 1e6),
        min_interval_s=check.number(f"{at}/min_interval_s", 0.05, 3600),
        max_interval_s=check.number(f"{at}/max_interval_s", 0.05, 3600),
        confidence_min=check.number(f"{at}/confidence_min", 0, 1),
    )
    if strategy.max_interval_s < strategy.min_interval_s:
        check.fault(f"{at}/max_interval_s", "must not be below min_interval_s")
    return strategy


class _Checker:
    """Reads fields by JSON pointer and collects faults, so that one answer names them all."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw
        self.errors: list[dict[str, str]] = []

    def fault(self, pointer: str, detail: str) -> None:
        self.errors.append({"pointer": pointer, "detail": detail})

    def value(self, pointer: str) -> Any:
        found: Any = self._raw
        for key in pointer.strip("/").split("/"):
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def boolean(self, pointer: str) -> bool:
        value = self.value(pointer)
        if not isinstance(value, bool):
            self.fault(pointer, f"must be true or false, got {value!r}")
        return bool(value)

    def number(self, pointer: str, low: float, high: float) -> float:
        value = self.value(pointer)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.fault(pointer, f"must be a number from {low:g} to {high:g}, got {value!r}")
            return low
        return float(value)

    def symbols(self, pointer: str) -> tuple[str, ...]:
        value = self.value(pointer)
        if not isinstance(value, list) or not value or not all(symbol in SYMBOLS for symbol in value):
            self.fault(pointer, f"must be a list of {', '.join(SYMBOLS)}, got {value!r}")
            return ()
        return tuple(value)

    def amounts(self, pointer: str, limit: float) -> dict[str, float]:
        value = self.value(pointer)
        if not isinstance(value, dict):
            self.fault(pointer, f"must map symbols to USD, got {value!r}")
            return {}
        return {str(symbol): self.number(f"{pointer}/{symbol}", -limit, limit) for symbol in value}

    def names(self, pointer: str, known: tuple[str, ...]) -> None:
        value = self.value(pointer)
        for name in value if isinstance(value, dict) else ():
            if name not in known:
                self.fault(f"{pointer}/{name}", f"is not a known strategy ({', '.join(known)})")
