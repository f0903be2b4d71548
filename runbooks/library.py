"""The runbooks that can be carried out: files of ``runbooks/library/`` and of the folders of ``OPSC_RUNBOOKS``.

A file of a user's folder replaces the one of the same slug that comes with the console. A file is read again when it
changes. One that cannot be read is listed with what is wrong and hides no other; a name of evidence or of a remedy that
this console does not know is listed too, and the runbook can be used without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from threading import Lock

from django.conf import settings

from alerts.models import Alert
from environments import evidence, remedies
from runbooks.runbook_format import LONGEST_FILE, FormatError, Runbook, parse
from runbooks.runbook_head import slug_of

OWN = Path(__file__).resolve().parent / "library"
"""The files that come with the console."""
LABEL = "runbooks/library"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file."""

    slug: str
    source: str
    """Where the file is, as people read it."""
    runbook: Runbook | None
    """None when it cannot be used."""
    text: str = ""
    digest: str = ""
    """SHA-256 of the file's bytes."""
    problems: tuple[str, ...] = ()
    """``file, line 7: what is wrong and what to write``."""
    is_replaced: bool = False
    """A file of a user's folder is used in its place."""


_cache: dict[Path, tuple[tuple[int, int], Entry]] = {}
_lock = Lock()


def all() -> list[Runbook]:  # noqa: A001
    """Every runbook that can be used, by title."""
    return [one.runbook for one in entries() if one.runbook is not None and not one.is_replaced]


def find(slug: str) -> Runbook | None:
    """The runbook of a slug; None when there is none that can be used."""
    found = entry(slug)
    return found.runbook if found else None


def for_alert(alert: Alert) -> list[Runbook]:
    """Runbooks that say that they are for such an alert; those that name its key more closely first."""
    fitting = [one for one in all() if one.fits(alert.kind, alert.key)]
    return sorted(fitting, key=lambda one: -_closeness(one, alert))


def entries() -> list[Entry]:
    """Every file, broken and replaced ones too, by title; no queries."""
    used: dict[str, Entry] = {}
    others: list[Entry] = []
    for one in _files():
        earlier = used.get(one.slug)
        if one.runbook is None:
            others.append(one)
        elif earlier is None:
            used[one.slug] = one
        else:
            others.append(_replaced(one, earlier))
    return sorted([*used.values(), *others], key=lambda one: (one.runbook.title if one.runbook else "~", one.source))


def entry(slug: str) -> Entry | None:
    """The file that is used for a slug; None when there is none that can be used."""
    return next((one for one in entries() if one.slug == slug and one.runbook and not one.is_replaced), None)


def broken() -> list[Entry]:
    """Files with problems."""
    return [one for one in entries() if one.problems]


@lru_cache(maxsize=256)
def read(digest: str, text: str) -> Runbook:
    """The runbook of a text that was kept; runs are read by it, whatever the file says now.

    Raises:
        FormatError: it cannot be read by this version of the console.
    """
    return parse(text)


def unknown_names(runbook: Runbook) -> Iterator[tuple[int, str]]:
    """Line and words for each name of evidence or of a remedy that this console does not know."""
    known, offered = evidence.providers(), remedies.remedies()
    for step in runbook.steps:
        for check in step.diagnostics:
            if check.command is None and check.name not in known:
                yield check.line, f"there is no evidence “{check.name}”.{_near(check.name, known)}"
        for fix in step.remedies:
            if fix.name not in offered:
                yield fix.line, f"there is no remedy “{fix.name}”.{_near(fix.name, offered)}"


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, 3)
    return f" Do you mean {' or '.join(near)}?" if near else ""


def _files() -> Iterator[Entry]:
    """Files of the users' folders first, in their order."""
    for folder in (*settings.OPSC_RUNBOOKS, OWN):
        label = LABEL if folder == OWN else str(folder)
        try:
            paths = sorted(path for path in Path(folder).iterdir() if path.suffix == ".md" and path.stem != "README")
        except OSError as error:
            if folder != OWN:
                yield Entry("", label, None, problems=(f"{label}: cannot be read ({error.strerror}).",))
            continue
        for path in paths:
            yield _load(path, f"{label}/{path.name}")


def _load(path: Path, label: str) -> Entry:
    try:
        status = path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        with _lock:
            kept = _cache.get(path)
        if kept and kept[0] == stamp:
            return kept[1]
        if status.st_size > 4 * LONGEST_FILE:
            raise ValueError(f"has {status.st_size:,} bytes, which no runbook needs")
        data = path.read_bytes()
        found = _read(data, path, label)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        return Entry(path.stem, label, None, problems=(f"{label}: {words}.",))
    with _lock:
        _cache[path] = (stamp, found)
    return found


def _read(data: bytes, path: Path, label: str) -> Entry:
    digest = hashlib.sha256(data).hexdigest()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return Entry(path.stem, label, None, problems=(f"{label}: is not UTF-8 (byte {error.start}).",))
    try:
        runbook = parse(text)
    except FormatError as error:
        problems = tuple(f"{label}, {place}" for place in error.places)
        return Entry(slug_of(text) or path.stem, label, None, text, digest, problems)
    problems = tuple(f"{label}, line {line}: {words}" for line, words in unknown_names(runbook))
    return Entry(runbook.slug, label, runbook, text, digest, problems)


def _replaced(one: Entry, by: Entry) -> Entry:
    replaced = by.source != one.source
    problems = one.problems if one.source.startswith(LABEL) else (*one.problems, f"{one.source}: {by.source} is used.")
    return Entry(one.slug, one.source, one.runbook, one.text, one.digest, problems, is_replaced=replaced)


def _closeness(runbook: Runbook, alert: Alert) -> int:
    fitting = (one for one in runbook.alert_kinds if one.kind == alert.kind)
    return max((len(one.key.replace("*", "")) for one in fitting), default=0)
