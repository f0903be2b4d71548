"""A daily list is done with live evidence and a deviation, an answer is taken back, a missed list stays missed."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.live.test_every_page import examine
from tests.live.test_no_script import reload_until
from tests.live.visitor import PATIENCE

LIST = "/checklists/daily/?environment=production"


@pytest.mark.timeout(300)
def test_a_daily_list_is_done_while_somebody_looks_on(visitor):
    otto, ada = visitor("Operator"), visitor("Admin")
    page, watcher = otto.page, ada.page
    page.goto(LIST)
    reload_until(page, "#standing", "Due ")
    expect(page.locator("#history tr", has_text="Missed").first).to_contain_text("closed")
    expect(page.locator("#month-body .month-run", has_text="Missed").first).to_be_visible()

    page.locator("#standing dd a").first.click()
    address = page.url.removeprefix(otto.url)
    watcher.goto(address)
    ada.sees_live()
    status = page.locator("#item-status")
    expect(status.locator(".check-reading")).to_contain_text("now")
    answer(status)
    expect(status).to_contain_text("Otto Operator")
    expect(page).to_have_url(re.compile("#item-positions$"))
    expect(watcher.locator("#item-status .check-answer")).to_contain_text("Otto Operator", timeout=PATIENCE)
    expect(watcher.locator("#run-head")).to_contain_text("Otto Operator has it", timeout=PATIENCE)

    status.get_by_role("button", name=re.compile("^Take back")).click()
    expect(status.get_by_label("Answers that were taken back")).to_contain_text("taken back by Otto Operator")
    deviate(page.locator("#item-errors"))
    answer_the_rest(page)
    found = examine(otto, address)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("button", name=re.compile("^Checklist complete, with")).click()
    expect(page.locator("#run-head")).to_contain_text("Completed by Otto Operator")
    expect(page.locator("#complete")).to_contain_text("Two of the feed, reported")
    expect(watcher.locator("#run-head")).to_contain_text("Completed by Otto Operator", timeout=PATIENCE)
    found += examine(otto, f"{address}?print=1") + examine(otto, LIST) + examine(ada, "/checklists/daily/edit/")
    found += examine(otto, "/checklists/") + examine(otto, "/")
    assert not found, "\n".join(found)


def test_the_keyboard_alone_gives_an_answer(visitor):
    otto = visitor("Operator")
    page = otto.page
    page.goto("/checklists/daily/?environment=staging")
    reload_until(page, "#standing", "Due ")
    page.locator("#standing dd a").first.click()
    otto.sees_live()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = page.locator("#item-status")
    expect(first.locator("[data-item-key]")).to_be_focused()
    note = first.locator("textarea[required]:visible")
    if note.count():
        note.fill("The staging system stands still")
        first.locator("[data-item-key]").focus()
    page.keyboard.press("Enter")
    expect(first).to_contain_text("Otto Operator")
    page.keyboard.press("j")
    expect(page.locator("#item-positions [data-item-key]")).to_be_focused()


def deviate(item: Locator) -> None:
    """Give another answer than the expected one."""
    item.get_by_text("Another answer").click()
    item.get_by_label("New errors", exact=True).check()
    item.get_by_label(re.compile("^What differs")).fill("Two of the feed, reported")
    item.get_by_role("button", name=re.compile("^Record the deviation")).click()
    expect(item).to_contain_text("Two of the feed, reported")


def answer_the_rest(page: Page) -> None:
    """Answer every item that has no answer yet."""
    left = page.locator(".check-item:has(.check-form)")
    for _ in range(20):
        if not left.count():
            break
        item = page.locator(f"#{left.first.get_attribute('id')}")
        answer(item)
        expect(item.locator(".check-form")).to_have_count(0)


def answer(item: Locator) -> None:
    """Give the expected response, or a value, with a note where the reading speaks against it."""
    form = item.locator(".check-form").first
    value = form.locator(".check-value-field")
    if value.count():
        value.fill("40")
        if not form.locator("textarea").is_visible():
            form.locator("summary").click()
    for note in form.locator("textarea:visible").all():
        note.fill("Looked at it: nothing to do")
    form.locator("button").first.click()
