"""Pictures of every page for the documentation: ``python -m opsconsole.local.screenshots [--url http://127.0.0.1:8000]``.

Without an address it starts a stack of its own on free ports, tells a short story there, takes the pictures while a
release is being watched, and stops it. With an address it takes what is there. Needs playwright and a Chromium.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from opsconsole.config import ROOT
from opsconsole.local.client import TERMINAL, Console
from opsconsole.local.demo import bring_up
from opsconsole.local.stack import Ports, Stack

FOLDER = ROOT / "docs" / "screenshots"
LOOKS = ((1440, "light"), (1440, "dark"), (390, "light"))
HEIGHT = 1600
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WINDOWS = {"OPSC_DEMO_WATCH": "60", "OPSC_DEMO_STABLE": "600", "OPSC_DEMO_BASELINE": "20"}
LOAD = {"production": 200, "staging": 20}
SETTLE_SECONDS = 25
"""How long the watched release runs before the pictures, so that the charts have something to show."""
PALETTE = """async (png) => {
  const image = new Image();
  image.src = "data:image/png;base64," + png;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const pixel of data) counts.set(pixel, (counts.get(pixel) || 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 256).map(([pixel]) => pixel);
  const parts = (pixel) => [pixel & 255, pixel >> 8 & 255, pixel >> 16 & 255];
  const known = palette.map(parts), index = new Map(palette.map((pixel, at) => [pixel, at]));
  const nearest = (pixel) => {
    const [r, g, b] = parts(pixel);
    let best = 0, least = Infinity;
    known.forEach(([r2, g2, b2], at) => {
      const far = (r - r2) ** 2 + (g - g2) ** 2 + (b - b2) ** 2;
      if (far < least) { least = far; best = at; }
    });
    index.set(pixel, best);
    return best;
  };
  const bytes = Uint8Array.from(data, (pixel) => index.get(pixel) ?? nearest(pixel));
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return { width: image.width, height: image.height, palette: known.flat(), pixels: btoa(text) };
}"""


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(prog="python -m opsconsole.local.screenshots", description=__doc__)
    parser.add_argument("--url", help="a running demo; by default a stack of its own is started")
    options = parser.parse_args()
    if options.url:
        take(options.url, pages(options.url))
        return
    with _own_stack() as stack:
        _story(stack)
        take(stack.url, pages(stack.url))


@contextmanager
def _own_stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="opsconsole-pictures-") as folder:
        stack = Stack(Path(folder), Ports.free(), variables=WINDOWS, load=LOAD)
        try:
            stack.start(print)
            bring_up(Console.as_role(stack.url, stack.keys), stack, print)
            yield stack
        finally:
            stack.stop()
            stack.remove_data()


def _story(stack: Stack) -> None:
    """A failed release, one that went back by itself, and a good one that is being watched."""
    console = Console.as_role(stack.url, stack.keys)
    console.wait(console.deploy("staging", "v1.2.9", "Smaller orders for the kinematics strategy"))
    console.wait(console.deploy("staging", "v1.2.5", "Rehearsal for production"), _is_watched)
    bad = console.deploy("production", "v1.2.6", "Signals are kept per symbol")
    console.wait(bad)
    console.wait(bad + 1)
    console.write_reports("production")
    good = console.deploy("production", "v1.2.5", "Better confidence threshold for the geometry strategy")
    console.wait(good, _is_watched)
    time.sleep(SETTLE_SECONDS)


def _is_watched(found: dict[str, object]) -> bool:
    return found["status"] in {*TERMINAL, "watching"}


def pages(url: str) -> dict[str, str]:
    """Name of a picture to the address of the page; deployments are found on the console's own list."""
    with _page(url, *LOOKS[0]) as page:
        deployments = {
            name: _first(page, f"/deployments/?environment=production&{query}", "table a[data-row-link]")
            for name, query in {
                "deployment": "state=unfinished",
                "deployment-rolled-back": "state=rolled_back",
            }.items()
        }
        record = _first(page, "/audit/?action=deployment.started", "table a[href^='/audit/']")
    return {
        "overview": "/",
        "environments": "/environments/",
        "environment": "/environments/production/",
        "deployments": "/deployments/",
        **deployments,
        "start": "/deployments/new/?environment=staging&release=v1.3.0",
        "start-blocked": "/deployments/new/?environment=production&release=v1.3.2",
        "releases": "/releases/",
        "release": "/releases/v1.2.5/",
        "positions": "/positions/",
        "kill-switch": "/kill-switch/",
        "checklists": "/checklists/",
        "runbook": "/runbooks/high-latency/?environment=production",
        "changelog": "/changelog/",
        "audit": "/audit/",
        "audit-record": record,
        "api": "/api/docs/",
    }


def _first(page: Page, address: str, link: str) -> str:
    page.goto(address)
    found = page.locator(link)
    if not found.count():
        raise SystemExit(f"{address} lists nothing that could be shown; start what is missing, then try again.")
    return str(found.first.get_attribute("href"))


def take(url: str, addresses: dict[str, str]) -> None:
    """Write ``docs/screenshots/<page>-<width>-<scheme>.png`` for each page and look."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for width, scheme in LOOKS:
        with _page(url, width, scheme) as page:
            for name, address in addresses.items():
                target = FOLDER / f"{name}-{width}-{scheme}.png"
                target.write_bytes(small_png(page, picture(page, address, width)))
                print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1024} KB", flush=True)


def picture(page: Page, address: str, width: int) -> bytes:
    """The page from its top, at most ``HEIGHT`` high, once it is live and drawn."""
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address, wait_until="networkidle")
    page.locator("#conn-text").filter(has_text=re.compile("Live|As of")).wait_for()
    height = int(page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": width, "height": min(height, HEIGHT)})
    return page.screenshot(animations="disabled")


def small_png(page: Page, png: bytes) -> bytes:
    """The same picture with a palette of 256 colours: a third of the size, and text stays sharp."""
    blank = page.context.new_page()
    found = blank.evaluate(PALETTE, base64.b64encode(png).decode())
    blank.close()
    width, pixels = found["width"], base64.b64decode(found["pixels"])
    rows = b"".join(b"\0" + pixels[at : at + width] for at in range(0, len(pixels), width))
    header = struct.pack(">2I5B", width, found["height"], 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", bytes(found["palette"])), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


@contextmanager
def _page(url: str, width: int, scheme: str) -> Iterator[Page]:
    """A page of the demo's Admin."""
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        context = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.goto("/demo/")
        page.get_by_role("button", name="Enter as Admin").click()
        page.get_by_role("heading", level=1, name="Overview").wait_for()
        yield page
        browser.close()


if __name__ == "__main__":
    main()
