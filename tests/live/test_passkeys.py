"""Passkeys in a real browser with a virtual authenticator: enrol, sign in, confirm, and what is refused."""

from __future__ import annotations

import time

import pyotp
from playwright.sync_api import Page, expect

from tests.live.test_every_page import examine
from tests.live.visitor import Visitor

SAFE_SECONDS = 5
"""A code that is typed with less time left than this could be too old when it arrives."""


def test_an_admin_enrols_signs_in_and_confirms_with_a_passkey(invited):
    vera = invited("vera", "Admin")
    page = vera.page
    vera.plug_in()
    vera.enter()
    page.goto("/deployments/")
    expect(page.get_by_text("An Admin cannot do anything without a second factor.")).to_be_visible()
    vera.add_passkey()
    vera.sign_out()
    page.goto("/login/")
    vera.verifies(False)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.locator("[data-passkey-note]")).to_contain_text("Nothing was confirmed")
    vera.verifies(True)
    page.get_by_role("button", name="Sign in with a passkey").click()
    vera.sees_overview()
    other = vera.visitor.tab()
    other.goto("/")
    expect(other.locator("#conn-text")).to_have_text("Live")
    page.goto("/account/security/recovery/")
    page.get_by_label("Type the name").fill("vera")
    page.get_by_label("Reason").fill("Printed them anew")
    page.get_by_role("button", name="Make new codes with my passkey").click()
    expect(page.get_by_role("heading", level=1, name="Your recovery codes")).to_be_visible()
    # The session has a new key now; the other tab notices within five seconds and goes on with it.
    with other.expect_websocket(timeout=15_000):
        pass
    expect(other.locator("#conn-text")).to_have_text("Live")


def test_a_link_then_the_passkey_and_the_pages_are_accessible(invited, stack):
    olga = invited("olga", "Operator")
    page = olga.page
    olga.plug_in()
    found = examine(olga.visitor, olga.link.removeprefix(stack.page_url))
    olga.enter()
    found += examine(olga.visitor, "/account/security/")
    olga.add_passkey()
    page.goto("/account/security/")
    page.get_by_role("button", name="Set up an authenticator app").click()
    page.wait_for_url("**/account/security/app/")
    page.goto("/account/security/")
    remove = page.get_by_role("link", name="Remove My passkey").get_attribute("href")
    for address in ("app/", "recovery/", ""):
        found += examine(olga.visitor, f"/account/security/{address}")
    for address in (remove, "/account/", "/account/sessions/"):
        found += examine(olga.visitor, address)
    olga.sign_out()
    page.goto(stack.manage("sign_in_link", "olga").strip())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1, name="Show your second factor")).to_be_visible()
    expect(page.locator("nav.nav")).to_have_count(0)
    found += examine(olga.visitor, "/login/second/")
    page.get_by_role("button", name="Use my passkey").click()
    olga.sees_overview()
    assert not found, "\n".join(found)


def test_ending_another_session_closes_its_page(invited, stack):
    pia = invited("pia", "Developer")
    pia.plug_in()
    pia.enter()
    pia.add_passkey()
    expect(pia.page.locator("#conn-text")).to_have_text("Live")
    elsewhere = Visitor(pia.visitor.context.browser, stack.page_url, None)
    elsewhere.context.add_cookies(pia.visitor.context.cookies())
    pia.visitor.context.clear_cookies()
    pia.page.goto("/login/")
    pia.page.get_by_role("button", name="Sign in with a passkey").click()
    pia.sees_overview()
    elsewhere.page.goto("/")
    expect(elsewhere.page.locator("#conn-text")).to_have_text("Live")
    pia.page.goto("/account/sessions/")
    pia.page.get_by_role("button", name="End all other sessions").click()
    expect(elsewhere.page.locator("#conn-text")).to_have_text("Not signed in", timeout=7_000)
    assert not elsewhere.close()


def test_codes_work_without_a_script(invited, stack):
    nora = invited("nora", "Admin", java_script_enabled=False)
    page = nora.page
    nora.enter()
    page.get_by_role("button", name="Set up an authenticator app").click()
    seed = page.get_by_role("region", name="Secret of the authenticator app").inner_text().replace(" ", "").strip()
    page.get_by_label("Code that the app shows").fill(code_of(page, seed))
    page.get_by_role("button", name="Turn it on").click()
    codes = page.locator(".recovery-codes code").all_inner_texts()
    assert len(codes) == 10
    page.goto("/account/security/recovery/")
    page.get_by_label("Type the name").fill("nora")
    page.get_by_label("Reason").fill("Without a script")
    next_code(page)
    page.get_by_label("Code that the app shows").fill(code_of(page, seed))
    page.get_by_role("button", name="Make new codes with the code").click()
    codes = page.locator(".recovery-codes code").all_inner_texts()
    nora.sign_out()
    page.goto(stack.manage("sign_in_link", "nora").strip())
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("My device is lost").click()
    page.get_by_label("Recovery code").fill(codes[0])
    page.get_by_role("button", name="Use the recovery code").click()
    nora.sees_overview()


def test_the_page_at_the_wrong_address_says_where_passkeys_work(stack, visitor):
    stranger = visitor(None)
    stranger.page.goto("/login/")
    expect(stranger.page.get_by_role("link", name=stack.page_url)).to_have_attribute("href", f"{stack.page_url}/login/")


def code_of(page: Page, seed: str) -> str:
    """The code of this moment; with too little of its time left, the next one."""
    if time.time() % 30 > 30 - SAFE_SECONDS:
        next_code(page)
    return pyotp.TOTP(seed).now()


def next_code(page: Page) -> None:
    """Wait until the app shows its next code: each works once."""
    page.wait_for_timeout((30 - time.time() % 30) * 1000 + 100)
