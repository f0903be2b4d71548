"""Without JavaScript: every page shows the truth of the moment it was loaded, and plain forms act."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Page, expect

from tests.live.visitor import PATIENCE


def test_start_promote_and_roll_back_by_plain_forms(visitor, scene):
    old, new = scene.live(), scene.other_good()
    ada = visitor("Admin", java_script_enabled=False)
    page = ada.page
    page.goto("/deployments/new/")
    page.get_by_label("Environment").select_option("production")
    page.get_by_label("Release").select_option(new)
    page.get_by_role("button", name="Show what it would do").click()
    page.get_by_label("Reason").fill("Without a script")
    page.get_by_role("button", name=f"Deploy {new} to production").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"{old} to {new}, production")
    reload_until(page, "#recommendation", "Your decision")
    act(page, "Promote", "Hold 1.5 s to promote")
    reload_until(page, "#result", "Watching")
    act(page, "Roll back to", "Roll back to")
    reload_until(page, "#result", f"Back on {old} since")
    assert scene.live() == old


def test_abort_by_plain_forms(visitor, scene):
    number = scene.at_gate(scene.other_good())
    ada = visitor("Admin", width=390, java_script_enabled=False)
    ada.page.goto(f"/deployments/{number}/")
    act(ada.page, "Abort", "Abort")
    reload_until(ada.page, "#result", "Aborted")
    assert scene.status(number) == "aborted"


def act(page: Page, link: str, button: str) -> None:
    """Follow the link, which draws the dialog into the page, give a reason, send."""
    page.locator("#actions").get_by_role("link", name=re.compile(f"^{link}")).click()
    dialog = page.locator("dialog[open]")
    dialog.get_by_label("Reason").fill("Without a script")
    dialog.get_by_role("button", name=button).click()


def reload_until(page: Page, selector: str, text: str) -> None:
    """Load the page again until it says so, as a person without a script would."""
    deadline = time.monotonic() + PATIENCE / 1000
    while text not in page.locator(selector).inner_text():
        assert time.monotonic() < deadline, f"{selector} never said {text!r}: {page.locator(selector).inner_text()}"
        page.reload()
