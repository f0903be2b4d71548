"""The change log as an Atom feed (RFC 4287)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from django.utils.feedgenerator import Atom1Feed

from opsconsole.changelog.entries import KIND_WORD, Entry
from opsconsole.changelog.markdown import state_words

MEDIA_TYPE = "application/atom+xml; charset=utf-8"


def to_atom(entries: Sequence[Entry], host: str, path: str) -> str:
    """The entries as a feed.

    Args:
        host: address of the console, without a slash at the end.
        path: path and query of the feed itself.
    """
    feed = Atom1Feed(
        title="OpsConsole change log",
        link=f"{host}/changelog/",
        description="",
        subtitle="Deployments, configuration changes and incidents",
        feed_url=f"{host}{path}",
        feed_guid=f"{host}{path}",
        language="en",
        author_name="OpsConsole",
    )
    for entry in entries:
        feed.add_item(**_item(entry, host))
    if not entries:
        # Without entries there is no time of the last change: never, as seen by a reader.
        feed.latest_post_date = lambda: datetime(1970, 1, 1, tzinfo=UTC)  # type: ignore[method-assign]
    return feed.writeString("utf-8")


def _item(entry: Entry, host: str) -> dict[str, Any]:
    where = f" ({entry.environment})" if entry.environment else ""
    state = f": {state_words(entry)}" if entry.status[0] else ""
    return {
        "title": _characters(f"{entry.title}{where}{state}"),
        "link": f"{host}{entry.href or '/changelog/'}",
        # A summary of the type html, so plain text is escaped once more than the document does it.
        "description": escape(_characters(" ".join(filter(None, entry.details))), quote=False),
        "unique_id": f"{host}/changelog/#{entry.id}",
        "pubdate": entry.at,
        "updateddate": max(entry.at, entry.changed_at or entry.at),
        "author_name": _characters(entry.who or "OpsConsole"),
        "categories": [KIND_WORD[kind] for kind in entry.kinds],
    }


def _characters(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(character for character in text if character >= " " or character in "\n\t")
