"""One stack and one browser for every test that drives the console as a person would."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from opsconsole.local.client import Console
from opsconsole.local.stack import Stack
from tests import stacks
from tests.live.person import Person
from tests.live.scene import Scene
from tests.live.visitor import Visitor
from tests.run import CHROMIUM

WINDOWS = {"OPSC_DEMO_PROMOTION": "manual", "OPSC_DEMO_WATCH": "4", "OPSC_DEMO_STABLE": "90", "OPSC_DEMO_RECHECK": "6"}
"""Somebody presses Promote on production; what was promoted is watched until the test ends it. A stop ends soon."""
QUIET = ("background-networking", "component-update", "sync")
BROWSER_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", *(f"--disable-{what}" for what in QUIET)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder drives a real browser, and may wait for a whole deployment."""
    for item in items:
        if "tests/live/" in item.path.as_posix():
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running installation where production waits for somebody to press Promote."""
    with stacks.running_stack(tmp_path_factory.mktemp("live"), WINDOWS) as running:
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, as it is found on the machine. Ends with this folder: its event loop would disturb other tests."""
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert executable, f"no Chromium found: install one of {', '.join(CHROMIUM)}"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=BROWSER_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def scene(stack: Stack) -> Iterator[Scene]:
    """What runs, as the API tells it; after the test production is idle and live on a good release again."""
    found = Scene(Console.as_role(stack.url, stack.keys))
    yield found
    found.settle()


@pytest.fixture
def visitor(stack: Stack, browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """``visitor("Admin", width=390)`` enters with one click; no test may leave a complaint of the browser."""
    visitors: list[Visitor] = []

    def enter(role: str | None, width: int = 1440, scheme: str = "light", **options: Any) -> Visitor:
        visitors.append(Visitor(browser, stack.url, role, width, scheme, **options))
        return visitors[-1]

    yield enter
    complaints = [f"{found.role}: {text}" for found in visitors for text in found.close()]
    assert not complaints, "the browser complained:\n" + "\n".join(complaints)


@pytest.fixture
def invited(stack, browser) -> Iterator[Callable[..., Person]]:
    """``invited("vera", "Admin")``: somebody new with an enrolment link, at the address where passkeys work."""
    visitors: list[Visitor] = []

    def make(username: str, role: str, **options: Any) -> Person:
        printed = stack.manage("create_user", username, "--name", f"{username.capitalize()} Visitor", "--role", role)
        link = re.search(r"http://\S+/login/link/\S+/", printed)
        assert link and link.group().startswith(stack.page_url), printed
        visitor = Visitor(browser, stack.page_url, None, **options)
        visitors.append(visitor)
        return Person(visitor, visitor.page, link.group())

    yield make
    complaints = [text for visitor in visitors for text in visitor.close()]
    assert not complaints, "the browser complained:\n" + "\n".join(complaints)
