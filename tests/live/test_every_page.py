"""Every page, at three widths, light and dark: accessible, no wider than the screen, and light enough to load."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.live.scene import Scene
from tests.live.visitor import HEIGHTS, Visitor

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (1440, 390, 320)
SCHEMES = ("light", "dark")
REQUESTS = 10
KILOBYTES = {True: 56, False: 30}
"""Scripts and styles of a page, gzipped: with charts, and without."""
PAGES = (
    "/",
    "/environments/",
    "/environments/production/",
    "/deployments/",
    "/deployments/?environment=production&status=succeeded",
    "/deployments/new/",
    "/deployments/new/?environment=production&release=v1.2.5",
    "/releases/",
    "/releases/v1.2.6/",
    "/audit/",
    "/api/docs/",
    "/styleguide/",
)
REFUSALS = {"/deployments/999999/": 404, "/no-such-page/": 404}


@dataclass(frozen=True)
class Cast:
    """Numbers of deployments in the states that look different."""

    running: int
    failed: int
    advised: int
    rolled_back: int
    rollback: int


@pytest.fixture(scope="module")
def cast(stack) -> Iterator[Cast]:
    """A running deployment on production, and those that were made before it."""
    from opsconsole.local.client import Console

    scene = Scene(Console.as_role(stack.url, stack.keys))
    failed = scene.console.deploy("staging", "v1.2.9", "It will fail its smoke test")
    back = scene.watching("v1.2.5" if scene.live() == "v1.2.4" else "v1.2.4")
    rollback = scene.act(back, "rollback")["id"]
    scene.console.wait(rollback)
    scene.console.wait(failed)
    advised = scene.watching("v1.3.0")
    yield Cast(running=0, failed=failed, advised=advised, rolled_back=back, rollback=rollback)
    scene.settle()


@pytest.fixture(scope="module")
def axe() -> Axe:
    """The accessibility checker."""
    return Axe()


@pytest.mark.timeout(600)
def test_every_page_is_accessible_and_fits(visitor, cast, axe):
    ada = visitor("Admin")
    own = (cast.failed, cast.rolled_back, cast.rollback, cast.advised)
    found = [problem for number in own for problem in examine(ada, axe, f"/deployments/{number}/")]
    for address in PAGES:
        found += examine(ada, axe, address)
    found += examine(ada, axe, first_record(ada))
    for address, status in REFUSALS.items():
        ada.forgive_status(status)
        found += examine(ada, axe, address, status)
    assert not found, "\n".join(found)


@pytest.mark.timeout(300)
def test_pages_of_others_are_accessible_and_fit(visitor, axe, scene):
    stranger = visitor(None)
    found = [problem for address in ("/demo/", "/login/") for problem in examine(stranger, axe, address)]
    otto = visitor("Operator")
    otto.forgive_status(403)
    found += examine(otto, axe, "/deployments/new/", 403)
    running = scene.at_gate(scene.other_good())
    ada = visitor("Admin")
    found += examine(ada, axe, f"/deployments/{running}/")
    found += examine(ada, axe, f"/deployments/{running}/?confirm=confirm-promote")
    found += examine(ada, axe, "/deployments/new/?environment=production&release=v1.2.6")
    assert not found, "\n".join(found)


def examine(who: Visitor, axe: Axe, address: str, status: int = 200) -> list[str]:
    """Load a page once and look at it in every width and scheme; what is wrong, one line each."""
    page = who.page
    answer = page.goto(address)
    assert answer is not None and answer.status == status, f"{address}: {answer and answer.status} instead of {status}"
    problems = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            problems.append(f"{address} at {width}: {over} px wider than the screen")
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            problems += [f"{address} at {width} {scheme}: {text}" for text in violations(axe, page)]
    return problems


def violations(axe: Axe, page: Page) -> list[str]:
    """What the checker finds, with the first element of each."""
    options = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    return [
        f"{rule['id']} ({len(rule['nodes'])}): {rule['nodes'][0]['html'][:200]}"
        for rule in axe.run(page, options=options).response["violations"]
    ]


def first_record(who: Visitor) -> str:
    """Address of the newest audit record that keeps values."""
    who.page.goto("/audit/?action=deployment.started")
    return who.page.locator("table a[href^='/audit/']").first.get_attribute("href")


@pytest.mark.parametrize("address", ["/", "/deployments/", "/releases/", "/audit/", "deployment", "environment"])
def test_a_page_loads_little(visitor, cast, address):
    address = {"deployment": f"/deployments/{cast.advised}/", "environment": "/environments/production/"}.get(
        address, address
    )
    ada = visitor("Admin")
    bodies: dict[str, bytes] = {}
    fresh = ada.context.browser.new_context(base_url=ada.url, storage_state=ada.context.storage_state())
    page = fresh.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda response: bodies.update({response.url: response.body()}) if is_code(response) else None)
    page.goto(address, wait_until="networkidle")
    expect(page.locator("#conn-text")).not_to_have_text("Connecting")
    has_charts = page.locator(".chart").count() > 0
    fresh.close()
    kilobytes = sum(len(gzip.compress(body, 6)) for body in bodies.values()) / 1024
    print(f"\n{address}: {kilobytes:.1f} KB of scripts and styles, {len(asked)} requests")
    assert kilobytes <= KILOBYTES[has_charts], json.dumps(
        {url: len(gzip.compress(body)) for url, body in bodies.items()}
    )
    assert len(asked) <= REQUESTS, asked


def is_code(response) -> bool:
    """Whether it is a script or a style."""
    return response.request.resource_type in ("script", "stylesheet")
