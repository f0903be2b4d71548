"""A writer that has run away: opens positions and leaves orders behind until its process is ended.

    python -m demo.exchange.runaway --url http://127.0.0.1:8090 --key KEYFILE --every-ms 50

Signs with an agent's key like any client. For the kill switch's tests and drills; never point it at a real exchange.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.exchange.market import COINS, SIGNIFICANT_FIGURES
from demo.exchange.signatures import address_of, sign
from demo.exchange.wire import number

# Of three orders two open a position and one rests.
PATTERN = ("Ioc", "Ioc", "Gtc")
TIMEOUT_SECONDS = 2.0


def step_of(step: int, mids: Mapping[str, str], usd: int) -> dict[str, Any]:
    """The action number `step`: one order worth a little more than `usd`, in the next coin."""
    asset = step % len(COINS)
    coin, tif = COINS[asset], PATTERN[step % len(PATTERN)]
    mid = Decimal(mids[coin.name])
    limit = price(mid * (Decimal("1.02") if tif == "Ioc" else Decimal("0.9")), coin.price_decimals)
    size = (Decimal(usd) / limit).quantize(Decimal(1).scaleb(-coin.size_decimals), ROUND_DOWN)
    size += Decimal(1).scaleb(-coin.size_decimals)
    order = {"a": asset, "b": True, "p": number(limit), "s": number(size), "r": False, "t": {"limit": {"tif": tif}}}
    return {"type": "order", "orders": [order], "grouping": "na"}


def price(wish: Decimal, decimals: int) -> Decimal:
    """The nearest price below that an order may name, in USD."""
    finest = Decimal(1).scaleb(max(-decimals, wish.adjusted() - SIGNIFICANT_FIGURES + 1))
    return wish.quantize(min(finest, Decimal(1)), ROUND_DOWN)


def run(url: str, key: str, every_ms: int, usd: int) -> None:
    """Sends orders until it is ended; what fails is said once on stderr and tried again."""
    step, nonce, said = 0, 0, ""
    while True:
        started = time.monotonic()
        try:
            mids = _post(url, "/info", {"type": "allMids"})
            action, nonce = step_of(step, mids, usd), max(time.time_ns() // 1_000_000, nonce + 1)
            body = {"action": action, "nonce": nonce, "vaultAddress": None, "expiresAfter": None}
            answer = _post(url, "/exchange", body | {"signature": sign(key, action, None, nonce, None)})
            problem = "" if answer["status"] == "ok" else str(answer["response"])
        except (OSError, ValueError, KeyError) as error:
            problem = f"{type(error).__name__} {error}"
        if problem and problem != said:
            print(problem, file=sys.stderr, flush=True)
        said, step = problem, step + 1
        time.sleep(max(0.0, started + every_ms / 1000 - time.monotonic()))


def main(arguments: list[str] | None = None) -> int:
    """Runs away; exit status 2 when the key cannot be read or the exchange is not on this machine."""
    parser = argparse.ArgumentParser(prog="python -m demo.exchange.runaway", description="A writer that runs away.")
    parser.add_argument("--url", required=True, help="the paper exchange, on this machine")
    parser.add_argument("--key", type=Path, required=True, help="file with the private key of an agent")
    parser.add_argument("--every-ms", type=int, default=50, help="time between two orders")
    parser.add_argument("--usd", type=int, default=100, help="what each order is worth")
    options = parser.parse_args(arguments)
    if urlsplit(options.url).hostname not in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        print("--url: only an exchange on this machine is allowed", file=sys.stderr)
        return 2
    try:
        key = options.key.read_text().strip()
        print(f"running away as {address_of(key)}", flush=True)
    except (OSError, ValueError) as error:
        print(f"--key: {options.key} holds no key: {error}", file=sys.stderr)
        return 2
    run(options.url.rstrip("/"), key, options.every_ms, options.usd)
    return 0


def _post(url: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        return json.loads(response.read())


if __name__ == "__main__":
    sys.exit(main())
