"""The kill switch in a browser, against what really runs: the dialog, by keyboard alone, the progress, a drill."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.live.person import Person
from tests.live.test_every_page import examine
from tests.live.visitor import HOLD_MS, PATIENCE

BACK = """
import time
from audit.actors import system
from environments.models import Environment
from trading import latch, resuming, stop_files
place, actor = Environment.objects.get(name="staging"), system("tests")
deadline = time.monotonic() + 90
while stop_files.running("staging") and time.monotonic() < deadline:
    time.sleep(0.5)
if latch.engaged(place):
    resuming.release(place, actor, "After the test")
    print(resuming.resume(place, actor, "After the test"))
"""
"""A stop looks again after it was flat; then it can be released."""
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def back(stack) -> Iterator[Callable[[], object]]:
    """Let staging trade again; so it does when the module ends."""
    yield lambda: stack.manage("shell", "-c", BACK)
    stack.manage("shell", "-c", BACK)


def stops(scene) -> list[dict]:
    """Every stop so far, newest first."""
    return scene.console.get("emergency-stops/")["results"]


def test_by_keyboard_alone(visitor, scene, back):
    otto, before = visitor("Operator"), len(stops(scene))
    page = otto.page
    page.goto("/releases/")
    page.keyboard.press("Alt+Shift+K")
    dialog = page.locator("dialog#kill:modal")
    button = dialog.get_by_role("button", name="Hold 1.5 s to stop production")
    expect(button).to_be_focused()
    expect(dialog.locator("[data-kill-does=production]")).to_contain_text("as read at")
    page.keyboard.down("Space")
    page.wait_for_timeout(400)
    page.keyboard.up("Space")
    expect(dialog.locator("[data-hold-hint]")).to_contain_text("Released early: nothing was done.")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    button = dialog.get_by_role("button", name="Hold 1.5 s to stop staging")
    expect(button).to_be_focused()
    assert len(stops(scene)) == before, "opening, choosing and a short press do nothing"
    page.keyboard.down("Enter")
    page.wait_for_timeout(HOLD_MS)
    page.keyboard.up("Enter")
    page.wait_for_url(re.compile("/kill-switch/stops/"))
    loads = navigations(otto)
    expect(page.locator("#stop-body")).to_contain_text("Confirmed flat", timeout=PATIENCE)
    expect(page.locator("#stop-body .stop-now")).to_contain_text("0 orders, 0 positions, and the writer is halted")
    assert navigations(otto) == loads, "the page was loaded again instead of updated"
    found = stops(scene)[0]
    assert (found["environment"], found["outcome"], found["via"]) == ("staging", "FLAT", "page")
    page.goto("/releases/")
    expect(page.locator("#engaged")).to_contain_text("KILL SWITCH ENGAGED: staging")


@pytest.mark.parametrize("width", [1440, 390])
def test_pressed_again_with_the_pointer_and_by_bare_clicks(width, visitor, scene, back):
    otto, before = visitor("Operator", width=width), len(stops(scene))
    page = otto.page
    expect(page.locator("#kill-open")).to_be_in_viewport(ratio=1)
    page.locator("#kill-open").click()
    dialog = page.locator("dialog#kill:modal")
    dialog.get_by_role("radio", name="staging").check()
    dialog.get_by_label("Why").select_option("Prices or data are wrong")
    button = dialog.get_by_role("button", name="Hold 1.5 s to stop staging")
    otto.hold(button, 400)
    expect(dialog.locator("[data-hold-hint]")).to_contain_text("Released early: nothing was done.")
    button.dispatch_event("click")
    button.dispatch_event("click")
    expect(dialog.locator("[data-hold-hint]")).to_contain_text("Press once more within 10 s")
    assert len(stops(scene)) == before
    if width == 390:
        page.wait_for_timeout(900)
        button.dispatch_event("click")
    else:
        otto.hold(button)
    page.wait_for_url(re.compile("/kill-switch/stops/"))
    expect(page.locator("#stop-body .stop-now")).to_contain_text("Confirmed flat", timeout=PATIENCE)
    expect(page.get_by_role("heading", level=1)).to_have_text("Emergency stop of staging")
    assert stops(scene)[0]["reason"] == "Prices or data are wrong", "a press that joins may say why"


def test_two_people_release_it_and_trade_again_by_keyboard_alone(invited, scene):
    vera, wanda = invited("vesna", "Admin").enrolled(), invited("wanda", "Admin", width=390).enrolled()
    found = ask_for_release(vera, f"/kill-switch/stops/{stops(scene)[0]['id']}/")
    found += approve_release(wanda, vera)
    found += ask_to_resume(wanda)
    vera.page.goto(urlsplit(wanda.page.url).path)
    vera.press(vera.page.locator("#decision").get_by_role("link", name="Approve"))
    vera.press(vera.page.locator("dialog:modal").get_by_role("button", name="Approve"))
    for person in (vera, wanda):
        expect(person.page.locator("#decision")).to_contain_text("Read back", timeout=PATIENCE)
    assert "Vesna Visitor" in stops(scene)[0]["released_by"], "who asked"
    assert not found, "\n".join(found)


def ask_for_release(vera: Person, stop: str) -> list[str]:
    """Answer the four questions and ask; what is wrong with the page."""
    page = vera.page
    page.goto(stop)
    # It looks again after it was flat; until then it cannot be released.
    release = page.locator("#stop-acts").get_by_role("link", name="Release the kill switch")
    expect(release).to_be_visible(timeout=90_000)
    vera.press(release)
    found = examine(vera.visitor, f"{stop}release/")
    page.set_viewport_size({"width": 1440, "height": 900})
    for number, question in enumerate(page.locator(".question").all(), start=1):
        vera.tab_to(question.get_by_role("radio", name="Yes"))
        page.keyboard.press("Space")
        vera.type_into(question.get_by_label("What the answer rests on"), f"Looked at {number}")
    vera.type_into(page.get_by_label("Type the environment's name"), "staging")
    vera.type_into(page.get_by_label("Reason"), "Prices are right again")
    vera.press(page.get_by_role("button", name="Ask for the release with my passkey"))
    page.wait_for_url(re.compile(r"/clearances/\d+/$"))
    expect(page.locator("#decision")).to_contain_text("another person must decide")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    return found


def approve_release(wanda: Person, vera: Person) -> list[str]:
    """Another person reads the answers and approves; both see that it was read back. What is wrong with the page."""
    page = wanda.page
    found = examine(wanda.visitor, urlsplit(vera.page.url).path)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#decision")).to_contain_text("It waits for you.")
    wanda.type_into(page.get_by_label("Type the environment's name"), "staging")
    wanda.type_into(page.get_by_label("Reason").last, "Read the answers")
    wanda.press(page.get_by_role("button", name="Approve the release with my passkey"))
    for shown in (page, vera.page):
        expect(shown.locator("#decision")).to_contain_text("Nothing trades yet.", timeout=PATIENCE)
    return found


def ask_to_resume(wanda: Person) -> list[str]:
    """Resuming is an act of its own; what is wrong with its page."""
    page = wanda.page
    wanda.press(page.get_by_role("link", name="Resume trading"))
    found = examine(wanda.visitor, "/clearances/resume/staging/")
    page.set_viewport_size({"width": 390, "height": 844})
    wanda.type_into(page.get_by_label("Reason"), "The market is calm")
    wanda.press(page.get_by_role("button", name="Ask for leave to resume"))
    page.wait_for_url(re.compile(r"/clearances/\d+/$"))
    return found


def test_a_drill_without_a_script(visitor, scene, back):
    back()  # in case that this test runs alone
    otto = visitor("Operator", width=390, java_script_enabled=False)
    page = otto.page
    page.locator("#kill-open").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Kill switch")
    place = page.locator("#stop-staging")
    place.get_by_label("Type STOP").fill("STOP")
    place.get_by_role("button", name="Drill in staging").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Drill of staging")
    expect(page.locator("#stop-body")).to_contain_text("DRILL")
    reload_until(page, "#stop-body", "Confirmed flat\nDRILL")
    page.get_by_label("Why was trading stopped?").fill("Monthly drill")
    page.get_by_role("button", name="Save the reason").click()
    reload_until(page, "#stop-acts", "End the drill and resume staging", seconds=90)
    page.get_by_role("button", name="End the drill and resume staging").click()
    reload_until(page, "#stop-body", "Trading goes on")
    assert "KILL SWITCH ENGAGED" not in page.locator("aside.banners").inner_text()
    found = stops(scene)[0]
    assert (found["drill"], found["outcome"], found["reason"]) == (True, "FLAT", "Monthly drill")
    assert found["released_by"] == "Otto Operator"


def test_a_console_that_does_not_answer_names_the_other_way(visitor):
    otto = visitor("Operator")
    page = otto.page
    otto.forgive("net::ERR_FAILED")
    page.route("**/kill-switch/production/", lambda route: route.abort())
    page.locator("#kill-open").click()
    dialog = page.locator("dialog#kill:modal")
    otto.hold(dialog.get_by_role("button", name="Hold 1.5 s to stop production"))
    expect(dialog.locator("[data-kill-problem]")).to_contain_text("The console does not answer.")
    expect(dialog.locator("[data-kill-problem] code")).to_have_text("opsctl emergency-stop production")


def test_a_developer_has_no_button(visitor):
    dora = visitor("Developer")
    expect(dora.page.locator("#kill-open")).to_have_count(0)
    dora.page.goto("/kill-switch/")
    expect(dora.page.locator("main form")).to_have_count(0)
    expect(dora.page.locator("#stop-production")).to_contain_text("takes: Admin or Operator")
    show(dora.page)


def show(page: Page) -> None:
    """The page fits."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def reload_until(page: Page, selector: str, text: str, seconds: float = PATIENCE / 1000) -> None:
    """Load the page again until it says so, as a person without a script would."""
    deadline = time.monotonic() + seconds
    while text not in page.locator(selector).inner_text():
        assert time.monotonic() < deadline, f"{selector} never said {text!r}: {page.locator(selector).inner_text()}"
        page.reload()


def navigations(visitor) -> int:
    """How often a page was loaded."""
    return sum(request.is_navigation_request() for request in visitor.requests)
