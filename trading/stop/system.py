"""Channel A: ask an instance of the trading system to stop, and read back that it did. One thread an instance."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from environments.secrets import SecretMissing, resolve
from trading.stop.settings import InstanceSettings

STOP_SECONDS, READ_SECONDS = 2.0, 1.0
"""Of one request: to stop, and to read the state."""
PAUSES = (0.3, 0.5, 1.0, 2.0, 5.0)
"""Before asking once more; the last one again and again."""
LOOKS = (0.02, 0.05, 0.1, 0.2, 0.5)
"""Before reading the state once more."""
ASIDE = 0.05
"""Before asking the supervisor about an address at which nobody listens."""
LARGEST_ANSWER = 64 * 1024

Post = Callable[..., None]
"""``post(event, **fields)``: tells the stop what happened."""


class HaltError(Exception):
    """The instance did not do as asked; ``nobody``: no process listens there."""

    def __init__(self, message: str, *, nobody: bool = False) -> None:
        super().__init__(message)
        self.nobody = nobody


def halt(
    instance: InstanceSettings,
    body: dict[str, Any],
    key: str,
    *,
    has_no_process: Callable[[], bool],
    over: threading.Event,
    post: Post,
) -> None:
    """Ask until the instance is read as halted and latched, or ``over`` is set.

    Posts ``halt_accepted``, ``halt_refused`` (each reason once in a row) and, last, ``halted``.

    Args:
        key: the Idempotency-Key, the same each time: asked twice, it stops once.
        has_no_process: asked when nobody listens; a process that is surely gone, and stays gone, is halted, too.
    """
    tries, said = 0, ""
    while not over.is_set():
        began = time.monotonic()
        try:
            operation = _ask(instance, "POST", "/v1/emergency-stop", STOP_SECONDS, body, key)
            post("halt_accepted", ms=_since(began), operation=str(operation.get("id", "")))
            if _read_back(instance, over):
                post("halted", by="state")
                return
            raise HaltError("it took the halt, but its state does not say halted and latched")
        except Exception as failed:  # whatever it is, it is said, and tried again
            error = failed if isinstance(failed, HaltError) else HaltError(f"{type(failed).__name__}: {failed}")
            # A moment later: the supervisor's answer takes computing time that the first writes need now.
            if error.nobody and not over.wait(ASIDE) and has_no_process():
                post("halted", by="process")
                return
            if str(error) != said:
                said = str(error)
                post("halt_refused", ms=_since(began), error=said)
        over.wait(PAUSES[min(tries, len(PAUSES) - 1)])
        tries += 1


def _read_back(instance: InstanceSettings, over: threading.Event) -> bool:
    """Whether its state says that it is halted and latched, within the time of a few looks."""
    for pause in LOOKS:
        state = _ask(instance, "GET", "/v1/state", READ_SECONDS)
        if state.get("role") == "HALTED" and state.get("latched"):
            return True
        if over.wait(pause):
            break
    return False


def _ask(
    instance: InstanceSettings, method: str, path: str, timeout: float, body: Any = None, key: str = ""
) -> dict[str, Any]:
    """The document that it answers. Raises HaltError."""
    parts = urlsplit(instance.url)
    try:
        headers = {"Authorization": f"Bearer {resolve(instance.token_ref)}", "Content-Type": "application/json"}
    except SecretMissing as error:
        raise HaltError(str(error)) from None
    if key:
        headers["Idempotency-Key"] = key
    address = (parts.hostname or "", parts.port)
    connection = (
        http.client.HTTPSConnection(*address, timeout=timeout, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(*address, timeout=timeout)
    )
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read(LARGEST_ANSWER)
    except ConnectionRefusedError:
        raise HaltError("nobody listens there", nobody=True) from None
    except TimeoutError:
        raise HaltError(f"no answer within {timeout:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise HaltError(f"the connection broke: {type(error).__name__} {error}".rstrip()) from None
    finally:
        connection.close()
    if not 200 <= response.status < 300:
        raise HaltError(f"answered {response.status}: {answer[:200].decode(errors='replace')}")
    try:
        document = json.loads(answer)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise HaltError(f"did not answer JSON: {answer[:60]!r}")
    return document


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
