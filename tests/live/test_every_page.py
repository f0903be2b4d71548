"""Every page, at three widths, light and dark: accessible, no wider than the screen, and light enough to load."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, Request, expect

from opsconsole.local.client import Console
from tests.live.scene import Scene
from tests.live.visitor import HEIGHTS, Visitor

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast", "link-in-text-block"]
"""What can differ between light and dark."""
NARROW = ["target-size", "scrollable-region-focusable", "landmark-unique", "region", "aria-hidden-focus"]
"""What can differ on a phone: sizes, what scrolls, and what is hidden or moves into a menu."""
WIDTHS = (320, 1440, 390)
REQUESTS = 10
KILOBYTES = {True: 56, False: 30}
"""Scripts and styles of a page, gzipped: with charts, and without."""
PAGES = (  # those of sign-in and of approvals are examined where they are walked through
    "/",
    "/environments/",
    "/environments/production/",
    "/environments/production/freeze/",
    "/deployments/",
    "/deployments/?environment=production&state=aborted",
    "/deployments/new/",
    "/releases/",
    "/releases/v1.2.6/",
    "/positions/",
    "/positions/reconciliation/",
    "/orders/",
    "/breakers/",
    "/clearances/resume/staging/",
    "/databases/",
    "/databases/production/",
    "/alerts/",
    "/runbooks/",
    "/runbooks/emergency-stop/?environment=production",
    "/checklists/",
    "/checklists/deployment/?environment=production",
    "/rollback-reports/",
    "/rollback-reports/?state=complete",
    "/kill-switch/",
    "/audit/",
    "/people/",
    "/people/invite/",
    "/people/roles/",
    "/people/api-keys/",
    "/people/otto/",
    "/people/otto/role/",
    "/account/keys/",
    "/account/keys/new/",
    "/changelog/",
    "/docs/",
    "/docs/architecture/",
    "/docs/operating/",
    "/api/docs/",
    "/styleguide/",
)
REFUSALS = {"/deployments/999999/": 404, "/no-such-page/": 404}


@dataclass(frozen=True)
class Cast:
    """Numbers of deployments in the states that look different."""

    failed: int
    rolled_back: int
    rollback: int
    watching: int
    """Of a slow release: it waits for a decision."""


@pytest.fixture(scope="module")
def cast(stack) -> Iterator[Cast]:
    """Deployments that ended in their ways, and one that is being watched."""
    scene = Scene(Console.as_role(stack.url, stack.keys))
    failed = scene.console.deploy("staging", "v1.2.9", "It will not start")
    back = scene.watching(scene.other_good())
    rollback = scene.act(back, "rollback")["id"]
    scene.console.wait(rollback)
    scene.console.wait(failed)
    yield Cast(failed, back, rollback, watching=scene.watching("v1.3.0"))
    scene.settle()


def test_pages_before_a_promotion_are_accessible_and_fit(visitor, scene):
    ada = visitor("Admin")
    found = examine(ada, f"/deployments/new/?environment=production&release={scene.other_good()}")
    running = scene.at_gate(scene.other_good())
    found += examine(ada, f"/deployments/{running}/")
    found += examine(ada, f"/deployments/{running}/?confirm=confirm-promote")
    found += examine(ada, "/deployments/new/?environment=production&release=v1.2.6")
    assert not found, "\n".join(found)


def test_pages_of_a_stranger_and_of_an_operator_are_accessible_and_fit(visitor):
    found = [problem for address in ("/demo/", "/login/") for problem in examine(visitor(None), address)]
    otto = visitor("Operator")
    otto.forgive_status(403)
    found += examine(otto, "/deployments/new/", 403)
    assert not found, "\n".join(found)


@pytest.mark.timeout(600)
def test_every_other_page_is_accessible_and_fits(visitor, cast):
    ada = visitor("Admin")
    own = (cast.failed, cast.rolled_back, cast.rollback, cast.watching)
    found = [problem for number in own for problem in examine(ada, f"/deployments/{number}/")]
    for address in (*PAGES, first_record(ada)):
        found += examine(ada, address)
    for address, status in REFUSALS.items():
        ada.forgive_status(status)
        found += examine(ada, address, status)
    assert not found, "\n".join(found)


def examine(who: Visitor, address: str, status: int = 200) -> list[str]:
    """Load a page once and look at it in every width and scheme; what is wrong, one line each."""
    page = who.page
    answer = page.goto(address)
    assert answer is not None and answer.status == status, f"{address}: {answer and answer.status} instead of {status}"
    page.evaluate(AXE_SCRIPT)
    problems = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            problems.append(f"{address} at {width}: {over} px wider than the screen")
        if width == 1440:
            problems += [f"{address}: {text}" for text in violations(page, {"type": "tag", "values": TAGS})]
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    rules = {"type": "rule", "values": [*NARROW, *COLOURS]}
    problems += [f"{address} at 390, dark: {text}" for text in violations(page, rules)]
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    return problems


def violations(page: Page, rules: dict[str, object]) -> list[str]:
    """What the checker finds, with the first element of each."""
    found = page.evaluate("options => axe.run(options)", {"runOnly": rules, "resultTypes": ["violations"]})
    return [f"{rule['id']} ({len(rule['nodes'])}): {rule['nodes'][0]['html'][:200]}" for rule in found["violations"]]


def first_record(who: Visitor) -> str:
    """Address of the newest audit record that keeps values."""
    who.page.goto("/audit/?action=deployment.started")
    return who.page.locator("table a[href^='/audit/']").first.get_attribute("href")


@pytest.mark.parametrize("address", ["/", "/deployments/", "/releases/", "/audit/", "deployment", "environment"])
def test_a_page_loads_little(visitor, cast, address):
    special = {"deployment": f"/deployments/{cast.watching}/", "environment": "/environments/production/"}
    ada = visitor("Admin")
    fresh = ada.context.browser.new_context(base_url=ada.url, storage_state=ada.context.storage_state())
    page = fresh.new_page()  # with an empty cache
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.goto(special.get(address, address), wait_until="networkidle")
    expect(page.locator("#conn-text")).not_to_have_text("Connecting")
    has_charts = page.locator(".chart").count() > 0
    code = [request.response().body() for request in asked if request.resource_type in ("script", "stylesheet")]
    kilobytes = sum(len(gzip.compress(body, 6)) for body in code) / 1024
    # Without the icon, which comes once and after the page, and without what a script asks for that changed meanwhile.
    loaded = [one.url for one in asked if not one.url.endswith(".svg") and one.resource_type != "fetch"]
    fresh.close()
    print(f"\n{address}: {kilobytes:.1f} KB of scripts and styles, {len(loaded)} requests and the icon")
    assert kilobytes <= KILOBYTES[has_charts]
    assert len(loaded) <= REQUESTS, loaded
