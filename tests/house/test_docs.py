"""The documents say what is true: what can be compared with the code is compared."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.core.management import get_commands
from django.core.management.base import CommandError

from deployments.states import TRANSITIONS, Status
from opsconsole.api import KINDS
from opsconsole.checks import api_views
from opsconsole.management.commands import config_reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
IDS = [str(path.relative_to(ROOT)) for path in DOCS]
FENCE = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
each_document = pytest.mark.parametrize("path", DOCS, ids=IDS)


def prose(path: Path) -> str:
    """A document without its code blocks."""
    return FENCE.sub("", path.read_text())


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a document, as they are made for Markdown pages."""
    titles = re.findall(r"^#+ +(.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(path: Path) -> list[str]:
    """Relative links and images of a document that lead nowhere, also those whose anchor does not exist."""
    broken = []
    for link in LINK.findall(prose(path)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def test_configuration_reference_is_what_the_code_says(tmp_path, monkeypatch):
    config_reference.Command().handle(check=True)
    old = tmp_path / "configuration.md"
    old.write_text(config_reference.reference().replace("OPSC_PORT", "OPSC_PROT"))
    monkeypatch.setattr(config_reference, "ROOT", tmp_path)
    monkeypatch.setattr(config_reference, "TARGET", old)
    with pytest.raises(CommandError, match="out of date"):
        config_reference.Command().handle(check=True)


@each_document
def test_links_lead_somewhere(path):
    assert broken_links(path) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, here\n[a](#a-title-here) [b](#b) [c](gone.md) ![d](page.md#a-title-here) [e](https://e.org)"
    )
    assert broken_links(page) == ["#b", "gone.md"]


@each_document
def test_make_targets_exist(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", path.read_text()))
    assert named <= targets, f"no such make target: {named - targets}"


def test_readme_names_the_commands_of_make():
    documented = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)) - {
        "help",
        "migrations",
    }
    assert documented <= set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text()))


@each_document
def test_management_commands_exist(path):
    named = set(re.findall(r"manage\.py ([a-z_]+)", path.read_text()))
    assert named <= set(get_commands()), f"unknown command: {named - set(get_commands())}"


@each_document
def test_files_named_in_code_spans_exist(path):
    """``environments/probe.py`` and the like; a name without a folder may be one of the reader's own."""
    named = re.findall(r"`((?:[a-z_]+/)+[a-zA-Z_.-]+\.(?:py|lua|yaml|md|json))`", prose(path))
    missing = [name for name in named if not name.startswith("var/") and not (ROOT / name).exists()]
    assert missing == []


@each_document
def test_no_folder_of_a_developers_machine(path):
    assert not re.search(r"/(?:work|home|root|Users)/", path.read_text())


def test_every_api_address_is_described():
    routes = set()
    for route, _, methods in api_views():
        if route.startswith("api/v1/"):
            plain = re.sub(r"\(\?P<(\w+)>[^)]*\)|<\w+:(\w+)>", r"{\1\2}", route).replace("{pk}", "{id}")
            address = "/" + re.sub(r"[\^$]|\\Z", "", plain)
            routes |= {f"{method.upper()} {address}" for method in methods if method != "head"}
    described = set(re.findall(r"^### `([A-Z]+ /api/v1/\S*)`", (ROOT / "docs/api.md").read_text(), re.MULTILINE))
    assert described == routes


def test_every_kind_of_problem_is_described():
    text = (ROOT / "docs/api.md").read_text()
    listed = set(re.findall(r"^\| \d{3} \| `(\w+)`", text, re.MULTILINE))
    assert listed == set(KINDS)


def test_status_picture_shows_every_transition():
    picture = ElementTree.parse(ROOT / "docs/statuses.svg")
    drawn = {edge for element in picture.iter() for edge in element.get("data-edges", "").split()}
    assert drawn == {f"{before}:{after}" for before, following in TRANSITIONS.items() for after in following}
    words = {element.text for element in picture.iter() if element.tag.endswith("text")}
    assert set(Status) <= words
