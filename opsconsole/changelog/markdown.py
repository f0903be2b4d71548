"""The change log as Markdown, in the manner of keepachangelog.com: a heading a period, below it one a kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from opsconsole import formats
from opsconsole.changelog.entries import KIND_WORDS, Entry, Group
from opsconsole.vocabulary import look_up

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|])")


def to_markdown(groups: Sequence[Group], host: str, note: str = "") -> str:
    """The groups as one document.

    Args:
        host: address of the console, without a slash at the end; links lead there.
        note: what is left out, in a sentence.
    """
    return "\n".join([*_head(host, note), *(line for group in groups for line in _group(group, host))]) + "\n"


def _head(host: str, note: str) -> Iterator[str]:
    yield "# Change log"
    yield ""
    yield f"Every deployment, configuration change and incident, newest first, times in UTC. From {host}/changelog/"
    if note:
        yield ""
        yield note


def _group(group: Group, host: str) -> Iterator[str]:
    yield ""
    yield f"## {group.title}"
    for kind, words in KIND_WORDS.items():
        if listed := group.of(kind):
            yield ""
            yield f"### {words}"
            yield ""
            yield from (_line(entry, host) for entry in listed)


def _line(entry: Entry, host: str) -> str:
    where = f", {entry.environment}" if entry.environment else ""
    who = f", {entry.who}" if entry.who else ""
    state = f": {state_words(entry)}" if entry.status[0] else ""
    told = " ".join(filter(None, entry.details))
    href = f" ([{_plain(entry.links[0][0])}]({host}{entry.href}))" if entry.href else ""
    head = f"{formats.utc_full(entry.at)[:16]} **{_plain(entry.title)}**{_plain(where + who + state)}."
    return f"- {head}{f' {_plain(told)}' if told else ''}{href}"


def state_words(entry: Entry) -> str:
    """The word of the entry's status; empty without one."""
    kind, value = entry.status
    return look_up(kind, value).word if kind else ""


def _plain(text: str) -> str:
    """Text that is shown as it is: on one line, nothing of it Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
