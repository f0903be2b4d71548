"""What the pages of the databases show, in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from accounts.roles import CONFIGURE, STOP, roles_with
from environments.models import Environment, Instance
from environments.permissions import permissions_of
from environments.readings import Reading, reading, with_samples
from trading import database_files, database_watch
from trading.models import DatabaseRun

SHOWN_BACKUPS, SHOWN_RUNS = 100, 20
Kind, Status = DatabaseRun.Kind, DatabaseRun.Status


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup in a list."""

    run: DatabaseRun
    proved_at: Any
    """When a verification last proved that it can be restored; None when none did."""
    newest: bool = False

    @property
    def rows(self) -> int | None:
        """How many rows it holds; None when nobody counted."""
        found = self.run.facts.get("rows") or {}
        return sum(found.values()) if found else None

    @property
    def tables(self) -> int:
        """How many tables it holds."""
        return len(self.run.facts.get("rows") or {})

    @property
    def size(self) -> str:
        """``4.1 MB``."""
        return database_files.in_words(self.run.size)

    @property
    def file(self) -> str:
        """Its name in the folder; empty when it was removed."""
        return Path(self.run.path).name if self.run.path else ""

    @property
    def seconds(self) -> float | None:
        """How long the tool took."""
        return self.run.facts.get("seconds", self.run.seconds)

    @property
    def when(self) -> str:
        """``2026-11-23 14:02 UTC``."""
        return f"{self.run.finished_at:%Y-%m-%d %H:%M} UTC"

    @property
    def is_safety(self) -> bool:
        """Whether a restore made it of the state before."""
        return "before" in self.run.facts


@dataclass(frozen=True, slots=True)
class Place:
    """The database of one environment in the list."""

    environment: Environment
    newest: Backup | None
    active: DatabaseRun | None
    proved_at: Any

    @property
    def is_old(self) -> bool:
        """Whether the newest backup is older than it may be; one is made each day."""
        return self.newest is None or timezone.now() - self.newest.run.finished_at > database_watch.TOO_OLD


@dataclass(frozen=True, slots=True)
class DatabasePage:
    """The database of one environment as a person sees it."""

    environment: Environment
    active: DatabaseRun | None
    last: DatabaseRun | None
    """The newest run, of whatever kind."""
    backups: tuple[Backup, ...]
    runs: tuple[DatabaseRun, ...]
    readings: tuple[Reading, ...]
    may: frozenset[str]

    @property
    def newest(self) -> Backup | None:
        """The newest backup with a file."""
        return self.backups[0] if self.backups else None

    @property
    def best(self) -> Backup | None:
        """What one would restore: the newest that was proved, else the newest."""
        return next((one for one in self.backups if one.proved_at), self.newest)

    @property
    def is_old(self) -> bool:
        """Whether the newest backup is older than it may be."""
        return self.newest is None or timezone.now() - self.newest.run.finished_at > database_watch.TOO_OLD

    @property
    def may_configure(self) -> bool:
        """Back up, verify, restore."""
        return CONFIGURE in self.may

    @property
    def may_stop(self) -> bool:
        """Halt trading."""
        return STOP in self.may

    @property
    def who_can(self) -> str:
        """Whose roles permit it here."""
        return " or ".join(roles_with(CONFIGURE, production=self.environment.is_production))

    @property
    def who_can_stop(self) -> str:
        """Whose roles permit to halt trading here."""
        return " or ".join(roles_with(STOP, production=self.environment.is_production))

    @property
    def busy(self) -> str:
        """Why nothing can be begun now; empty when it can."""
        return f"{self.active.get_kind_display()} is under way." if self.active else ""

    @property
    def trades(self) -> bool:
        """Whether an instance said within the last seconds that it trades."""
        return any(one.role in ("ACTIVE", "REDUCING") and one.is_fresh for one in self.readings)

    @property
    def next_at(self) -> Any:
        """When the next backup is made by itself; None when it is due."""
        return self.newest.run.finished_at + database_watch.EVERY if self.newest else None

    @property
    def stamp(self) -> str:
        """Changes when the forms and the list must be drawn again."""
        active = f"{self.active.pk}.{self.active.status}" if self.active else ""
        return f"{active}.{self.last.pk if self.last else ''}.{len(self.backups)}.{self.trades}"


def places(user: Any) -> list[Place]:
    """Every environment with a database that a person may see. Three queries."""
    found = list(Environment.objects.visible_to(user).exclude(database={}).select_related("service"))
    newest = {run.environment_id: run for run in _newest(found)}
    active = {run.environment_id: run for run in DatabaseRun.objects.under_way().filter(environment__in=found)}
    return [
        Place(
            one,
            Backup(newest[one.pk], None, True) if one.pk in newest else None,
            active.get(one.pk),
            _proved(newest, one),
        )
        for one in found
    ]


def _proved(newest: dict[int, DatabaseRun], environment: Environment) -> Any:
    run = newest.get(environment.pk)
    return run.proved_at if run else None  # type: ignore[attr-defined]


def _newest(environments: Sequence[Environment]) -> QuerySet[DatabaseRun]:
    made = DatabaseRun.objects.backups().filter(environment__in=environments).exclude(path="")
    newest = made.order_by("environment_id", "-finished_at").distinct("environment_id").values("pk")
    return _with_proof(DatabaseRun.objects.filter(pk__in=newest))


def _with_proof(runs: QuerySet[DatabaseRun]) -> QuerySet[DatabaseRun]:
    proved = Q(databaserun__kind=Kind.VERIFY, databaserun__status=Status.SUCCEEDED)
    return runs.annotate(proved_at=Max("databaserun__finished_at", filter=proved))


def page(environment: Environment, may: frozenset[str] = frozenset()) -> DatabasePage:
    """The database of an environment, for somebody with these permissions on it. Three queries."""
    runs = list(DatabaseRun.objects.filter(environment=environment).select_related("backup")[:SHOWN_RUNS])
    made = DatabaseRun.objects.backups().filter(environment=environment).exclude(path="").order_by("-finished_at")
    found = list(_with_proof(made)[:SHOWN_BACKUPS])
    instances = with_samples(Instance.objects.filter(slot__environment=environment).order_by("name"))
    return DatabasePage(
        environment=environment,
        active=next((run for run in runs if not run.is_finished), None),
        last=runs[0] if runs else None,
        backups=tuple(Backup(run, run.proved_at, index == 0) for index, run in enumerate(found)),  # type: ignore[attr-defined]
        runs=tuple(runs),
        readings=tuple(reading(instance) for instance in instances),
        may=may,
    )


def page_for(user: Any, name: str) -> DatabasePage:
    """The same, of an environment that the person may see.

    Raises:
        Environment.DoesNotExist: there is none of this name.
    """
    environment = Environment.objects.visible_to(user).select_related("service").get(name=name)
    return page(environment, permissions_of(user, [environment])[name])


def load(user: Any, pk: Any) -> DatabaseRun:
    """A run that the person may see. Raises DatabaseRun.DoesNotExist."""
    return DatabaseRun.objects.visible_to(user).select_related("environment", "backup").get(pk=pk)


def restore_effects(backup: DatabaseRun, shown: Backup) -> list[str]:
    """What a restore does, with names and counts."""
    environment = backup.environment
    schema = environment.database.get("schema_name", "public")
    rows = f"{shown.rows:,} rows in {shown.tables} tables" if shown.rows is not None else "its contents"
    age = timezone.now() - backup.started_at if backup.started_at else timedelta()
    return [
        f"Everything in the schema {schema} of {environment.name} is replaced by {rows} of this backup.",
        f"What was written in the {_in_words(age)} since it was made is gone from the database afterwards.",
        "The present state is backed up first, and that backup is kept, also when the restore fails.",
        "It is one transaction: the rows are counted before the commit, and if anything is wrong the data stay as they "
        "are. Nothing may trade until it is done.",
        "Nothing is started by it: compare the positions with the exchange, then resume trading as a separate act.",
    ]


def _in_words(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 120:
        return f"{max(minutes, 1)} minute{'' if minutes <= 1 else 's'}"
    return f"{minutes // 60} hours" if minutes < 2880 else f"{minutes // 1440} days"
