"""A good release goes live under the eyes of an admin, and is taken back: by pointer, by keyboard, by bare clicks."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.live.visitor import HOLD_MS, PATIENCE

DRAWN = """canvas => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let inked = 0;
  for (let at = 3; at < data.length; at += 4) if (data[at]) inked += 1;
  return inked;
}"""
METRICS = 4


def test_an_admin_sees_a_release_go_live_and_takes_it_back(visitor, scene):
    old, new = scene.live(), scene.other_good()
    ada = visitor("Admin")
    page = ada.page
    number = ada.start("production", new, "Better confidence threshold")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Deploy {number}: {old} to {new}, production")
    loads = navigations(ada)
    rail = page.locator("#steps .rail-step")
    assert rail.filter(has_text="Smoke tests").get_attribute("class") != "rail-step rail-succeeded", "done before seen"
    expect(page.locator("#steps .rail-step[aria-current=step]")).to_contain_text("Promote", timeout=PATIENCE)
    expect(page.locator("#steps .rail-succeeded")).to_have_count(4)
    expect(page.locator("#recommendation")).to_contain_text(f"Your decision: promote {new}, or abort")
    assert navigations(ada) == loads, "the page was loaded again instead of updated"

    ada.promote("Smoke tests passed")
    ada.sees_status("Watching")
    for index in range(METRICS):
        canvas = page.locator(".area-metrics .chart canvas").nth(index)
        expect(canvas).to_be_visible()
        assert canvas.evaluate(DRAWN) > 500, "an empty chart"
    expect(page.locator("#health-body")).to_contain_text(re.compile("Node connection.*State builder", re.S))
    trades_arrive(page)

    ada.confirm("Roll back", "Unusual behaviour")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"{new} to {old}, production")
    expect(ada.result).to_contain_text(f"Back on {old} since", timeout=PATIENCE)
    ada.result.get_by_role("link", name=f"deployment {number}").click()
    ada.sees_status("Rolled back")
    expect(ada.result).to_contain_text(f"{old} serves again")
    assert scene.live() == old


def test_the_same_by_keyboard_alone(visitor, scene):
    old, new = scene.live(), scene.other_good()
    ada = visitor("Admin")
    page = ada.page
    page.goto("/deployments/")
    tab_to(page, page.get_by_role("link", name="Start a deployment").first)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Start a deployment")
    choose(page, "Environment", "production")
    choose(page, "Release", new)
    tab_to(page, page.get_by_role("button", name="Show what it would do"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Reason"))
    page.keyboard.type("By keyboard")
    tab_to(page, page.get_by_role("button", name=f"Deploy {new} to production"))
    page.keyboard.press("Enter")

    promote = page.locator("#actions").get_by_role("link", name=f"Promote {new}")
    expect(promote).to_be_visible(timeout=PATIENCE)
    tab_to(page, promote)
    page.keyboard.press("Enter")
    dialog = page.locator("dialog:modal")
    expect(dialog.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("Checked by hand")
    tab_to(page, dialog.get_by_role("button", name="Hold 1.5 s"))
    page.keyboard.down("Space")
    page.wait_for_timeout(HOLD_MS)
    page.keyboard.up("Space")
    ada.sees_status("Watching")

    back = page.locator("#actions").get_by_role("link", name="Roll back to")
    expect(back).to_be_visible(timeout=PATIENCE)
    tab_to(page, back)
    page.keyboard.press("Enter")
    page.keyboard.type("Only a rehearsal")
    tab_to(page, page.locator("dialog:modal").get_by_role("button", name="Roll back to"))
    page.keyboard.press("Enter")
    expect(ada.result).to_contain_text(f"Back on {old} since", timeout=PATIENCE)
    assert scene.live() == old


def test_a_hold_button_wants_a_long_press_or_two_clicks(visitor, scene):
    number = scene.at_gate(scene.other_good())
    ada = visitor("Admin")
    ada.page.goto(f"/deployments/{number}/")
    dialog = ada.open("Promote")
    button, hint = dialog.get_by_role("button", name="Hold 1.5 s"), dialog.locator("[data-hold-hint]")
    dialog.get_by_label("Reason").fill("Checked by hand")
    ada.hold(button, 400)
    expect(hint).to_contain_text("Released early: nothing was done.")
    button.dispatch_event("click")  # what assistive technology sends: no pointer, no key
    expect(hint).to_contain_text("Press once more within 10 s")
    button.dispatch_event("click")
    assert scene.status(number) == "running", "a double click must not promote"
    ada.page.wait_for_timeout(900)
    button.dispatch_event("click")
    ada.sees_status("Watching")


def navigations(visitor) -> int:
    """How often a page was loaded."""
    return sum(request.is_navigation_request() for request in visitor.requests)


def trades_arrive(page: Page) -> None:
    """The table of trades fills while the page is open, without a reload."""
    expect(page.locator("#trades tbody tr").first).to_be_visible(timeout=PATIENCE)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until something has the focus."""
    expect(target).to_be_visible()
    for _ in range(100):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not lead to {target}")


def choose(page: Page, label: str, value: str) -> None:
    """Pick an option with the arrow keys; the page must wait until the choice is made."""
    field = page.get_by_label(label)
    tab_to(page, field)
    page.keyboard.press("Home")
    for _ in range(field.locator("option").count()):
        if field.input_value() == value:
            return
        page.keyboard.press("ArrowDown")
    assert field.input_value() == value, f"the arrow keys do not lead to {value}"
