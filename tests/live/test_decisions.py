"""What an admin meets on the way: a bad release that goes back by itself, abort, hold, and a page that is behind."""

from __future__ import annotations

import re
import time

from playwright.sync_api import expect

from tests.live.test_promotion import navigations
from tests.live.visitor import PATIENCE

EVENTS = 12
WHEN_PAINTED = """region => {
  window.painted = [];
  const word = () => region.querySelector(".result-status").textContent.trim();
  let last = word();
  new MutationObserver(() => {
    if (word() === last) return;
    last = word();
    const said = last;
    requestAnimationFrame(() => setTimeout(() => window.painted.push([said, Date.now() / 1000]), 0));
  }).observe(region, {subtree: true, childList: true, characterData: true, attributes: true});
}"""


def test_a_bad_release_goes_back_by_itself_while_somebody_looks(visitor, scene):
    old = scene.live()
    number = scene.at_gate("v1.2.6")
    ada = visitor("Admin")
    ada.page.goto(f"/deployments/{number}/")
    ada.promote("Looks fine so far")
    loads = navigations(ada)
    ada.sees_status("Rolled back")
    expect(ada.result).to_contain_text(re.compile(r"Rolled back in [\d.]+ s: .*error", re.I))
    assert navigations(ada) == loads, "the page was loaded again instead of updated"
    top = ada.result.bounding_box()
    assert top and top["y"] < 300, f"why it went back must stand on top, not at {top}"
    ada.result.get_by_role("link", name="deployment").click()
    expect(ada.page.get_by_role("heading", level=1)).to_contain_text(f"v1.2.6 to {old}, production")
    expect(ada.result).to_contain_text(f"It takes back deployment {number} (v1.2.6)")
    expect(ada.result).to_contain_text(f"Back on {old} since", timeout=PATIENCE)
    assert scene.live() == old


def test_hold_resume_and_abort_before_the_promotion(visitor, scene):
    old, new = scene.live(), scene.other_good()
    number = scene.at_gate(new)
    ada = visitor("Admin")
    page = ada.page
    page.goto(f"/deployments/{number}/")
    page.get_by_role("button", name="Hold", exact=True).click()
    ada.sees_status("Held")
    expect(ada.result).to_contain_text(f"{old} serves")
    page.get_by_role("button", name="Resume", exact=True).click()
    ada.sees_status("Running")
    dialog = ada.open("Abort")
    expect(dialog).to_contain_text("It never got traffic")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    ada.confirm("Abort", "Wrong release")
    ada.sees_status("Aborted")
    expect(ada.result).to_contain_text(f"{old} kept serving")
    expect(page.locator("#actions").get_by_role("link")).to_have_count(0)
    assert scene.live() == old


def test_a_form_that_is_behind_does_nothing(visitor, scene):
    number = scene.at_gate(scene.other_good())
    ada = visitor("Admin")
    page, other = ada.page, ada.tab()
    for tab in (page, other):
        tab.goto(f"/deployments/{number}/")
    dialog = ada.open("Abort")
    dialog.get_by_label("Reason").fill("Wrong release")
    other.get_by_role("button", name="Hold", exact=True).click()
    expect(other.locator("#result")).to_contain_text("Held", timeout=PATIENCE)
    expect(ada.result).to_contain_text(
        "Held", timeout=PATIENCE
    )  # the band is live; what somebody fills in is not touched
    ada.forgive_status(409)
    with page.expect_navigation() as answer:
        dialog.get_by_role("button", name="Abort").click()
    assert answer.value.status == 409
    expect(page.get_by_role("alert").first).to_contain_text("Nothing was done.")
    ada.sees_status("Held")
    assert scene.status(number) == "held"


def test_how_long_an_event_takes_to_the_screen(visitor, scene):
    number = scene.at_gate(scene.other_good())
    ada = visitor("Admin")
    ada.page.goto(f"/deployments/{number}/")
    ada.sees_live()
    ada.result.evaluate(WHEN_PAINTED)
    for index in range(EVENTS):
        act, word = (("hold", "Held"), ("resume", "Running"))[index % 2]
        scene.act(number, act)
        ada.sees_status(word)
    happened = sorted(
        record["at"]
        for record in scene.console.get("audit/", object=f"deployment:{number}")["results"]
        if record["action"] in ("deployment.held", "deployment.resumed")
    )
    deadline = time.monotonic() + 10
    while len(painted := ada.page.evaluate("window.painted")) < EVENTS:
        assert time.monotonic() < deadline, f"{len(painted)} of {EVENTS} events were painted"
    took = sorted((at - seconds(event)) * 1000 for event, (_, at) in zip(happened, painted, strict=True))
    print(f"\nevent to pixel: median {took[len(took) // 2]:.0f} ms, slowest {took[-1]:.0f} ms of {len(took)}")
    assert took[0] > 0 and took[-1] < 20_000


def seconds(text: str) -> float:
    """Unix seconds of a time as the API writes it."""
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
