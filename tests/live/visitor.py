"""A person at a browser: enters with one click, and notes everything that a browser complains about."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

HEIGHTS = {1440: 900, 390: 844, 320: 640}
HOLD_MS = 1700
"""Longer than the 1.5 s that a hold button asks for."""
PATIENCE = 40_000
"""Milliseconds after which what was waited for does not happen any more; never a pause."""
REPORT_VIOLATIONS = """document.addEventListener("securitypolicyviolation",
  (event) => console.error(`CSP: ${event.violatedDirective} blocked ${event.blockedURI}`))"""


class Visitor:
    """One person, one browser context, one page.

    ``complaints`` collects console errors and warnings, page errors, violations of the content security policy and
    requests to other origins; the fixture fails a test that leaves any.
    """

    def __init__(
        self, browser: Browser, url: str, role: str | None, width: int = 1440, scheme: str = "light", **options: Any
    ) -> None:
        self.url, self.role = url, role
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        self.forgiven: list[str] = []
        size = {"width": width, "height": HEIGHTS.get(width, 900)}
        options = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce", **options}
        self.context = browser.new_context(base_url=url, **options)
        self.context.set_default_timeout(PATIENCE)
        self.context.add_init_script(REPORT_VIOLATIONS)
        self.page = self.tab()
        if role:
            self.page.goto("/demo/")
            self.page.get_by_role("button", name=f"Enter as {role}").click()
            expect(self.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()

    def tab(self) -> Page:
        """Another tab of the same person."""
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("request", self._asked)
        return page

    def forgive(self, pattern: str) -> None:
        """Let complaints that match a regular expression pass: a refusal that the test provokes, for example."""
        self.forgiven.append(pattern)

    def forgive_status(self, status: int) -> None:
        """Let the browser's own note about an answer with this status pass."""
        self.forgive(rf"Failed to load resource: .* status of {status} ")

    def close(self) -> list[str]:
        """Leave; what the browser complained about."""
        self.context.close()
        return [text for text in self.complaints if not any(re.search(pattern, text) for pattern in self.forgiven)]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console {message.type} on {urlsplit(message.page.url).path}: {message.text}")

    def _asked(self, request: Request) -> None:
        self.requests.append(request)
        if not request.url.startswith((self.url + "/", "data:", "blob:")):
            self.complaints.append(f"request to another origin: {request.url}")

    # --- What a person does on the pages

    def start(self, environment: str, release: str, reason: str) -> int:
        """Start a deployment through the form; the number of the deployment whose page then shows."""
        self.page.goto(f"/deployments/new/?environment={environment}&release={release}")
        self.page.get_by_label("Reason").fill(reason)
        self.page.get_by_role("button", name=f"Deploy {release} to {environment}").click()
        self.page.wait_for_url(re.compile(r"/deployments/\d+/$"))
        return int(urlsplit(self.page.url).path.rstrip("/").rpartition("/")[2])

    def open(self, act: str) -> Locator:
        """Press the button of an act that asks first; its dialog."""
        self.page.locator("#actions").get_by_role("link", name=re.compile(f"^{act}")).click()
        dialog = self.page.locator("dialog:modal")
        expect(dialog).to_be_visible()
        return dialog

    def hold(self, button: Locator, milliseconds: int = HOLD_MS) -> None:
        """Press a hold button with the pointer, and keep it pressed."""
        button.hover()
        self.page.mouse.down()
        self.page.wait_for_timeout(milliseconds)
        self.page.mouse.up()

    def promote(self, reason: str) -> None:
        """Open the dialog, state a reason, hold."""
        dialog = self.open("Promote")
        dialog.get_by_label("Reason").fill(reason)
        self.hold(dialog.get_by_role("button", name="Hold 1.5 s"))

    def confirm(self, act: str, reason: str) -> None:
        """Abort or roll back: the dialog, a reason, the button that names the verb."""
        dialog = self.open(act)
        dialog.get_by_label("Reason").fill(reason)
        dialog.get_by_role("button", name=re.compile(f"^{act}")).click()

    # --- What a person sees

    @property
    def result(self) -> Locator:
        """The band on top: what came of the deployment, or what it is about."""
        return self.page.locator("#result")

    @property
    def chip(self) -> Locator:
        """The connection chip in the header."""
        return self.page.locator("#conn-text")

    def sees_status(self, word: str) -> None:
        """Wait until the band on top says so, live or after the next page."""
        expect(self.result.locator(".result-status")).to_contain_text(word, timeout=PATIENCE)

    def sees_live(self) -> None:
        """Wait until the page says that it is live."""
        expect(self.chip).to_have_text("Live", timeout=PATIENCE)
