"""How one message leaves: a signed webhook, or Apprise for everything else. No error holds an address or a secret."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from typing import Any
from urllib.parse import urlsplit

import httpx

LIMIT_SECONDS = 5.0
"""For connecting, for sending, and for each part of the answer."""
APPRISE_SECONDS = 10.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
TIMESTAMP, SIGNATURE, DELIVERY = "OpsConsole-Timestamp", "OpsConsole-Signature", "OpsConsole-Delivery"
_STATUS = re.compile(r"error=(\d{3})")


class Undelivered(Exception):
    """A message did not arrive, as far as is known; the text says why, without the address."""

    def __init__(self, why: str, *, is_silent: bool = False) -> None:
        super().__init__(why)
        self.is_silent = is_silent
        """Nobody answered, so nobody will answer the next message either."""


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """``v1=`` and the HMAC-SHA256 of ``timestamp.body`` in hexadecimal."""
    return "v1=" + hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def post(url: str, secret: str, body: bytes, timestamp: int, message: uuid.UUID) -> None:
    """Post signed JSON; any answer 2xx is an arrival. Redirects are not followed, and the answer is not read.

    Raises:
        Undelivered: no answer within 5 seconds, or another one.
    """
    if problem := wrong_address("webhook", url):
        raise Undelivered(problem)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "OpsConsole",
        TIMESTAMP: str(timestamp),
        SIGNATURE: sign(secret, timestamp, body),
        DELIVERY: str(message),
    }
    try:
        with (
            httpx.Client(timeout=LIMIT_SECONDS, follow_redirects=False) as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            status = response.status_code
    except httpx.TimeoutException:
        raise Undelivered(f"no answer within {LIMIT_SECONDS:.0f} s", is_silent=True) from None
    except httpx.ConnectError:
        raise Undelivered("cannot connect", is_silent=True) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        raise Undelivered(f"the connection failed ({type(error).__name__})", is_silent=True) from None
    if 300 <= status < 400:
        raise Undelivered(f"answered {status}: it leads elsewhere, which is not followed; write the last address")
    if not 200 <= status < 300:
        raise Undelivered(f"answered {status}")


def apprise(url: str, title: str, text: str, *, is_critical: bool, is_over: bool) -> None:
    """Send by Apprise to the one address.

    Raises:
        Undelivered: it did not arrive; Apprise tells little of why, and what it tells may hold the address.
    """
    from apprise import NotifyFormat, NotifyType

    sender = _apprise(url)
    if sender is None:
        raise Undelivered(wrong_address("apprise", url))
    kind = NotifyType.SUCCESS if is_over else NotifyType.FAILURE if is_critical else NotifyType.WARNING
    said: list[str] = []
    try:
        result = sender.notify(
            title=title,
            body=text,
            notify_type=kind,
            body_format=NotifyFormat.TEXT,
            timeout=APPRISE_SECONDS,
            log_callback=lambda entry, service: said.append(str(entry.message)),
        )
    except Exception as error:
        raise Undelivered(f"Apprise failed ({type(error).__name__})") from None
    if not result:
        codes = _STATUS.findall(" ".join(said))
        raise Undelivered(f"Apprise: the service answered {codes[-1]}" if codes else "Apprise: not delivered")


def wrong_address(kind: str, url: str) -> str:
    """What is wrong with an address; empty when it can be used. It is not asked."""
    if kind == "apprise":
        return "" if _apprise(url) is not None else "Apprise does not know such an address, or it is more than one"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "the address of a webhook begins with https://"
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        return "plain http works on this machine only; use https://"
    return ""


def _apprise(url: str) -> Any:
    """A sender with the one address; None when it is none, or several (one that fails would repeat the others)."""
    from apprise import Apprise, AppriseAsset

    asset = AppriseAsset(
        app_id="OpsConsole",
        app_desc="Alerts",
        app_url="",
        async_mode=False,
        secure_logging=True,
        http_redirects=False,
        storage_mode="memory",
    )
    found = Apprise(asset=asset)
    return found if found.add(url) and len(found) == 1 else None
