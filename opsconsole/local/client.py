"""A small client of the console's REST API, for the demo, the scenario and the benchmarks."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

POLL_SECONDS = 0.05
TERMINAL = frozenset({"succeeded", "aborted", "rolled_back", "failed"})


class ConsoleError(Exception):
    """The console answered with an error, or what was waited for did not happen in time."""


class Console:
    """Acts as one person, by API key."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/api/v1/", headers={"Authorization": f"Bearer {key}"}, timeout=10)

    @classmethod
    def as_role(cls, url: str, keys: Path, role: str = "admin") -> Console:
        """A client with the demo's key of a role."""
        return cls(url, json.loads(keys.read_text())[role])

    def get(self, path: str, **params: Any) -> Any:
        """The answer to a GET. Raises ConsoleError."""
        return self._answer(self._http.get(path, params=params))

    def post(self, path: str, body: dict[str, Any], key: str | None = None) -> Any:
        """The answer to a POST; ``key`` is its Idempotency-Key, by default a new one. Raises ConsoleError."""
        return self._answer(self._http.post(path, json=body, headers={"Idempotency-Key": key or str(uuid.uuid4())}))

    def deploy(self, environment: str, release: str, reason: str) -> int:
        """Start a blue/green deployment; its id."""
        body = {"environment": environment, "release": release, "strategy": "blue_green", "reason": reason}
        body["large_change_reason"] = reason  # the gate asks for it where a change is large
        return int(self.post("deployments/", body)["id"])

    def deployment(self, deployment_id: int) -> dict[str, Any]:
        """A deployment as the API shows it."""
        found: dict[str, Any] = self.get(f"deployments/{deployment_id}/")
        return found

    def wait(
        self, deployment_id: int, done: Callable[[dict[str, Any]], bool] | None = None, timeout: float = 90
    ) -> dict[str, Any]:
        """Poll a deployment until ``done`` (by default: until it ends).

        Raises:
            ConsoleError: not within ``timeout`` seconds; the message says how far it came.
        """
        deadline = time.monotonic() + timeout
        reached = done or (lambda found: found["status"] in TERMINAL)
        while True:
            found = self.deployment(deployment_id)
            if reached(found):
                return found
            if time.monotonic() > deadline:
                steps = ", ".join(
                    f"{s['name']}={s['status']} {s['detail']}" for s in found["steps"] if s["status"] != "pending"
                )
                raise ConsoleError(f"deployment {deployment_id} is {found['status']} after {timeout:.0f} s: {steps}")
            time.sleep(POLL_SECONDS)

    def write_reports(self, environment: str) -> None:
        """Complete the rollback reports that an environment owes, as a person would; the next deployment waits for it.

        Raises:
            ConsoleError: a rollback does not end, or a report is refused.
        """
        for owed in self.get("rollback-reports/", environment=environment, state="owed")["results"]:
            self.wait(owed["rollback"])
            found = self.get(f"rollback-reports/{owed['id']}/")
            answers = {name: found[name] or text for name, text in found["proposed"].items()}
            answers["prevention"] = found["prevention"] or "Looked into with the next version."
            self.post(f"rollback-reports/{owed['id']}/complete/", {"revision": found["revision"], **answers})

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        if response.is_error:
            raise ConsoleError(
                f"{response.request.method} {response.request.url}: {response.status_code} {response.text[:1000]}"
            )
        return response.json()
