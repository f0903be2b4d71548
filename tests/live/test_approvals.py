"""The review before production, as two people meet it: Dora asks, Ada decides."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.live.test_every_page import examine
from tests.live.visitor import PATIENCE, Visitor

SENTENCE = "You asked for this; another person must approve."


@pytest.fixture
def ask(visitor, scene):
    """Dora asks for a deployment to production through the form: ``ask()``; she, and the address of her request."""

    def make(reason: str = "Fix of the slippage") -> tuple[Visitor, str]:
        dora, release = visitor("Developer"), scene.other_good()
        page = dora.page
        page.goto(f"/deployments/new/?environment=production&release={release}")
        page.get_by_label("Reason").fill(reason)
        page.get_by_role("button", name=f"Request deployment of {release} to production").click()
        page.wait_for_url(re.compile(r"/approvals/\d+/$"))
        return dora, page.url.removeprefix(dora.url)

    return make


def state(who: Visitor) -> Locator:
    """The band that says where a request stands."""
    return who.page.locator("#decision .result")


def test_dora_asks_ada_approves_and_it_starts(visitor, scene, ask):
    ada = visitor("Admin")
    ada.page.goto("/")
    ada.sees_live()
    waiting = ada.page.locator("#approvals-mine")
    expect(waiting).to_be_empty()
    dora, address = ask()
    expect(state(dora)).to_contain_text(SENTENCE)
    expect(dora.page.get_by_role("link", name="Approve", exact=True)).to_have_count(0)
    assert scene.console.get("environments/production/")["active_deployment"] is None
    # Without loading the overview again:
    expect(waiting).to_contain_text("Fix of the slippage", timeout=PATIENCE)
    expect(ada.page.locator("#counter-approvals")).to_contain_text(re.compile(r"1\s*approval waits for you"))
    expect(ada.page.locator("#nav-approvals")).to_contain_text("1")
    waiting.get_by_role("link", name=re.compile("^Review")).click()
    expect(state(ada)).to_contain_text("It waits for you.")
    ada.page.get_by_role("link", name="Approve", exact=True).click()
    dialog = ada.page.locator("dialog:modal")
    expect(dialog).to_contain_text("at once")
    dialog.get_by_label("Reason").fill("Read the diff")
    dialog.get_by_role("button", name="Approve and start").click()
    ada.page.wait_for_url(re.compile(r"/deployments/\d+/$"))
    ada.sees_status("Running")
    expect(ada.result).to_contain_text("Approved by")
    assert scene.console.get("environments/production/")["active_deployment"]["to_release"] == scene.other_good()
    dora.sees_live()
    expect(state(dora)).to_contain_text("Approved by", timeout=PATIENCE)
    expect(state(dora)).to_contain_text("Read the diff")
    expect(dora.page.get_by_role("link", name="Withdraw the request")).to_have_count(0)


def test_a_rejection_tells_why_and_nothing_starts(visitor, scene, ask):
    dora, address = ask("Try it before the close")
    ada = visitor("Admin", width=390)
    ada.page.goto(address)
    ada.page.get_by_role("link", name="Reject", exact=True).click()
    dialog = ada.page.locator("dialog:modal")
    dialog.get_by_label("Reason").fill("Not before the close")
    dialog.get_by_role("button", name="Reject").click()
    expect(state(ada)).to_contain_text("Rejected by")
    expect(state(dora)).to_contain_text("Not before the close", timeout=PATIENCE)
    assert scene.console.get("environments/production/")["active_deployment"] is None


def test_pages_of_the_review_are_accessible_and_fit(visitor, ask):
    dora, address = ask()
    ada = visitor("Admin")
    found = [problem for place in ("/", "/approvals/", address) for problem in examine(ada, place)]
    found += examine(ada, f"{address}?confirm=confirm-approve")
    found += examine(dora, address)
    dora.page.goto(f"{address}?confirm=confirm-withdraw")
    dora.page.locator("dialog:modal").get_by_role("button", name="Withdraw").click()
    expect(state(dora)).to_contain_text("Withdrawn by")
    found += examine(ada, address) + examine(ada, "/approvals/")
    assert not found, "\n".join(found)
