"""The folder of an environment's stops: ``<OPSC_VAR>/stops/<environment>/``. What an emergency stop needs is in it.

Reading it takes no database, so that a page shows a stop, and opsctl runs one, whatever else is dead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings

from environments.models import Environment, Instance
from trading.errors import NotConfigured
from trading.stop import journal, latch, snapshot
from trading.stop import settings as stop_settings
from trading.stop.engine import TAKE_OVER_SECONDS
from trading.stop.journal import StopState
from trading.stop.latch import Latch
from trading.stop.settings import InstanceSettings, SettingsError, StopSettings
from trading.stop.snapshot import Snapshot


def root() -> Path:
    """The folder of every environment's folder."""
    return Path(settings.OPSC_STOPS)


def folder(name: str) -> Path:
    """The folder of an environment."""
    return root() / name


def held_latch(name: str) -> Latch | None:
    """The latch that is engaged, by its file; None when there is none."""
    return latch.read(folder(name))


def warm(name: str) -> Snapshot | None:
    """The warm snapshot of the exchange; None without one."""
    return snapshot.read(folder(name) / snapshot.NAME)


def settings_of(environment: Environment) -> StopSettings:
    """The break-glass settings of an environment, from its rows. One query."""
    rows = Instance.objects.filter(slot__environment=environment).select_related("slot")
    instances = tuple(InstanceSettings(one.name, one.slot.name, one.base_url, one.token_ref) for one in rows)
    driver = {name: str(value) for name, value in environment.driver.items()}
    place = folder(environment.name).absolute()
    return StopSettings(environment.name, environment.kind, place, environment.exchange, instances, driver)


def written(name: str) -> StopSettings | None:
    """The break-glass settings as they were written; None when there are none that can be used."""
    try:
        return stop_settings.read(folder(name) / stop_settings.NAME)
    except SettingsError:
        return None


def write_settings(environment: Environment) -> bool:
    """Bring the settings file to the rows; whether something was written. Harmless to repeat.

    Raises:
        OSError: it cannot be written.
    """
    if not environment.exchange:
        return False
    wanted = settings_of(environment)
    if written(environment.name) == wanted:
        return False
    stop_settings.write(wanted.folder / stop_settings.NAME, wanted)
    return True


def settings_for_press(environment: Environment) -> StopSettings:
    """What a press uses: the file, so that nothing more is asked of the database; the rows when it is not there.

    Raises:
        NotConfigured: the definition names no exchange.
    """
    found = written(environment.name)
    if found is not None:
        return found
    if not environment.exchange:
        raise NotConfigured(
            f"{environment.name} cannot be stopped from here: its definition names no exchange. Add it and apply it "
            "(manage.py apply_system), or stop the trading system at its host. Nothing was done."
        )
    return settings_of(environment)


@dataclass(frozen=True, slots=True)
class JournalFile:
    """The journal of one stop on the disk."""

    id: UUID
    environment: str
    path: Path

    def entries(self) -> list[dict[str, Any]]:
        """Every whole line; empty when it cannot be read."""
        try:
            return journal.read(self.path)
        except OSError:
            return []

    def state(self) -> StopState | None:
        """What the lines say; None without any."""
        entries = self.entries()
        return journal.summary(entries) if entries else None


def journal_of(name: str, stop: UUID | str) -> JournalFile:
    """The journal of a stop, whether or not it is there."""
    return JournalFile(UUID(str(stop)), name, folder(name) / f"{stop}.jsonl")


def journals(name: str) -> Iterator[JournalFile]:
    """Every journal of an environment, in no order; files with another name are left out."""
    for path in folder(name).glob("*.jsonl"):
        try:
            yield JournalFile(UUID(path.stem), name, path)
        except ValueError:
            continue


def running(name: str) -> UUID | None:
    """The stop of an environment that goes on, by the newest journal; None without one.

    One that was pressed so long ago that nobody takes it over any more does not go on.
    """
    newest = journal.latest(folder(name))
    try:
        found = journal.summary(journal.read(newest)) if newest is not None else None
        stop = UUID(newest.stem) if newest is not None else None
    except (OSError, ValueError):
        return None
    goes_on = found is not None and found.still_running and time.time() - (found.pressed_at or 0) < TAKE_OVER_SECONDS
    return stop if goes_on else None


def locate(stop: UUID) -> JournalFile | None:
    """The journal of a stop, wherever it is; None without one."""
    for place in root().glob(f"*/{stop}.jsonl"):
        return JournalFile(stop, place.parent.name, place)
    return None
