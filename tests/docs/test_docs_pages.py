"""The Docs page and its documents: every one is there, every link of them leads somewhere, and they say what is so."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from django.test import Client

from opsconsole.docs import library, pages, render, views
from tests.pages.conftest import browser  # noqa: F401  signed in, without a script

ROOT = Path(__file__).resolve().parents[2]


class Links(HTMLParser):
    """Links and pictures of a page, and the ids that can be linked to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        if tag == "img":
            assert given.get("src") and given.get("alt"), given
            self.links.add(given["src"])
        if given.get("id"):
            self.ids.append(given["id"])


@pytest.fixture
def ada(admin, browser) -> Client:  # noqa: F811
    return browser(admin)


def main_of(page: str) -> str:
    return page.partition('<main id="main"')[2].partition("</main>")[0]


def test_every_link_of_every_document_leads_somewhere(ada):
    start = ["/docs/", *(f"/docs/{name}/" for name in ("readme", "changes"))]
    start += [f"/docs/{document.name}/" for document in library.documents()]
    seen: dict[str, Links] = {}
    for address in start:
        answer = ada.get(address)
        assert answer.status_code == 200, address
        seen[address] = Links(main_of(answer.content.decode()))
        assert len(seen[address].ids) == len(set(seen[address].ids)), f"{address} has an id twice"
    asked: dict[str, int] = {}
    broken = []
    for address, page in seen.items():
        for link in page.links:
            target = urlsplit(urljoin(address, link))
            if target.scheme or target.netloc:
                continue
            if target.path not in asked:
                asked[target.path] = ada.get(target.path).status_code
            is_anchor = not target.fragment or target.path not in seen or target.fragment in seen[target.path].ids
            if asked[target.path] != 200 or not is_anchor:
                broken.append(f"{address}: {link}")
    assert broken == []
    assert {f"/docs/{document.name}/" for document in library.documents()} <= set(asked), "not reachable from /docs/"


def test_the_docs_page_leads_to_everything(ada):
    page = ada.get("/docs/").content.decode()
    for address in ("/runbooks/", "/checklists/", "/changelog/", "/releases/", "/api/docs/", "/audit/"):
        assert f'href="{address}"' in page
    for name in ("operating", "architecture", "ops-contract", "exchange-api", "opsctl", "configuration", "access"):
        assert f'href="/docs/{name}/"' in page
    for name in ("components", "data-flow", "deployment"):
        assert f'src="/docs/pictures/diagrams/{name}.svg"' in page
    assert "None" not in main_of(page)


def test_a_document_is_safe_html_with_anchors(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "FOLDER", tmp_path)
    (tmp_path / "picture.svg").write_text('<svg width="30" height="20"></svg>')
    (tmp_path / "one.md").write_text(
        "# One `two`\n<!-- hidden -->\n\nFirst [words](two.md#b).\n\n## A\n\n#### A\n\n<script>alert(1)</script>\n\n"
        "[bad](javascript:alert(1)) [code](../manage.py) ![p](picture.svg)\n\n```sh\n# no heading\n```\n\n"
        "|a|\n|-|\n|b|\n"
    )
    (tmp_path / "two.md").write_text("# Two\n\n## B\n")
    found = library.find("one")
    assert found is not None and (found.title, found.summary) == ("One two", "First words.")
    html = render.render(found, "dark").html
    assert "<script" not in html and "javascript:" not in html.replace("(javascript:", "") and "hidden" not in html
    assert 'href="/docs/two/#b"' in html
    assert '<h2 id="a">' in html and '<h3 id="a-1">' in html and "<h1" not in html
    assert 'src="/docs/pictures/picture.svg?theme=dark"' in html and 'width="30"' in html
    assert [heading.anchor for heading in render.render(found).contents] == ["a", "a-1"]
    assert '<div class="scroll" tabindex="0"' in html and "<th>a</th>" in html


@pytest.mark.parametrize("name", ["../manage.py", "..%2fmanage.py", "diagrams/components.yaml", "api.md", "x" * 300])
def test_only_pictures_of_the_folder_are_shown(ada, name):
    assert ada.get(f"/docs/pictures/{name}").status_code == 404
    assert ada.get("/docs/Readme_/").status_code == 404


def test_pictures_follow_the_chosen_theme(ada):
    def svg(theme: str) -> str:
        answer = ada.get(f"/docs/pictures/diagrams/deployment.svg?theme={theme}")
        assert answer["Content-Type"] == "image/svg+xml" and answer["Content-Security-Policy"] == views.PICTURE_POLICY
        return answer.content.decode()

    assert "prefers-color-scheme" in svg("") and "prefers-color-scheme" not in svg("light") + svg("dark")
    assert "#14171b" in svg("dark") and "#14171b" not in svg("light")
    assert svg("dark").count("{") == svg("dark").count("}")
    ada.cookies["opsc_theme"] = "dark"
    assert "deployment.svg?theme=dark" in ada.get("/docs/architecture/").content.decode()


def test_a_search_finds_sections(ada):
    hits = pages.search("audit sequencer")
    assert any(hit.href.startswith("/docs/architecture/#") for hit in hits)
    page = ada.get("/docs/?q=SEQUENCER").content.decode()
    assert "<mark>sequencer</mark>" in page
    assert "No document holds" in ada.get("/docs/?q=%3Cb%3Ezzzz").content.decode()
    assert "&lt;b&gt;zzzz" in ada.get("/docs/?q=%3Cb%3Ezzzz").content.decode()
    assert pages.search("a") == [] and ada.get("/docs/?q=%00").status_code == 200


def test_without_the_folder_the_page_says_what_is_left(ada, tmp_path, monkeypatch):
    monkeypatch.setattr(library, "FOLDER", tmp_path / "none")
    assert ada.get("/docs/").status_code == 200
    assert ada.get("/docs/architecture/").status_code == 404


def asked_and_sent(path: Path) -> tuple[set[str], set[str]]:
    """Types of questions to ``/info``, and of actions to ``/exchange``, in the code of a file."""
    questions, actions = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("._info"):
            first = node.args[0]
            kind = first if isinstance(first, ast.Constant) else first.values[0]  # type: ignore[attr-defined]
            questions.add(kind.value)  # type: ignore[attr-defined]
        elif isinstance(node, ast.Dict) and [ast.unparse(key) for key in node.keys if key][:1] == ["'type'"]:
            if isinstance(node.values[0], ast.Constant):
                actions.add(node.values[0].value)
        elif isinstance(node, ast.Name) and node.id == "order_wires_to_order_action":
            actions.add("order")
    return questions, actions - questions


def test_the_usage_of_the_exchange_is_what_the_code_does():
    text = (ROOT / "docs/exchange-api.md").read_text()
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    tables = [set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) for part in parts[1:4]]
    questions, actions = asked_and_sent(ROOT / "trading/exchange/hyperliquid.py")
    assert tables[:2] == [questions, actions]
    questions, actions = asked_and_sent(ROOT / "demo/trading_system/exchange.py")
    assert tables[2] == questions | actions
