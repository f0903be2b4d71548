"""Somebody with a passkey device of their own, who came by an enrolment link."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.live.visitor import Visitor

MOST_TABS = 150
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@dataclass
class Person:
    """Somebody at a browser with a passkey device in it."""

    visitor: Visitor
    page: Page
    link: str
    _cdp: Any = None
    _device: str = ""

    def plug_in(self) -> None:
        """Give the browser a device that verifies its person."""
        self._cdp = self.visitor.context.new_cdp_session(self.page)
        self._cdp.send("WebAuthn.enable")
        self._device = self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})["authenticatorId"]

    def verifies(self, yes: bool) -> None:
        """Whether the finger on the device is the right one."""
        self._cdp.send("WebAuthn.setUserVerified", {"authenticatorId": self._device, "isUserVerified": yes})

    def enter(self) -> None:
        """Open the one-time link and press its button."""
        self.page.goto(self.link)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", level=1, name="Add a second factor")).to_be_visible()

    def add_passkey(self) -> None:
        """Enrol the first passkey, and store the recovery codes."""
        self.page.get_by_role("button", name="Add a passkey").click()
        expect(self.page.get_by_role("heading", level=1, name="Your recovery codes")).to_be_visible()
        expect(self.page.locator(".recovery-codes li")).to_have_count(10)
        self.page.get_by_role("link", name="I have stored them").click()
        self.sees_overview()

    def enrolled(self) -> Person:
        """Signed in with a passkey of their own."""
        self.plug_in()
        self.enter()
        self.add_passkey()
        return self

    def sign_out(self) -> None:
        """By the menu."""
        self.page.locator("details.user summary").click()
        self.page.get_by_role("button", name="Sign out").click()
        self.page.wait_for_url(re.compile(r"/(login|demo)/"))

    def sees_overview(self) -> None:
        """Wait for the first page after signing in."""
        expect(self.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()

    def tab_to(self, wanted: Locator) -> Locator:
        """Reach something by the Tab key alone, as somebody without a pointer does."""
        expect(wanted).to_be_visible()
        for _ in range(MOST_TABS):
            if wanted.evaluate("element => element === document.activeElement"):
                return wanted
            self.page.keyboard.press("Tab")
        focused = self.page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        raise AssertionError(f"{wanted} is not reached by {MOST_TABS} presses of Tab; the last is {focused}")

    def type_into(self, wanted: Locator, text: str) -> None:
        """Reach a field by Tab, and type."""
        self.tab_to(wanted)
        self.page.keyboard.type(text)

    def press(self, wanted: Locator) -> None:
        """Reach a button or a link by Tab, and press Enter."""
        self.tab_to(wanted)
        self.page.keyboard.press("Enter")
