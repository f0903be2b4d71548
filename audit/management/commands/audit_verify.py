"""``manage.py audit_verify``: is the audit trail as it was written? Status 0: yes, 1: no, 2: could not be checked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from audit import trail
from audit.checkpoints import KeyFileError, Keys, trusted_keys
from audit.copies import latest_beside
from audit.verify import ExportWalk, Wrong

INTACT, TAMPERED, UNKNOWN = 0, 1, 2


class CannotCheck(Exception):
    """Something that is needed for the check is not there; the message says what."""


class Command(BaseCommand):
    help = (
        "Verify the audit trail: every record, the chain, the signatures, and the copy of the checkpoints outside the "
        "database. Status 0: it is as it was written. 1: it is not, the first wrong entry is named. 2: nobody can tell."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--against", type=Path, metavar="FILE", help="another copy of the checkpoints")
        parser.add_argument("--no-copy", action="store_true", help="do without a copy of the checkpoints")
        parser.add_argument("--key", type=Path, action="append", default=[], help="a further public key (PEM) to trust")
        parser.add_argument("--from", type=int, default=1, dest="start", metavar="N", help="begin with this entry")
        parser.add_argument(
            "--export", type=Path, metavar="FILE", help="verify an export (JSON Lines with proof) instead"
        )
        parser.add_argument("--json", action="store_true", help="the result as JSON")

    def handle(self, *args: object, **options: Any) -> None:
        try:
            keys = trusted_keys(settings.AUDIT_SIGNING_KEY, options["key"])
            if not keys:
                raise CannotCheck(
                    f"There is no public key next to {settings.AUDIT_SIGNING_KEY}. Name one with --key, or set "
                    "OPSC_AUDIT_SIGNING_KEY as the sequencer has it."
                )
            status = self._export(keys, options) if options["export"] else self._trail(keys, options)
        except (CannotCheck, KeyFileError, OSError, psycopg.Error) as error:
            status = self._failed(str(error).strip(), options["json"])
        sys.exit(status)

    def _failed(self, why: str, as_json: bool) -> int:
        if as_json:
            self.stdout.write(json.dumps({"result": "unknown", "problem": why}))
        else:
            self.stderr.write(f"Could not be checked: {why}")
        return UNKNOWN

    def _trail(self, keys: Keys, options: dict[str, Any]) -> int:
        if options["start"] < 1:
            raise CannotCheck("--from begins with entry 1.")
        copies = _copies(options)

        def say(seq: int) -> None:
            self.stderr.write(f"  entry {seq:,} …")

        with trail.connect("audit verify", statement_seconds=0) as database:
            database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            database.read_only = True
            with database.transaction():
                result = trail.verify_trail(database, keys, copies, start=options["start"], progress=say)
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(result)))
        else:
            self._tell(result)
        return TAMPERED if result.wrong else INTACT

    def _tell(self, result: trail.Result) -> None:
        looked = result.entries - result.first + 1
        rate = looked / result.seconds if result.seconds else 0
        for note in result.notes:
            self.stdout.write(f"Note: {note}.")
        if result.wrong:
            self.stdout.write(self.style.ERROR(f"NOT AS WRITTEN. The first that is wrong: {result.wrong[0]}."))
            for wrong in result.wrong[1:10]:
                self.stdout.write(f"  Also: {wrong}.")
            if len(result.wrong) > 10:
                self.stdout.write(f"  And {len(result.wrong) - 10} more.")
            return
        self.stdout.write(
            f"Intact: entries {result.first:,} to {result.entries:,}, signed to {result.signed:,} "
            f"({result.checkpoints:,} checkpoints, {result.copied:,} copies). "
            f"{result.seconds:.1f} s, {rate:,.0f} a second."
            if looked
            else "Intact: there is no entry."
        )

    def _export(self, keys: Keys, options: dict[str, Any]) -> int:
        walk = ExportWalk(keys)
        wrong: Wrong | None = None
        with options["export"].open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.strip() and (wrong := walk.take(line)):
                    break
        wrong = wrong or walk.end()
        counts = {"records": walk.records, "omitted": walk.omitted, "pending": walk.pending, "last": walk.seq}
        if not wrong and walk.statement is None:
            raise CannotCheck(f"{options['export']} has no record with a proof and no checkpoint.")
        if options["json"]:
            self.stdout.write(
                json.dumps({"result": "tampered" if wrong else "intact", **counts, "wrong": _words(wrong)})
            )
        elif wrong:
            self.stdout.write(self.style.ERROR(f"NOT AS WRITTEN. The first that is wrong: {wrong}."))
        else:
            pending = f" {walk.pending:,} records were not in the chain yet and have no proof." if walk.pending else ""
            self.stdout.write(
                f"Intact: {walk.records:,} records up to entry {walk.seq:,}, {walk.omitted:,} left out, signed with a "
                f"trusted key.{pending}"
            )
        return TAMPERED if wrong else INTACT


def _copies(options: dict[str, Any]) -> list[trail.Copy]:
    """The copies to compare with. A missing one is no proof of anything, so it has to be said."""
    if options["against"]:
        copy = trail.Copy.of_file(options["against"])
        # One statement may be the signature of an idle second, which has no row of its own.
        return [copy if len(copy.lines) > 1 else trail.Copy(copy.name, copy.lines, is_whole=False)]
    if options["no_copy"]:
        return []
    kept = settings.AUDIT_CHECKPOINTS
    if not kept.exists():
        raise CannotCheck(
            f"The copy of the checkpoints, {kept}, is not there. Name one with --against FILE, or do without by "
            "--no-copy: then an end of the chain that was cut off together with its checkpoints is not found."
        )
    copies = [trail.Copy.of_file(kept)]
    if (latest := latest_beside(kept)).exists():
        copies.append(trail.Copy.of_file(latest, is_whole=False))
    return copies


def _words(wrong: Wrong | None) -> dict[str, Any] | None:
    return None if wrong is None else {"entry": wrong.seq, "what": wrong.what}


def _as_json(result: trail.Result) -> dict[str, Any]:
    return {
        "result": "tampered" if result.wrong else "intact",
        "first": result.first,
        "entries": result.entries,
        "signed": result.signed,
        "checkpoints": result.checkpoints,
        "copied": result.copied,
        "wrong": [_words(wrong) for wrong in result.wrong],
        "notes": result.notes,
        "seconds": round(result.seconds, 3),
    }
