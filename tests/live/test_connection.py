"""The live connection is lost or falls silent: the page says so, risky acts wait, the way back stays open."""

from __future__ import annotations

import re

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.live.visitor import PATIENCE

GOING_AWAY = 1012


class Line:
    """The socket of a page, with hands on it."""

    def __init__(self, page: Page) -> None:
        self.is_cut = self.is_muted = False
        self._open: list[WebSocketRoute] = []
        page.route_web_socket(re.compile(r"/ws/live/"), self._connected)

    def cut(self) -> None:
        """Close it, and every new one."""
        self.is_cut = True
        for socket in self._open:
            socket.close(code=GOING_AWAY)
        self._open.clear()

    def _connected(self, socket: WebSocketRoute) -> None:
        if self.is_cut:
            socket.close(code=GOING_AWAY)
            return
        server = socket.connect_to_server()
        server.on_message(lambda message: None if self.is_muted else socket.send(message))
        self._open.append(socket)


def test_a_dropped_connection_is_said_and_caught_up(visitor, scene):
    new = scene.other_good()
    number = scene.at_gate(new)
    ada = visitor("Admin")
    page, line = ada.page, Line(ada.page)
    page.goto(f"/deployments/{number}/")
    ada.sees_live()
    line.cut()
    expect(ada.chip).to_contain_text("Disconnected", timeout=PATIENCE)
    expect(page.locator("#lost")).to_contain_text("kill switch, abort, hold and roll back still work")
    expect(page.locator("#status [data-asof]")).to_contain_text(re.compile(r"as of \d\d:\d\d:\d\d UTC"))
    promote = page.locator("#actions").get_by_role("link", name=f"Promote {new}")
    expect(promote).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#actions")).to_contain_text("Waits for live data.")
    promote.click(force=True)
    expect(page.locator("dialog:modal")).to_have_count(0)

    scene.act(number, "promote")  # somebody else does, whose connection is fine
    scene.console.wait(number, lambda found: found["status"] == "watching")
    expect(ada.result).not_to_contain_text("Watching")
    line.is_cut = False
    page.get_by_role("button", name="Try now").click()
    ada.sees_live()
    ada.sees_status("Watching")
    expect(page.locator("#lost")).to_be_hidden()
    line.cut()
    expect(ada.chip).to_contain_text("Disconnected", timeout=PATIENCE)
    ada.confirm("Roll back", "Blind, so back")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Roll back")
    assert scene.console.wait(number)["status"] == "rolled_back"


def test_a_silent_connection_is_said_and_abort_still_works(visitor, scene):
    number = scene.at_gate(scene.other_good())
    ada = visitor("Admin", width=390)
    page, line = ada.page, Line(ada.page)
    page.goto(f"/deployments/{number}/")
    ada.sees_live()
    line.is_muted = True
    expect(ada.chip).to_contain_text(re.compile(r"No data for \d+ s"), timeout=PATIENCE)
    expect(page.locator("body")).to_have_attribute("data-stale", "")
    line.is_muted = False
    page.locator("#actionbar").get_by_role("link", name="Abort").click()
    dialog = page.locator("dialog:modal")
    dialog.get_by_label("Reason").fill("Blind, so stop")
    dialog.get_by_role("button", name="Abort").click()
    ada.sees_status("Aborted")
