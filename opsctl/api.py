"""The client of the console's REST API: one answer or one error, and a POST that is never done twice."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opsctl import VERSION, waiting
from opsctl.config import is_loopback
from opsctl.errors import NotSignedIn, OpsctlError, Unreachable, from_answer
from opsctl.session import Credentials
from opsctl.store import ends_at

if TYPE_CHECKING:
    import httpx

RETRY_AFTER = (0.2, 0.5, 1.0)
"""Pauses before the second, third and fourth try, in seconds."""
TRY_AGAIN = frozenset({502, 503, 504})
CONNECT_SECONDS, READ_SECONDS = 4.0, 20.0
DUE = timedelta(days=14)
PAGE_SIZE = 200

Notice = Callable[[str], None]


class Client:
    """Talks to one console as one person. Every method raises OpsctlError.

    Args:
        notice: told, once, what is worth a line beside the answer (a key that ends soon).
        seconds: a limit for each request, when it must be quick; it is not tried again then.
    """

    def __init__(self, url: str, credentials: Credentials, notice: Notice, *, seconds: float | None = None) -> None:
        import httpx

        self.url = url
        self._credentials, self._notice, self._noticed = credentials, notice, False
        limit = httpx.Timeout(seconds or READ_SECONDS, connect=seconds or CONNECT_SECONDS)
        self._pauses: tuple[float, ...] = () if seconds else RETRY_AFTER
        # A proxy of the environment is for the way outside, never for this machine.
        outside = not is_loopback(urlsplit(url).hostname or "")
        agent = {"User-Agent": f"opsctl/{VERSION}", "Accept": "application/json"}
        self._http = httpx.Client(base_url=f"{url}/api/v1/", timeout=limit, headers=agent, trust_env=outside)

    def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET; members of the query that are None are left out."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._json(self._signed("GET", path, params=wanted))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, once: bool = False) -> Any:
        """The answer to a POST. It carries an Idempotency-Key, so trying again after a lost answer does nothing.

        Args:
            once: do not try again: the answer holds a secret that the console does not keep for a second one.
        """
        key = {"Idempotency-Key": str(uuid.uuid4())}
        pauses = () if once else self._pauses
        return self._json(self._signed("POST", path, pauses=pauses, json=dict(body or {}), headers=key))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a PATCH. Its body names what it was made from, so trying again cannot do it twice."""
        return self._json(self._signed("PATCH", path, pauses=(), json=dict(body)))

    def open_post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a POST without a credential: the sign-in itself, which is not tried again."""
        return self._json(self._send("POST", path, {}, pauses=(), json=dict(body)))

    def listed(self, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """The first ``limit`` entries of a list, over as many pages as it takes."""
        answer = self.get(path, page_size=min(limit, PAGE_SIZE), **query)
        found: list[dict[str, Any]] = list(answer["results"])
        while answer.get("next") and len(found) < limit:
            following = urlsplit(str(answer["next"]))  # only its query: the host stays the one that was chosen
            answer = self._json(self._signed("GET", f"{path}?{following.query}"))
            found += answer["results"]
        return found[:limit]

    def stream(self, path: str, **query: Any) -> Iterator[bytes]:
        """The body of a GET in pieces, for what may be large."""
        import httpx

        wanted = {name: value for name, value in query.items() if value is not None}
        request = self._http.build_request("GET", path, params=wanted, headers=self._bearer() | {"Accept": "*/*"})
        try:
            response = self._http.send(request, stream=True)
            try:
                if response.is_error:
                    response.read()
                    raise _refusal(response)
                yield from response.iter_bytes()
            finally:
                response.close()
        except httpx.TransportError as error:
            raise self._unreachable(request, error) from None

    def _signed(
        self, method: str, path: str, *, pauses: tuple[float, ...] | None = None, **given: Any
    ) -> httpx.Response:
        bearer, tries = self._bearer(), self._pauses if pauses is None else pauses
        try:
            return self._send(method, path, bearer, pauses=tries, **given)
        except NotSignedIn as error:
            if self._credentials.is_api_key:
                error.todo = f"The API key is that of {self._credentials.origin}. Make a new one, or: opsctl login"
                raise
        # The token was fresh by our clock and is refused all the same: ended there, or the clocks differ.
        self._credentials.renew(self.open_post)
        return self._send(method, path, self._bearer(), pauses=tries, **given)

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._credentials.token(self.open_post)}"}

    def _send(
        self, method: str, path: str, bearer: Mapping[str, str], *, pauses: tuple[float, ...], **given: Any
    ) -> httpx.Response:
        """The answer, after a bounded number of tries with the very same request."""
        import httpx

        all_headers = {**given.pop("headers", {}), **bearer}
        request = self._http.build_request(method, path, headers=all_headers, **given)
        for wait in (*pauses, None):
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                if wait is None:
                    raise self._unreachable(request, error) from None
            else:
                if response.status_code not in TRY_AGAIN or wait is None:
                    break
            waiting.pause(wait)
        self._look_at_expiry(response)
        if response.is_error or response.is_redirect:
            raise _refusal(response)
        return response

    def _unreachable(self, request: httpx.Request, error: Exception) -> Unreachable:
        why = str(error) or type(error).__name__
        asked = f"{request.method} {request.url}"
        todo = "Check the address and the network. Trading and running deployments do not depend on this connection."
        return Unreachable(f"{self.url} does not answer: {why}.", todo, request=asked)

    def _look_at_expiry(self, response: httpx.Response) -> None:
        text = response.headers.get("X-Key-Expires-At")
        if not text or self._noticed or not self._credentials.is_api_key:
            return
        left = ends_at(text) - datetime.now(UTC)
        if left < DUE:
            self._noticed = True
            self._notice(expiry_words(left))

    def _json(self, response: httpx.Response) -> Any:
        if response.status_code == 204 or not response.content:
            return {}
        try:
            return response.json()
        except json.JSONDecodeError:
            asked = f"{response.request.method} {response.request.url}"
            raise Unreachable(f"{self.url} answered something that is not the console's.", request=asked) from None


def expiry_words(left: timedelta) -> str:
    """The warning about a key that ends soon."""
    days = max(0, left.days)
    when = "within a day" if days < 1 else f"in {days} day{'' if days == 1 else 's'}"
    return f"Your API key ends {when}. Rotate it: opsctl keys rotate PREFIX"


def _refusal(response: httpx.Response) -> OpsctlError:
    asked = f"{response.request.method} {response.request.url}"
    try:
        problem = response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        problem = None
    if not isinstance(problem, dict):
        problem = {"detail": f"{response.request.url} answered {response.status_code} {response.reason_phrase}."}
    if response.is_redirect:
        where = response.headers.get("Location", "elsewhere")
        return Unreachable(f"The console answers from another address: {where}", "Use that one.", request=asked)
    if wait := response.headers.get("Retry-After"):
        problem.setdefault("retry_after", wait)
    return from_answer(response.status_code, problem, asked)
