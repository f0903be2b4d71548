"""Makes the paper exchange misbehave, or shows and ends what it does wrong.

python -m demo.exchange.faults mismatch --account production --coin BTC --size 0.01
python -m demo.exchange.faults shock --coin BTC --fraction -0.05
python -m demo.exchange.faults clear
"""

import argparse
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

DEFAULT_PORT = 8090
TIMEOUT_SECONDS = 5.0
TYPE = "type of /info (openOrders), of an action (order, cancel), or a path (/info, /exchange)"
Arguments = argparse.Namespace
# For each command: what it does, its arguments as (name, options), and the body of POST /faults (None: other method).
COMMANDS: dict[str, tuple[str, list[tuple[str, dict[str, Any]]], Callable[[Arguments], dict[str, Any]] | None]] = {
    "show": ("what is wrong now", [], None),
    "clear": ("everything works again", [], None),
    "mismatch": (
        "a fill that the trading system knows nothing of",
        [
            ("--account", {"default": "production"}),
            ("--coin", {"default": "BTC"}),
            ("--size", {"default": "0.01", "help": "in coins, below 0 sells"}),
        ],
        lambda a: {"position": {"account": a.account, "coin": a.coin, "size": a.size}},
    ),
    "shock": (
        "a price moves at once",
        [("--coin", {"default": "BTC"}), ("--fraction", {"type": float, "default": -0.05})],
        lambda a: {"shock": {a.coin: a.fraction}},
    ),
    "latency": (
        "every round trip takes longer",
        [("ms", {"type": float, "help": "0 ends it"})],
        lambda a: {"latency_ms": a.ms},
    ),
    "hang": (
        "requests are never answered",
        [("type", {"help": TYPE}), ("--count", {"type": int, "default": 1})],
        lambda a: {"hang_next": {"type": a.type, "count": a.count}},
    ),
    "status": (
        "requests are answered with an error and nothing is done",
        [
            ("type", {"help": TYPE}),
            ("code", {"type": int}),
            ("--count", {"type": int, "help": "how many; without it until clear"}),
        ],
        lambda a: {"status": {"type": a.type, "code": a.code, "count": a.count}},
    ),
    "lose": (
        "actions are done, but the answer is lost",
        [("type", {"help": TYPE}), ("--count", {"type": int, "default": 1})],
        lambda a: {"lose_reply": {"type": a.type, "count": a.count}},
    ),
    "dead": (
        "these types are always answered 500",
        [("types", {"nargs": "*", "help": f"none ends it; {TYPE}"})],
        lambda a: {"dead": a.types},
    ),
    "depth": (
        "a coin's book is thin (0: no liquidity)",
        [
            ("coin", {}),
            ("size", {"nargs": "?", "help": "coins on each side; without it as usual"}),
            ("--distance", {"default": "0", "help": "away from the mid, as a fraction"}),
        ],
        lambda a: {"depth": {a.coin: None if a.size is None else {"size": a.size, "distance": a.distance}}},
    ),
    "limit": (
        "requests are limited by weight",
        [
            ("weight", {"type": int, "help": "a minute for each client, 1200 at the real exchange"}),
            ("--spent", {"type": float, "default": 0.0, "help": "so much is spent already"}),
        ],
        lambda a: {"weight_limit": a.weight, "weight_spent": a.spent},
    ),
    "runaway": (
        "a writer goes on opening orders (--every-ms 0 ends it)",
        [
            ("--account", {"default": "production"}),
            ("--agent", {"default": "production-blue-1"}),
            ("--every-ms", {"type": int, "default": 50}),
            ("--usd", {"type": int, "default": 100}),
        ],
        lambda a: {
            "runaway": {"account": a.account, "agent": a.agent, "every_ms": a.every_ms, "usd": a.usd}
            if a.every_ms
            else None
        },
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Sends one change and prints what holds then; exit status 1 when it was refused, 2 when nothing answers."""
    options = _parser().parse_args(arguments)
    body = COMMANDS[options.command][2]
    method = {"show": "GET", "clear": "DELETE"}.get(options.command, "POST")
    url = f"http://127.0.0.1:{options.port}/faults"
    data = json.dumps(body(options)).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            print(json.dumps(json.loads(response.read()), indent=2))
    except urllib.error.HTTPError as error:
        print(error.read().decode(errors="replace"), file=sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        print(f"no paper exchange answers on port {options.port}: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo.exchange.faults", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the paper exchange on this machine")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (what, fields, _) in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        for field, settings in fields:
            command.add_argument(field, **settings)
    return parser


if __name__ == "__main__":
    sys.exit(main())
