"""Each runbook of the specification, carried out in a browser against the fault that it is for, to a fixed system."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from playwright.sync_api import Locator, Page, expect

from opsconsole.local.client import TERMINAL
from tests.live.test_every_page import examine
from tests.live.visitor import PATIENCE, Visitor

pytestmark = pytest.mark.timeout(300)


class Walk:
    """A run of a runbook as its person goes through it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.get_by_role("button", name="Start a run").click()
        page.wait_for_url(re.compile(r"/runbook-runs/\d+/"))
        self.address = re.search(r"/runbook-runs/\d+/", page.url)[0]

    @property
    def step(self) -> Locator:
        """The current step."""
        return self.page.locator("#step")

    def at(self, title: str) -> Locator:
        """Wait until this step is current."""
        expect(self.page.locator("#step-title")).to_contain_text(title, timeout=PATIENCE)
        return self.step

    def look(self, *expected: str) -> None:
        """Run the checks of the step; what they say."""
        self.step.get_by_role("button", name=re.compile(r"^(Run all \d+ checks|Check)")).first.click()
        for text in expected:
            expect(self.step).to_contain_text(text, timeout=PATIENCE)

    def done(self) -> None:
        """As expected."""
        self.step.get_by_role("button", name="Done", exact=True).click()

    def failed(self, why: str) -> None:
        """Not as expected: the dialog, a reason, the button."""
        self.step.get_by_role("link", name="Failed", exact=True).click()
        dialog = self.page.locator("dialog:modal")
        dialog.get_by_label("What did you see?").fill(why)
        dialog.get_by_role("button", name="Failed", exact=True).click()

    def fix(self, name: str, effect: str) -> None:
        """Carry a fix out: see what it would do, a reason, the button that names it."""
        self.step.get_by_role("link", name=re.compile(f"See what it would do ?: {name}")).click()
        dialog = self.page.locator("dialog:modal")
        expect(dialog).to_contain_text(effect, timeout=PATIENCE)
        dialog.get_by_label("Reason").fill("The runbook says so")
        dialog.get_by_role("button", name=name).click()

    def go(self, name: str) -> None:
        """Follow a fix to the page where it is done."""
        self.step.get_by_role("link", name=re.compile(f"Go to its page ?: {name}")).click()

    def back(self) -> None:
        """Return by the notice that every other page has."""
        self.page.get_by_role("link", name=re.compile("^Back to it")).first.click()
        self.page.wait_for_url(re.compile(self.address))

    def finish(self, summary: str) -> None:
        """The last step is done; it is resolved, and the report stays."""
        self.done()
        self.page.get_by_label("What was it, and what did you do?").first.fill(summary)
        self.page.get_by_role("button", name="Finish: resolved").first.click()
        result = self.page.locator("#run-body .result")
        expect(result).to_contain_text("Resolved", timeout=PATIENCE)
        expect(result).to_contain_text(summary)


def test_a_version_that_will_not_start(visitor, scene):
    live, other = scene.live("staging"), scene.other_good("staging")
    failed = scene.console.deploy("staging", "v1.2.9", "Smaller orders")
    assert scene.console.wait(failed)["status"] == "failed"
    ada = visitor("Admin")
    page = ada.page
    page.goto(f"/deployments/{failed}/")
    page.get_by_role("link", name="Runbook: System will not start").click()
    walk = Walk(page)
    walk.at("Is the old version still trading?")
    walk.look(live)
    walk.done()
    walk.at("Read why it did not start")
    walk.look("order_usd", "60 USD")
    page.get_by_label("What you see and do").fill("order_usd is “60 USD”: a unit in a number")
    expect(page.locator("[data-saved]")).to_contain_text("Kept", timeout=PATIENCE)
    otto = watching(visitor("Operator", width=390), walk.address)
    walk.done()
    walk.at("Is the configuration valid?")
    expect(otto.page.locator("#step-title")).to_contain_text("Is the configuration valid?", timeout=PATIENCE)
    walk.failed("strategies.kinematics.order_usd: “60 USD” is no number")
    walk.at("Mend the cause and deploy")
    walk.step.get_by_role("link", name="Start a deployment to staging").click()
    mended = ada.start("staging", other, "Without the unit")
    scene.console.wait(mended, lambda found: found["status"] in ("watching", *TERMINAL))
    assert scene.live("staging") == other
    page.reload()
    walk.back()
    walk.done()
    walk.at("Verify")
    walk.look(other)
    walk.done()
    walk.at("Root cause")
    found = examine(ada, walk.address)
    page.set_viewport_size({"width": 1440, "height": 900})  # on a phone the outcomes are in the bar at the bottom
    walk.finish("A unit stood in a number of the configuration. Mended and deployed.")
    found += examine(ada, walk.address)
    page.goto(f"{walk.address}?print=1")
    expect(page.locator(".sheet")).to_contain_text("“60 USD” is no number")
    assert not found, "\n".join(found)


def watching(otto: Visitor, address: str) -> Visitor:
    """Somebody else who follows the run."""
    otto.page.goto(address)
    expect(otto.page.locator("#run-body")).to_contain_text("You watch, live.")
    expect(otto.page.locator("#run-notes")).to_contain_text("a unit in a number")
    otto.sees_live()
    return otto


def test_positions_that_do_not_reconcile(visitor, scene, stack):
    ada = visitor("Admin")
    page = ada.page
    fault = ("mismatch", "--account", "staging", "--coin", "BTC", "--size", "0.02")
    command = [sys.executable, "-m", "demo.exchange.faults", "--port", str(stack.ports.exchange), *fault]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    page.goto("/runbooks/positions-not-reconciling/?environment=staging")
    walk = Walk(page)
    walk.at("Get both positions")
    walk.look("BTC")
    walk.done()
    walk.at("Does it grow?")
    walk.done()
    walk.at("Did a deployment bring it?")
    walk.done()
    walk.at("Missed fill notification?")
    walk.failed("The system knows nothing of a fill of 0.02 BTC")
    walk.at("Take over the exchange's positions")
    walk.fix("Take over the exchange's positions", "BTC")
    expect(walk.step).to_contain_text("Read back at", timeout=PATIENCE)
    walk.done()
    walk.at("Verify")
    walk.look("agree")
    walk.done()
    walk.at("Root cause")
    walk.finish("A fill that the system never heard of. The exchange's positions were taken over.")


def test_a_circuit_breaker(invited, scene):
    vera, wanda = invited("brita", "Admin").enrolled(), invited("wilma", "Admin").enrolled()
    scene.console.post("environments/staging/circuit-breaker/trip/", {"reason": "Odd fills"})
    page = vera.page
    page.goto("/alerts/?kind=breaker&state=open")
    page.locator("table.table-alerts th a").first.click()
    page.get_by_role("link", name="Runbook: Circuit breaker activated").click()
    walk = Walk(page)
    walk.at("Why did it open?")
    walk.look("Opened by hand")
    for title in (
        "Why did it open?",
        "What is open at the exchange?",
        "Daily loss limit, or losses in a row?",
        "Rapid losses, or a malfunction?",
        "Is the issue fixed?",
        "Were the losses legitimate?",
        "Is the system healthy?",
    ):
        walk.at(title)
        walk.done()
    walk.at("Reset, then resume")
    walk.go("Validate and reset the circuit breaker")
    reset_the_breaker(page)
    walk.back()
    walk.go("Ask to resume trading")
    resume(page, wanda.page)
    walk.back()
    walk.done()
    walk.at("Verify")
    walk.look("closed")
    walk.done()
    walk.at("Root cause")
    walk.finish("Opened by hand after odd fills. Validated, reset, resumed by two people.")


def reset_the_breaker(page: Page) -> None:
    """The three questions, and the fresh proof."""
    for question in page.locator(".question").all():
        question.get_by_role("radio", name="Yes").check()
        question.get_by_label("What the answer rests on").fill("Looked at, see the runbook")
    page.get_by_role("button", name="Keep the answers").click()
    page.get_by_label("Type the environment's name").fill("staging")
    page.get_by_label("Reason").last.fill("Validated")
    page.get_by_role("button", name="Reset the breaker with my passkey").click()
    expect(page.locator("h1 + .sub")).to_contain_text("Reset", timeout=PATIENCE)


def resume(page: Page, other: Page) -> None:
    """One asks, the other approves, and it is read back."""
    page.get_by_label("Reason").fill("Reset after validation")
    page.get_by_role("button", name="Ask for leave to resume").click()
    page.wait_for_url(re.compile(r"/clearances/\d+/$"))
    other.goto(page.url)
    other.locator("#decision").get_by_role("link", name="Approve").click()
    other.locator("dialog:modal").get_by_role("button", name="Approve").click()
    expect(other.locator("#decision")).to_contain_text("Read back", timeout=PATIENCE)


def test_high_latency(visitor, scene):
    before = scene.live()
    body = {"environment": "production", "release": "v1.3.0", "strategy": "blue_green", "reason": "Better prices"}
    body |= {"large_change_reason": "One feature", "override_reason": "Tried by the test"}
    slow = int(scene.console.post("deployments/", body)["id"])
    scene.console.wait(slow, lambda found: found["status"] != "running" or awaits(found))
    scene.act(slow, "promote")
    scene.console.wait(slow, lambda found: found["status"] in ("watching", *TERMINAL))
    ada = visitor("Admin")
    page = ada.page
    # Not by its alert: how slow it is against the baseline depends on how busy this machine is.
    page.goto(f"/runbooks/high-latency/?environment=production&deployment={slow}")
    walk = Walk(page)
    walk.at("Measure")
    walk.look("ms")
    walk.done()
    walk.at("Is it the new version?")
    walk.look("v1.3.0")
    walk.failed("It began with v1.3.0")
    walk.at("Roll back")
    walk.fix("Roll back to the earlier release", before)
    expect(walk.step).to_contain_text("Asked for", timeout=PATIENCE)
    rollback = scene.console.get("deployments/?environment=production&page_size=1")["results"][0]
    assert scene.console.wait(rollback["id"])["status"] == "succeeded"
    walk.done()
    walk.at("Verify")
    walk.look("ms")
    walk.done()
    walk.at("Root cause")
    walk.finish("v1.3.0 is slow. Rolled back.")
    assert scene.live() == before


def awaits(found: dict) -> bool:
    """It waits for Promote."""
    return any(step["name"] == "await_promotion" and step["status"] == "running" for step in found["steps"])
