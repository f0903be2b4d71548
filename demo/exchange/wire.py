"""What arrives at `/exchange`, read and checked; and how numbers are written.

Follows the public API of Hyperliquid: decimals as strings, times in milliseconds, an asset id is the index in the
universe, an account is the address of its master key.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from demo.exchange.account import NewOrder, Trigger
from demo.exchange.market import COINS

LARGEST_NONCE = 2**64 - 1
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_CLOID = re.compile(r"0x[0-9a-fA-F]{32}")
_NUMBER = re.compile(r"-?\d{1,20}(\.\d{1,20})?")
GROUPINGS = ("na", "normalTpsl", "positionTpsl")
BATCHES = {"order": "orders", "cancel": "cancels", "cancelByCloid": "cancels"}


class BadRequest(Exception):
    """The body does not have the shape of the API; the text says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The body of `/exchange`. `nonce` and `expires` in ms, `signature` is (r, s, v)."""

    action: dict[str, Any]
    nonce: int
    signature: tuple[int, int, int]
    vault: str | None
    expires: int | None


def number(value: Decimal) -> str:
    """A decimal the way the API writes it: no exponent, no trailing zeros."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text if text not in ("-0", "") else "0"


def decimal(value: object, where: str) -> Decimal:
    """Reads a decimal string. Raises BadRequest naming the field."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise BadRequest(f"{where}: must be a decimal string, got {value!r}")
    try:
        return Decimal(value)
    except InvalidOperation:
        raise BadRequest(f"{where}: {value!r} is not a decimal number") from None


def whole(value: object, where: str) -> int:
    """Reads a whole number that fits eight bytes. Raises BadRequest naming the field."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_NONCE:
        raise BadRequest(f"{where}: must be a whole number, got {value!r}")
    return value


def flag(value: object, where: str) -> bool:
    """Reads true or false. Raises BadRequest naming the field."""
    if not isinstance(value, bool):
        raise BadRequest(f"{where}: must be true or false, got {value!r}")
    return value


def address(value: object, where: str) -> str:
    """Reads an address, in lower case. Raises BadRequest naming the field."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise BadRequest(f"{where}: must be an address (0x and 40 hex digits), got {value!r}")
    return value.lower()


def asset(value: object, where: str) -> str:
    """The coin of an asset id. Raises BadRequest."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(COINS):
        raise BadRequest(f"{where}: {value!r} is not an asset id (0 to {len(COINS) - 1})")
    return COINS[value].name


def read_envelope(body: dict[str, Any]) -> Envelope:
    """The body of `/exchange` without a look into the action. Raises BadRequest."""
    action, signature = body.get("action"), body.get("signature")
    if not isinstance(action, dict) or not isinstance(action.get("type"), str):
        raise BadRequest("action: must be an object with a type")
    if not isinstance(signature, dict):
        raise BadRequest("signature: must be {r, s, v}")
    vault, expires = body.get("vaultAddress"), body.get("expiresAfter")
    v = whole(signature.get("v"), "signature.v")
    return Envelope(
        action=action,
        nonce=whole(body.get("nonce"), "nonce"),
        signature=(_scalar(signature.get("r"), "signature.r"), _scalar(signature.get("s"), "signature.s"), v),
        vault=None if vault is None else address(vault, "vaultAddress"),
        expires=None if expires is None else whole(expires, "expiresAfter"),
    )


def read_batch(action: dict[str, Any]) -> list[Any]:
    """The list of orders or cancels in an action. Raises BadRequest."""
    items = action.get(BATCHES[action["type"]])
    if not isinstance(items, list) or not items:
        raise BadRequest(f"action.{BATCHES[action['type']]}: must be a list that is not empty")
    return items


def read_order(raw: object, where: str, grouping: object = "na") -> NewOrder:
    """One element of `action.orders`: {a, b, p, s, r, t: {limit: {tif}} | {trigger: …}, c?}. Raises BadRequest."""
    if not isinstance(raw, dict):
        raise BadRequest(f"{where}: must be an object")
    if grouping not in GROUPINGS:
        raise BadRequest(f"action.grouping: must be one of {', '.join(GROUPINGS)}, got {grouping!r}")
    cloid = raw.get("c")
    tif, trigger = _read_kind(raw.get("t"), f"{where}.t")
    return NewOrder(
        coin=asset(raw.get("a"), f"{where}.a"),
        side="B" if flag(raw.get("b"), f"{where}.b") else "A",
        size=decimal(raw.get("s"), f"{where}.s"),
        limit=decimal(raw.get("p"), f"{where}.p"),
        tif=tif,
        reduce_only=flag(raw.get("r"), f"{where}.r"),
        cloid=None if cloid is None else read_cloid(cloid, f"{where}.c"),
        trigger=trigger,
        position_tpsl=trigger is not None and grouping == "positionTpsl",
    )


def read_cloid(value: object, where: str) -> str:
    """A client order id. Raises BadRequest."""
    if not isinstance(value, str) or not _CLOID.fullmatch(value):
        raise BadRequest(f"{where}: must be 0x and 32 hex digits, got {value!r}")
    return value


def read_cancel(raw: object, where: str) -> tuple[str, int]:
    """One element of `cancels` of a cancel: {a, o}. Raises BadRequest."""
    if not isinstance(raw, dict):
        raise BadRequest(f"{where}: must be {{a: asset id, o: order id}}")
    return asset(raw.get("a"), f"{where}.a"), whole(raw.get("o"), f"{where}.o")


def read_cancel_by_cloid(raw: object, where: str) -> tuple[str, str]:
    """One element of `cancels` of a cancelByCloid: {asset, cloid}. Raises BadRequest."""
    if not isinstance(raw, dict):
        raise BadRequest(f"{where}: must be {{asset: asset id, cloid: client order id}}")
    return asset(raw.get("asset"), f"{where}.asset"), read_cloid(raw.get("cloid"), f"{where}.cloid")


def _read_kind(kind: object, where: str) -> tuple[str, Trigger | None]:
    if not isinstance(kind, dict):
        raise BadRequest(f"{where}: must be {{limit: …}} or {{trigger: …}}")
    trigger, limit = kind.get("trigger"), kind.get("limit")
    if isinstance(trigger, dict):
        if trigger.get("tpsl") not in ("tp", "sl"):
            raise BadRequest(f"{where}.trigger.tpsl: must be tp or sl, got {trigger.get('tpsl')!r}")
        price = decimal(trigger.get("triggerPx"), f"{where}.trigger.triggerPx")
        is_market = flag(trigger.get("isMarket"), f"{where}.trigger.isMarket")
        return "Gtc", Trigger(price, is_market, trigger["tpsl"])
    tif = limit.get("tif") if isinstance(limit, dict) else None
    if tif not in ("Ioc", "Gtc", "Alo"):
        raise BadRequest(f"{where}.limit.tif: must be Ioc, Gtc or Alo, got {tif!r}")
    return tif, None


def _scalar(value: object, where: str) -> int:
    try:
        if not isinstance(value, str) or not value.startswith("0x") or len(value) > 66:
            raise ValueError
        return int(value, 16)
    except ValueError:
        raise BadRequest(f"{where}: must be 0x and up to 64 hex digits") from None
