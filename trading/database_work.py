"""What each kind of run does, from the settings of its environment to a sentence that says how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.utils import timezone

from environments.models import Environment
from environments.secrets import resolve
from trading import database_book as book
from trading import database_copies as copies
from trading import database_files as files
from trading import database_guard
from trading.database_book import Report
from trading.database_copies import Copy, Kept
from trading.database_tools import Place, ToolError
from trading.models import DatabaseRun

Kind, Status = DatabaseRun.Kind, DatabaseRun.Status
LISTED = 5
"""Names in a sentence at most; the facts of the run have all."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended."""

    text: str
    path: str = ""
    size: int | None = None
    sha256: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def place_of(environment: Environment) -> Place:
    """Where the database is. Raises environments.secrets.SecretMissing."""
    return Place(resolve(environment.database["url"]), environment.database.get("schema_name", "public"))


def left_as(run: DatabaseRun) -> str:
    """What a run that broke off left behind, in words."""
    if run.kind == Kind.RESTORE and run.environment.database.get("restore"):
        return "What its own command has done is not known: look, and verify the data, before anything trades."
    if run.kind == Kind.RESTORE:
        return "A restore is one transaction: unless it was at its very end, the data are as they were. Verify them."
    return "Nothing was changed."


def _back_up(run: DatabaseRun, report: Report) -> Done:
    copy = _copy(run, report)
    return Done(_sentence(copy), str(copy.path), copy.size, copy.sha256, _facts(copy))


def _copy(run: DatabaseRun, report: Report) -> Copy:
    environment = run.environment
    place, folder = place_of(environment), files.folder(environment.database["folder"])
    files.sweep(folder, environment.name)
    path = files.new_path(folder, environment.name)
    own = tuple(environment.database.get("backup") or ())
    copy = copies.back_up_by(own, place, path, report) if own else copies.back_up(place, path, report)
    try:
        files.write_manifest(path, _manifest(environment, place, copy))
    except ToolError:
        files.remove(path)
        raise
    return copy


def _verify(run: DatabaseRun, report: Report) -> Done:
    return _verify_backup(run, report) if run.backup else _verify_data(run, report)


def _verify_backup(run: DatabaseRun, report: Report) -> Done:
    environment, kept = run.environment, _kept(run)
    own = tuple(environment.database.get("verify") or ())
    if own:
        copies.check_file(kept, report, 0, 10)
        said = copies.run_own(own, place_of(environment), kept.path, report)
        return Done("The file is as it was written, and the own command found nothing wrong.", facts={"said": said})
    copies.verify(place_of(environment), kept, report)
    counted = f", with {_rows(kept.rows)}" if kept.rows else ""
    return Done(f"The file is as it was written, and could be restored for a trial{counted}.")


def _verify_data(run: DatabaseRun, report: Report) -> Done:
    last = DatabaseRun.objects.backups().filter(environment=run.environment).first()
    expected = last.facts.get("rows", {}) if last else {}
    found = book.read_everything(place_of(run.environment), expected, report)
    wrong = [f"the table {name} cannot be read: {why}" for name, why in found.unreadable.items()]
    wrong += [f"the table {name} is missing" for name in found.missing]
    if not found.rows and not wrong:
        wrong = ["there is no table"]
    if wrong:
        more = f" (and {len(wrong) - LISTED} more)" if len(wrong) > LISTED else ""
        raise ToolError(
            f"Damage: {'; '.join(wrong[:LISTED])}{more}. Halt trading, and restore the newest backup that passes its "
            "verification."
        )
    fewer = f" Look at this: {'; '.join(found.fewer[:LISTED])}." if found.fewer else ""
    facts = {"rows": found.rows, "fewer": list(found.fewer)}
    return Done(f"Every value of {_rows(found.rows)} can be read.{fewer}", facts=facts)


def _restore(run: DatabaseRun, report: Report) -> Done:
    environment, kept = run.environment, _kept(run)
    own = tuple(environment.database.get("restore") or ())
    report(0, "Reading whether trading is halted")
    database_guard.refuse_while_trading(environment)
    copies.check_file(kept, report, 0, 5)
    place = place_of(environment)
    if not own:
        book.refuse_outside(place)
    safety = _safety(run, lambda percent, text: report(5 + 35 * percent // 100, f"Present state: {text}"))
    facts = {"safety": safety.path, "rows": dict(kept.rows)}
    if own:
        said = copies.run_own(own, place, kept.path, lambda percent, text: report(40 + 55 * percent // 100, text))
        return Done(
            f"The own command ended well.{_own_check(place, kept)} {safety.text}", facts={**facts, "said": said}
        )
    try:
        copies.load(place, kept, report, low=40, high=99, may_commit=lambda: _refuse_commit(run))
    except copies.CommitUnknown:
        raise
    except ToolError as error:
        raise ToolError(f"{error} The data are as they were before. {safety.text}".strip()) from error
    what = _rows(kept.rows) if kept.rows else "the backup"
    text = f"Restored {what}, as of {_moment(run)}, counted before the commit. {safety.text}"
    return Done(text.strip(), facts=facts)


def _safety(run: DatabaseRun, report: Report) -> Done:
    """A backup of the present state, kept as one of its own whatever comes of the restore."""
    try:
        copy = _copy(run, report)
    except ToolError as error:
        if run.facts.get("even_if_unreadable"):
            return Done(f"The state before could not be backed up: {error}")
        raise ToolError(
            f"The present state cannot be backed up first: {error} Nothing was restored. If the data are damaged, ask "
            "again with “even if the present state cannot be read”."
        ) from error
    now = timezone.now()
    DatabaseRun.objects.create(
        environment=run.environment,
        kind=Kind.BACKUP,
        status=Status.SUCCEEDED,
        actor=run.actor,
        actor_name=run.actor_name,
        reason=f"Present state, before the restore of the backup of {_moment(run)}",
        started_at=run.started_at,
        finished_at=now,
        progress=100,
        detail=_sentence(copy),
        path=str(copy.path),
        size=copy.size,
        sha256=copy.sha256,
        facts={**_facts(copy), "before": str(run.pk)},
    )
    return Done(f"The state before is kept in {copy.path.name}.", str(copy.path))


def _refuse_commit(run: DatabaseRun) -> None:
    """The last look before the commit: nothing trades, and nobody has taken this run for lost."""
    database_guard.refuse_while_trading(run.environment)
    if not DatabaseRun.objects.filter(pk=run.pk, status=Status.RUNNING).exists():
        raise ToolError("The console took this run for lost meanwhile, so it is not committed.")


def _own_check(place: Place, kept: Kept) -> str:
    """After an own restore: the rows, as far as the backup has them."""
    if not kept.rows:
        return " What it restored could not be counted: the backup has no numbers of rows."
    with place.connect() as connection:
        try:
            found = book.count(connection, place, kept.rows, lambda percent, text: None)
        except psycopg.Error as error:
            raise ToolError(f"The own command ended well, but its result cannot be read: {error}") from None
    wrong = [f"{name} {found[name]:,} rows, not {rows:,}" for name, rows in kept.rows.items() if found[name] != rows]
    if wrong:
        raise ToolError(f"The own command ended well, but the rows are not those of the backup: {'; '.join(wrong)}.")
    return f" {_rows(kept.rows)}, as in the backup."


def remove_old(environment: Environment) -> None:
    """Remove the oldest backups beyond ``keep``; never the newest that was proved to be restorable."""
    made = DatabaseRun.objects.backups().filter(environment=environment).exclude(path="")
    proved = DatabaseRun.objects.filter(backup__in=made, kind=Kind.VERIFY, status=Status.SUCCEEDED)
    best = proved.order_by("-backup__finished_at").values_list("backup_id", flat=True).first()
    for run in made.order_by("-finished_at")[int(environment.database.get("keep", 20)) :]:
        if run.pk != best:
            files.remove(Path(run.path))
            facts = {**run.facts, "removed_at": timezone.now().isoformat()}
            DatabaseRun.objects.filter(pk=run.pk).update(path="", facts=facts)


def _kept(run: DatabaseRun) -> Kept:
    backup = run.backup
    if backup is None or not backup.has_file:
        raise ToolError("The file of this backup was removed meanwhile. Use another backup.")
    return Kept(Path(backup.path), backup.size, backup.sha256, backup.facts.get("rows", {}))


def _facts(copy: Copy) -> dict[str, Any]:
    said = {"said": copy.said} if copy.said else {}
    return {"rows": copy.rows, "server": copy.server, "tool": copy.tool, "seconds": round(copy.seconds, 3), **said}


def _manifest(environment: Environment, place: Place, copy: Copy) -> dict[str, Any]:
    found = {"file": copy.path.name, "size": copy.size, "sha256": copy.sha256, "made_at": timezone.now().isoformat()}
    return {**found, "environment": environment.name, "schema": place.schema, **_facts(copy)}


def _sentence(copy: Copy) -> str:
    rows = f", {_rows(copy.rows)}" if copy.rows else ""
    return f"{files.in_words(copy.size)}{rows}, in {copy.seconds:.1f} s."


def _rows(rows: Mapping[str, int]) -> str:
    """``6,202 rows in 3 tables``."""
    total = sum(rows.values())
    return f"{total:,} row{'' if total == 1 else 's'} in {len(rows)} table{'' if len(rows) == 1 else 's'}"


def _moment(run: DatabaseRun) -> str:
    at = run.backup.started_at if run.backup else None
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "an unknown time"


DO: dict[Any, Callable[[DatabaseRun, Report], Done]] = {
    Kind.BACKUP: _back_up,
    Kind.VERIFY: _verify,
    Kind.RESTORE: _restore,
}
