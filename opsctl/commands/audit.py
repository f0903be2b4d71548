"""``audit``: the trail, filtered, exported, and whether its chain holds."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import App, Command
from opsctl.errors import Exit, UsageProblem

AGO = re.compile(r"(\d{1,5})\s*(s|m|h|d)")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_LOOKS = (
    click.option("--action", metavar="NAME", help="For example deployment.started."),
    click.option("--env", metavar="ENV", shell_complete=complete.environments, help="Only of this environment."),
    click.option("--object", "on", metavar="TYPE[:ID]", help="For example deployment:42."),
    click.option("--actor", metavar="NAME", help="Who: the user name."),
    click.option("--outcome", type=click.Choice(["intent", "done", "failed", "denied"]), help="How it ended."),
    click.option("--since", metavar="WHEN", help="A moment (2026-11-23, 2026-11-23T14:00Z), or ago: 30m, 2h, 7d."),
    click.option("--until", metavar="WHEN", help="The same."),
    click.option("--search", metavar="TEXT", help="Words in reason, object or details."),
)


def _filters(function: Any) -> Any:
    for option in reversed(_LOOKS):
        function = option(function)
    return function


@click.command(
    cls=Command,
    examples="""
opsctl audit --env production --since 2h
opsctl audit --actor ada --outcome denied --limit 200
opsctl audit --object deployment:42
opsctl audit --since 2026-11-01 --export november.jsonl
opsctl audit --chain
""",
)
@_filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many, newest first.")
@click.option(
    "--export",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write every record of the filter to a new .csv or .jsonl file; the latter with the proof of the chain.",
)
@click.option("--chain", is_flag=True, help="Only: is the chain of the records intact, and up to where?")
def audit(app: App, limit: int, file: Path | None, chain: bool, **filters: str | None) -> Exit:
    """Who did what, when, and why. Times are UTC. An export is itself recorded."""
    if chain:
        return _chain(app)
    query = _query(filters)
    if file is not None:
        return _export(app, file, query)
    found = app.listed("audit/", limit, **query)
    app.output.document({"records": found})
    for record in found:
        app.output.say(_line(record), render.word("outcome", record["outcome"]).tone)
    if not found:
        app.output.say("No record fits. Widen the filter, or look at the time range.")
    return Exit.DONE


def _query(filters: dict[str, str | None]) -> dict[str, str | None]:
    names = {"env": "environment", "on": "object", "search": "q"}
    query: dict[str, str | None] = {names.get(name, name): value for name, value in filters.items() if value}
    for name in ("since", "until"):
        if text := query.get(name):
            query[name] = moment(text, datetime.now(UTC), f"--{name}")
    return query


def moment(text: str, now: datetime, option: str) -> str:
    """A moment as the API takes it: an ISO date or date-time, or how long ago.

    Raises:
        UsageProblem: it is neither.
    """
    if ago := AGO.fullmatch(text.strip()):
        return (now - timedelta(**{UNITS[ago[2]]: int(ago[1])})).isoformat(timespec="seconds").replace("+00:00", "Z")
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageProblem(
            f"{option}: {text!r} is no moment.", "Write 2026-11-23, 2026-11-23T14:00Z, or how long ago: 30m, 2h, 7d."
        ) from None
    if len(text.strip()) == len("2026-11-23"):
        return text.strip()  # a whole day: the console knows where it begins and ends
    at = found if found.tzinfo else found.replace(tzinfo=UTC)
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _line(record: dict[str, Any]) -> str:
    outcome = render.word("outcome", record["outcome"])
    on = f", {record['object']['name'] or record['object']['id']}" if record["object"] else ""
    where = f" [{record['environment']}]" if record["environment"] and record["environment"] not in on else ""
    why = f": {render.one_line(record['reason'], 100)}" if record["reason"] else ""
    ended = "" if record["outcome"] == "done" else f" {outcome.word.lower()}"
    who = f"{record['actor']} ({record['via']})"
    return f"{render.clock(record['at'])}  {outcome.icon} {who}  {record['label']}{ended}{on}{where}{why}"


def _chain(app: App) -> Exit:
    state = app.get("audit/chain/")
    app.output.document(state)
    word = render.word("chain", state["status"])
    where = f" at entry {state['wrong_seq']}: {state['wrong_what']}" if state["status"] == "broken" else ""
    app.output.say(f"{word.icon} {word.word}{where}", word.tone)
    checked = f"{state['verified_to']} of {state['entries']}, {render.clock(state['verified_at'])}"
    app.output.say(f"Verified to entry  {checked}")
    app.output.say(f"Last checkpoint    entry {state['checkpoint_seq'] or 0}, {render.clock(state['checkpoint_at'])}")
    app.output.say(f"Not chained yet    {state['pending']}")
    if state["copy_problem"]:
        app.output.say(f"! The checkpoint was not copied: {state['copy_problem']}", "warn")
    return Exit.FAILED if state["status"] == "broken" else Exit.DONE


def _export(app: App, file: Path, query: dict[str, str | None]) -> Exit:
    kind = FORMATS.get(file.suffix.lower())
    if kind is None:
        raise UsageProblem(f"{file}: the name says the format.", "End it in .csv or .jsonl.")
    if file.exists():
        raise UsageProblem(f"{file} exists already; an export never overwrites.", "Name a new file.")
    try:
        size = _write(app, file, {**query, "as": kind})
    except OSError as error:
        raise UsageProblem(f"{file} cannot be written: {error}.") from None
    app.output.document({"file": str(file), "format": kind, "bytes": size})
    app.output.say(f"Written to {file}: {size} bytes.")
    if kind == "jsonl":
        app.output.say(f"Check it where the console is: manage.py audit_verify --export {file}")
    return Exit.DONE


def _write(app: App, file: Path, query: dict[str, str | None]) -> int:
    """Stream into a file beside it, which takes the name only when it is whole."""
    handle, name = tempfile.mkstemp(dir=file.resolve().parent, prefix=f".{file.name}.")
    size = 0
    try:
        with os.fdopen(handle, "wb") as out:
            for piece in app.client.stream("audit/export/", **query):
                size += out.write(piece)
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    return size
