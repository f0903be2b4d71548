"""The documents of the checkout, each by the name in its address, in the order in which the Docs page lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from opsconsole.config import ROOT

FOLDER = ROOT / "docs"
ORDER = (
    "operating",
    "checklists",
    "runbooks",
    "trading",
    "access",
    "architecture",
    "ops-contract",
    "exchange-api",
    "api",
    "opsctl",
    "configuration",
)
"""Names of documents in ``docs/``; those that are not named here follow, by their names."""
ABOVE = {"readme": ROOT / "README.md", "changes": ROOT / "CHANGELOG.md"}
"""Documents beside ``docs/``: what the console is, and what changed in the console itself."""
_TITLES = {"readme": "About OpsConsole", "changes": "Changes of OpsConsole itself"}
LONGEST_SUMMARY = 180
PICTURES = {".svg": "image/svg+xml", ".png": "image/png"}
"""What is shown of ``docs/`` besides documents, by the ends of names, with the media type."""


@dataclass(frozen=True, slots=True)
class Document:
    """One Markdown file."""

    name: str
    path: Path
    title: str
    summary: str
    """The first sentences of its first paragraph, as plain text."""


def find(name: str) -> Document | None:
    """The document of a name; None without one."""
    path = ABOVE.get(name)
    if path is None and re.fullmatch(r"[a-z0-9-]{1,60}", name):
        path = FOLDER / f"{name}.md"
    return _read(name, path) if path is not None and path.is_file() else None


def documents() -> list[Document]:
    """Those in ``docs/``, in order; none when the folder is not there."""
    names = sorted(path.stem for path in FOLDER.glob("*.md"))
    listed = [*(name for name in ORDER if name in names), *(name for name in names if name not in ORDER)]
    return [document for name in listed if (document := find(name)) is not None]


def picture(name: str) -> tuple[Path, str] | None:
    """File and media type of a picture below ``docs/``; None when there is none of that name."""
    path = (FOLDER / name).resolve()
    kind = PICTURES.get(path.suffix)
    return (path, kind) if kind and path.is_relative_to(FOLDER.resolve()) and path.is_file() else None


def name_of(path: Path) -> str | None:
    """The name of the document that is this file; None for any other file."""
    above = next((name for name, known in ABOVE.items() if known == path), None)
    return above or (path.stem if path.parent == FOLDER and path.suffix == ".md" else None)


def _read(name: str, path: Path) -> Document:
    text = path.read_text()
    title = re.search(r"^# +(.+)$", text, re.MULTILINE)
    return Document(name, path, _TITLES.get(name) or (_plain(title[1]) if title else name), _summary(text))


def _summary(text: str) -> str:
    body = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", body):
        paragraph = " ".join(paragraph.split())
        if paragraph and not re.match(r"[#|`!\[<-]", paragraph):
            return _shortened(_plain(paragraph))
    return ""


def _shortened(text: str) -> str:
    """As many whole sentences as fit; the first one in any case."""
    sentences = re.split(r"(?<=[.!?])\s", text)
    kept = sentences[0]
    for sentence in sentences[1:]:
        if len(kept) + len(sentence) > LONGEST_SUMMARY:
            break
        kept = f"{kept} {sentence}"
    return kept.removesuffix(":")


def _plain(text: str) -> str:
    """Markdown of one line without its marks."""
    return re.sub(r"[`*]", "", re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text))
