"""A bad release goes back, the next deployment waits for the report, somebody writes it, and the deployment starts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from opsconsole.local.client import ConsoleError
from tests.live.scene import Scene
from tests.live.test_every_page import examine
from tests.live.visitor import PATIENCE


@pytest.mark.timeout(300)
def test_after_a_rollback_the_report_is_written_before_the_next_deployment(visitor, scene):
    good = scene.live()
    goes_back(scene, "v1.2.6")
    ada = visitor("Admin")
    page, release = ada.page, scene.other_good()

    ada.forgive_status(400)  # completed without the third answer
    page.goto(f"/deployments/new/?environment=production&release={release}")
    expect(page.get_by_role("main")).to_contain_text("Taken back, and nobody has written why")
    with pytest.raises(ConsoleError, match="422 .*Taken back, and nobody has written why"):
        scene.console.deploy("production", release, "Too soon")

    page.goto("/")
    owed = page.locator("#reports-owed")
    expect(owed).to_contain_text("v1.2.6 was taken back in production")
    found = examine(ada, "/")
    owed.get_by_role("link", name="Write it").click()
    address = page.url.removeprefix(ada.url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Rollback report: v1.2.6 taken back in production")
    expect(page.get_by_label("What failed?")).to_have_value(re.compile("Error rate: "))
    expect(page.locator("#timeline")).to_contain_text(f"{good} has all requests again")
    found += examine(ada, address)
    page.get_by_role("button", name="Complete the report").click()
    expect(page.get_by_role("alert").first).to_contain_text("How will it be prevented?")
    page.get_by_label("How will it be prevented?").fill("A test that sends signals of each kind.")
    page.get_by_role("button", name="Complete the report").click()
    expect(page.locator(".result-status")).to_contain_text("Complete", timeout=PATIENCE)
    found += examine(ada, address) + examine(ada, f"{address}?confirm=confirm-reopen")
    found += examine(ada, f"{address}?print=1")
    assert not found, "\n".join(found)

    page.set_viewport_size({"width": 1440, "height": 900})
    number = ada.start("production", release, "With the fault found")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Deploy {number}: {good} to {release}")
    page.goto("/")
    expect(page.locator("#reports-owed")).to_be_empty()


def goes_back(scene: Scene, release: str) -> None:
    """A bad release is promoted, and rolls back by itself."""
    bad = scene.at_gate(release)
    scene.act(bad, "promote")
    scene.console.wait(bad)
    scene.console.wait(scene.console.deployment(bad)["reverted_by"])
