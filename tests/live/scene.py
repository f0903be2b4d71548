"""What is live and what runs, asked over the API: the stage that a browser test finds and leaves behind."""

from __future__ import annotations

from typing import Any

from opsconsole.local.client import TERMINAL, Console
from opsconsole.local.demo import awaits_promotion

GOOD = ("v1.2.4", "v1.2.5")


class Scene:
    """Production and staging through the eyes of the API."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def live(self, environment: str = "production") -> str:
        """The release that serves."""
        found = self.console.get(f"environments/{environment}/")
        return next(slot["version"] for slot in found["slots"] if slot["name"] == found["live_slot"])

    def other_good(self, environment: str = "production") -> str:
        """The good release that is not live."""
        return next(version for version in GOOD if version != self.live(environment))

    def at_gate(self, release: str, reason: str = "Prepared by the test") -> int:
        """A deployment to production that waits for Promote; its number."""
        self.console.write_reports("production")
        deployment = self.console.deploy("production", release, reason)
        self.console.wait(deployment, lambda found: found["status"] in TERMINAL or awaits_promotion(found))
        return deployment

    def watching(self, release: str) -> int:
        """A deployment to production that was promoted and is watched; its number."""
        deployment = self.at_gate(release)
        self.act(deployment, "promote")
        self.console.wait(deployment, lambda found: found["status"] in {*TERMINAL, "watching"})
        return deployment

    def act(self, deployment: int, name: str) -> dict[str, Any]:
        """Promote, hold, resume, abort or roll back; the answer."""
        answer: dict[str, Any] = self.console.post(f"deployments/{deployment}/{name}/", {"reason": "By the test"})
        return answer

    def status(self, deployment: int) -> str:
        """The status as the API says it."""
        return str(self.console.deployment(deployment)["status"])

    def settle(self) -> None:
        """End what runs: abort it before the shift, roll it back after; then a good release must be live."""
        for environment in ("production", "staging"):
            active = self.console.get(f"environments/{environment}/")["active_deployment"]
            if active is not None:
                self._end(active["id"])
        if self.live() not in GOOD:  # on a busy machine the slow release is not slow enough, and its watch ends well
            last = self.console.get("deployments/?environment=production&page_size=1")["results"][0]
            self.console.wait(self.act(last["id"], "rollback")["id"])
        assert self.live() in GOOD, f"production is left on {self.live()}"
        self.console.write_reports("production")

    def _end(self, deployment: int) -> None:
        found = self.console.deployment(deployment)
        ends_by_itself = found["reverts"] or found["status"] in {*TERMINAL, "failing", "aborting"}
        if not ends_by_itself:
            shifted = any(step["name"] == "hand_over" and step["status"] != "pending" for step in found["steps"])
            self.act(deployment, "rollback" if shifted else "abort")
        self.console.wait(deployment)
        after = self.console.get(f"environments/{found['environment']}/")["active_deployment"]
        if after is not None:
            self.console.wait(after["id"])
