"""Markdown of release notes to safe HTML."""

from __future__ import annotations

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt

_PARSER = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table")
_TAGS = {
    *(
        "p",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "ul",
        "ol",
        "li",
        "strong",
        "em",
        "code",
        "pre",
        "blockquote",
        "hr",
        "br",
        "a",
    ),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_TOP_HEADING = 3
"""Notes stand below the page's h1 and a panel's h2."""


def render(text: str | None) -> SafeString:
    """Markdown to HTML: raw HTML is shown as text, only http(s), mailto and relative links survive.

    Headings are moved so that the highest is an h3 and no level is skipped.
    """
    if not text:
        return mark_safe("")
    tokens = _PARSER.parse(text)
    levels = sorted({int(token.tag[1]) for token in tokens if token.type == "heading_open"})
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, _TOP_HEADING + levels.index(int(token.tag[1])))}"
    html = _PARSER.renderer.render(tokens, _PARSER.options, {})
    clean = nh3.clean(html, tags=_TAGS, attributes={"a": {"href", "title"}}, url_schemes={"http", "https", "mailto"})
    return mark_safe(clean)
