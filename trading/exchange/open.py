"""From an environment's ``exchange`` to the adapter of its kind. The only place that knows which kinds there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from environments.secrets import SecretMissing, resolve
from trading.exchange.base import Exchange, ExchangeError, Markets

TIMEOUT = 1.5
"""Seconds of one request."""


def open_exchange(
    definition: Mapping[str, Any], *, timeout: float = TIMEOUT, markets: Markets | None = None
) -> Exchange:
    """The exchange account of an environment; nothing is asked yet.

    Args:
        definition: ``Environment.exchange``: kind, url, account, vault, and key as a secret reference.
        timeout: seconds of one request, connecting included.
        markets: what a snapshot knows of the markets, so that they need not be read.

    Raises:
        ExchangeError: the kind is unknown, or the reference of the key leads nowhere.
    """
    if definition.get("kind") != "hyperliquid":
        raise ExchangeError(f"there is no adapter for an exchange of the kind {definition.get('kind')!r}")
    # Read here only: the SDK takes 0.4 s to be imported, and not every process needs it.
    from trading.exchange.hyperliquid import Hyperliquid

    try:
        key = resolve(str(definition["key"]))
        address = str(definition["url"]), str(definition["account"])
        return Hyperliquid(*address, key, vault=str(definition.get("vault") or ""), timeout=timeout, markets=markets)
    except SecretMissing as error:
        raise ExchangeError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ExchangeError(f"the exchange is not described as it must be: {error!r}") from error


def preload() -> None:
    """Import the SDK now and sign once, so that the first use does not wait for it (0.4 s)."""
    from trading.exchange.hyperliquid import warm_up

    warm_up()
