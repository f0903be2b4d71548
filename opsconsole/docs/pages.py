"""What the Docs page lists, and a search in the documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import reverse

from opsconsole.docs import library, render

SHORTEST_QUERY, LONGEST_QUERY = 2, 60
MOST_HITS = 30
_AROUND = 90
_MARKS = str.maketrans({"`": "", "*": "", "|": " "})
DIAGRAMS = ("components", "data-flow", "deployment")
"""Names of the drawings in ``docs/diagrams/``, in the order of the page."""
LIVING = (
    ("Runbooks", "/runbooks/", "What to do when something is wrong, step by step, and what was done before."),
    ("Checklists", "/checklists/", "Daily, weekly, monthly and before each deployment: what is due, and the history."),
    ("Change log", "/changelog/", "Every deployment, configuration change and incident, by day, week or month."),
    ("Release notes", "/releases/", "What each release of the trading system adds, changes and mends."),
    ("API reference", "/api/docs/", "Every address, body, answer and error, drawn from the OpenAPI schema."),
    ("Audit trail", "/audit/", "Who did what, when and why, with its proof."),
)
"""What the console itself shows: title, address, what it is."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the Docs page."""

    title: str
    href: str
    summary: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A section of a document in which a text was found."""

    title: str
    href: str
    before: str
    found: str
    after: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """One architecture diagram."""

    title: str
    src: str
    alone: str
    """Address of the picture by itself."""
    words: str
    width: str
    height: str


def sections() -> list[tuple[str, list[Item]]]:
    """Everything, by what one looks for."""
    written = [_item(document) for document in library.documents()]
    about = [_item(found) for name in library.ABOVE if (found := library.find(name))]
    return [("Lives in the console", [Item(*one) for one in LIVING]), ("Documents", written), ("This console", about)]


def names() -> list[Item]:
    """Every document, for the list beside one."""
    return [_item(document) for document in library.documents()]


def _item(document: library.Document) -> Item:
    return Item(document.title, reverse("document", args=[document.name]), document.summary)


def diagrams(theme: str) -> list[Drawing]:
    """The architecture diagrams; one whose file is not there is left out."""
    found = []
    for name in DIAGRAMS:
        path = (library.FOLDER / "diagrams" / f"{name}.svg").resolve()
        if path.is_file():
            text = path.read_text()
            told = [_text_of(text, part) for part in ("title", "desc", "width", "height")]
            alone = render.picture_address(path, "auto")
            found.append(Drawing(told[0], render.picture_address(path, theme), alone, told[1], told[2], told[3]))
    return found


def _text_of(svg: str, part: str) -> str:
    pattern = rf'<svg[^>]* {part}="(\d+)"' if part in ("width", "height") else rf"<{part}[^>]*>([^<]*)</{part}>"
    match = re.search(pattern, svg)
    return match[1] if match else ""


def search(text: str) -> list[Hit]:
    """Sections that hold a text, those with it in their heading first; at most 30."""
    if len(text) < SHORTEST_QUERY:
        return []
    asked = re.compile(re.escape(text), re.IGNORECASE)
    hits = [hit for document in library.documents() for hit in _hits(document, asked)]
    return sorted(hits, key=lambda hit: not asked.search(hit.title))[:MOST_HITS]


def _hits(document: library.Document, asked: re.Pattern[str]) -> Iterator[Hit]:
    href = reverse("document", args=[document.name])
    for title, anchor, body in _parts(document.path.read_text()):
        match = asked.search(body)
        if not match and not asked.search(title):
            continue
        name = document.title if title == document.title else f"{document.title}: {title}"
        at, end = (match.start(), match.end()) if match else (0, 0)
        # Cut between words.
        before = f" {body[:at]}"[-_AROUND:].partition(" ")[2]
        after = f"{body[end:]} "[:_AROUND].rpartition(" ")[0]
        yield Hit(name, f"{href}#{anchor}" if anchor else href, before, body[at:end], after)


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    """(title, anchor, text on one line) of each section; the first is the document itself."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    # A line of a shell example that begins with # is no heading.
    fenced = re.sub(r"^```.*?^```", lambda found: found[0].replace("\n#", "\n "), text, flags=re.DOTALL | re.MULTILINE)
    for index, part in enumerate(re.split(r"^(?=#{1,4} )", fenced, flags=re.MULTILINE)):
        head, _, body = part.partition("\n")
        if head.startswith("#"):
            title = head.lstrip("# ")
            plain = " ".join(re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", body).translate(_MARKS).split())
            yield title.replace("`", ""), "" if index <= 1 else render.slug(title), plain
