"""A Markdown file of the checkout to safe HTML with anchors; its links and pictures lead into the console."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nh3
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from opsconsole.docs import library

_PARSER = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
_HEADINGS = {f"h{level}" for level in range(1, 7)}
_TAGS = {
    *_HEADINGS,
    *("p", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "hr", "br", "a", "img", "div"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "pre": {"tabindex", "role", "aria-label"},
    **{heading: {"id"} for heading in _HEADINGS},
}
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_DRAWING = re.compile(r"<p>(<img [^>]*\.svg[^>]*>)</p>")
_SIZE = re.compile(r'<svg[^>]* width="(\d+)"[^>]* height="(\d+)"')
THEMES = ("light", "dark")
MOST_CONTENTS = 40
"""Headings in the list of contents; with more of them, those of the second level alone."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a document, for the list of contents."""

    level: int
    anchor: str
    title: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document as a page shows it; its h1 is left to the page."""

    html: SafeString
    contents: tuple[Heading, ...]


def render(document: library.Document, theme: str = "auto") -> Rendered:
    """The document as HTML. Raw HTML is shown as text, comments are left out.

    Args:
        theme: ``light`` or ``dark`` for pictures that follow it; ``auto``: as the browser says.
    """
    return _render(document.path, document.path.stat().st_mtime_ns, theme if theme in THEMES else "auto")


@lru_cache(maxsize=128)
def _render(path: Path, version: int, theme: str) -> Rendered:
    tokens = _PARSER.parse(_COMMENT.sub("", path.read_text()))
    contents = tuple(_headings(tokens))
    for token in tokens:
        for inline in token.children or ():
            _lead(inline, path, theme)
    html = _PARSER.renderer.render(list(_without_title(tokens)), _PARSER.options, {})
    # Wide tables and code are scrolled by themselves, and by the keyboard too.
    html = html.replace("<table>", '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>')
    html = html.replace("</table>", "</table></div>")
    html = _DRAWING.sub(
        r'<div class="scroll doc-drawing" tabindex="0" role="group" aria-label="Drawing">\1</div>', html
    )
    html = html.replace("<pre>", '<pre tabindex="0" role="group" aria-label="Example">')
    clean = nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes={"http", "https", "mailto"})
    shown = tuple(one for one in contents if one.level in (2, 3))
    if len(shown) > MOST_CONTENTS:
        shown = tuple(one for one in shown if one.level == 2)
    return Rendered(mark_safe(clean), shown)


def _headings(tokens: list[Token]) -> Iterator[Heading]:
    """Every heading; each gets its anchor, made as for Markdown pages elsewhere. Levels leave none out."""
    seen: dict[str, int] = {}
    level = 1
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type != "heading_open":
            continue
        anchor = slug(inline.content)
        seen[anchor] = seen.get(anchor, -1) + 1
        anchor = f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor
        token.attrSet("id", anchor)
        level = min(int(token.tag[1]), level + 1)
        closing = next(one for one in tokens[tokens.index(token) :] if one.type == "heading_close")
        token.tag = closing.tag = f"h{level}"
        yield Heading(level, anchor, re.sub(r"[`*]", "", inline.content))


def slug(title: str) -> str:
    """``## The engine`` has the anchor ``the-engine``."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def _without_title(tokens: list[Token]) -> Iterator[Token]:
    inside = False
    for token in tokens:
        inside = inside or (token.type == "heading_open" and token.tag == "h1")
        if not inside:
            yield token
        elif token.type == "heading_close":
            inside = False


def _lead(inline: Token, path: Path, theme: str) -> None:
    if inline.type == "link_open":
        inline.attrSet("href", address(str(inline.attrGet("href") or ""), path))
    elif inline.type == "image":
        found = (path.parent / str(inline.attrGet("src") or "")).resolve()
        inline.attrSet("src", picture_address(found, theme))
        if found.suffix == ".svg" and found.is_file() and (size := _SIZE.search(found.read_text())):
            inline.attrSet("width", size[1])
            inline.attrSet("height", size[2])


def address(link: str, path: Path) -> str:
    """Where a link of a file leads in the console; a file that the console does not show stays a relative link."""
    if re.match(r"[a-z]+:|#|/", link):
        return link
    file, _, anchor = link.partition("#")
    target = (path.parent / file).resolve()
    tail = f"#{anchor}" if anchor else ""
    if name := library.name_of(target):
        return reverse("document", args=[name]) + tail
    return picture_address(target, "auto") if target.suffix in library.PICTURES else link


def picture_address(path: Path, theme: str) -> str:
    """The address of a picture below ``docs/``; empty for any other file."""
    folder = library.FOLDER.resolve()
    if not path.is_relative_to(folder):
        return ""
    found = reverse("document-picture", args=[path.relative_to(folder).as_posix()])
    return f"{found}?theme={theme}" if path.suffix == ".svg" and theme in THEMES else found
