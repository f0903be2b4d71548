"""Static files that come in Python packages: third-party code is installed, not copied into the repository.

``youplot`` is only the carrier of uPlot 1.6.31; it is never imported. ``staticfiles_checks.py`` holds the digests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage, Storage


class Carried(NamedTuple):
    """One file of a package: the distribution, its path in there, and its SHA-256."""

    package: str
    path: str
    sha256: str


CARRIED = {
    "vendor/uplot/uplot.iife.min.js": Carried(
        "youplot",
        "youplot/vendor/uplot.iife.min.js",
        "2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2",
    ),
    "vendor/uplot/uplot.min.css": Carried(
        "youplot", "youplot/vendor/uplot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"
    ),
}
"""Address below STATIC_URL to the file that is served there."""


class CarriedStorage(FileSystemStorage):
    """Reads the carried files by their address; nothing else of the packages can be reached."""

    def path(self, name: str) -> str:
        """The file on disk; raises FileNotFoundError for a name that is not carried or a package that is missing."""
        found = locate(name)
        if found is None:
            raise FileNotFoundError(name)
        return str(found)


class PackageFinder(BaseFinder):
    """A static files finder for ``CARRIED``."""

    storage = CarriedStorage(location="/")

    def check(self, **kwargs: Any) -> list[Any]:
        """The digests are checked by ``staticfiles_checks.py``."""
        return []

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> str | list[str]:
        """The file behind an address; an empty list when there is none."""
        found = locate(path)
        if found is None:
            return []
        return [str(found)] if find_all else str(found)

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, Storage]]:
        """Every carried file that is installed."""
        for name in CARRIED:
            if locate(name):
                yield name, self.storage


def locate(name: str) -> Path | None:
    """Where a carried file is on disk; None when it is not carried or its package is not installed."""
    carried = CARRIED.get(name)
    if carried is None:
        return None
    try:
        path = Path(str(distribution(carried.package).locate_file(carried.path)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
