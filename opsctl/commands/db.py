"""``db``: the trading system's database: list, backup, verify, restore, each followed to its end."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render, waiting
from opsctl.commands.common import REASON, App, Command, path_part
from opsctl.errors import Exit, Forbidden, Refused, TimedOut, Unreachable, UsageProblem

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 120.0
"""How long it goes on asking a console that does not answer."""
CONFIRM_SECONDS = 300.0
"""How long a restore waits for its confirmation on the page."""
SHORT = 8
LATEST = "latest"
MANY = 200

_env = click.argument("env", shell_complete=complete.environments)
_reason = click.option("--reason", metavar="TEXT", help=REASON)
_timeout = click.option(
    "--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="Give up after this; exit code 8. It goes on."
)
_no_wait = click.option("--no-wait", is_flag=True, help="Return when it is asked for, not when it is done.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def db() -> None:
    """The trading system's database. When data may be damaged: backup, halt trading, verify, restore."""


@click.command(name="list", cls=Command, examples="opsctl db list\nopsctl db list production --all")
@click.argument("env", required=False, shell_complete=complete.environments)
@click.option("--all", "everything", is_flag=True, help="Also verifications, restores, and what failed.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
def list_runs(app: App, env: str | None, everything: bool, limit: int) -> None:
    """Backups that can be restored; of every environment when none is named."""
    names = [env] if env else [one["name"] for one in app.listed("environments/", MANY)]
    wanted = None if everything else "true"
    found = [run for name in names for run in app.listed(_runs_of(name), limit, file=wanted)]
    app.output.document({"runs": found})
    if not found:
        app.output.say("There is no backup: opsctl db backup ENV")
        return
    rows = [
        (
            run["id"][:SHORT],
            run["environment"],
            run["kind"],
            render.status("database_run", run["status"]),
            render.clock(run["finished_at"] or run["requested_at"]),
            _size(run["size"]),
            f"{sum(run['rows'].values()):,}" if run["rows"] else "",
            run["sha256"][:12],
            run["asked_by"],
        )
        for run in found
    ]
    headers = ("ID", "ENVIRONMENT", "WHAT", "STATE", "ENDED", "SIZE", "ROWS", "SHA-256", "BY")
    app.output.say_all(render.table(headers, rows))


@click.command(cls=Command, examples='opsctl db backup production --reason "Before the migration"')
@_env
@_reason
@_timeout
@_no_wait
def backup(app: App, env: str, reason: str | None, timeout: float | None, no_wait: bool) -> Exit:
    """Back up the database as it is now; trading goes on."""
    reason = app.output.ask(reason, "Reason", "--reason")
    return _follow(app, _begin(app, env, kind="backup", reason=reason), timeout, no_wait=no_wait)


@click.command(
    cls=Command,
    examples="""
opsctl db verify production --reason "Odd PnL since 14:00"
opsctl db verify production --backup latest --reason "Weekly check"
""",
)
@_env
@click.option("--backup", "chosen", metavar="ID", help="A backup (the beginning of its id, or latest), not the data.")
@_reason
@_timeout
@_no_wait
def verify(app: App, env: str, chosen: str | None, reason: str | None, timeout: float | None, no_wait: bool) -> Exit:
    """Read every value of every table; with --backup: prove that a backup can be restored, beside the data."""
    found = _backup(app, env, chosen) if chosen else None
    reason = app.output.ask(reason, "Reason", "--reason")
    body = {"kind": "verify", "reason": reason, **({"backup": found["id"]} if found else {})}
    return _follow(app, _begin(app, env, **body), timeout, no_wait=no_wait)


@click.command(cls=Command, examples="opsctl db restore production\nopsctl db restore production --backup 3f2a91c0")
@_env
@click.option("--backup", "chosen", default=LATEST, show_default=True, metavar="ID", help="The beginning of its id.")
@click.option("--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="Give up after this; exit code 8.")
@click.option("--no-wait", is_flag=True, help="Print the page on which it is confirmed, and return.")
def restore(app: App, env: str, chosen: str, timeout: float | None, no_wait: bool) -> Exit:
    """Replace the data by a backup, while trading is halted.

    A person confirms it on the page, with a reason and a passkey or a code: no key can. This prints the page, waits for
    the confirmation (five minutes), and follows the restore to its end.
    """
    found = _backup(app, env, chosen)
    rows = f", {sum(found['rows'].values()):,} rows" if found["rows"] else ""
    app.output.note(
        f"Backup {found['id'][:SHORT]} of {env}, {render.clock(found['finished_at'])}: {_size(found['size'])}{rows}"
    )
    try:
        body = {"kind": "restore", "backup": found["id"], "reason": "Asked for with opsctl"}
        return _follow(app, _begin(app, env, **body), timeout, no_wait=no_wait)
    except Forbidden as error:
        if error.problem.get("code") != "step_up_required":
            raise
    page = f"{app.settings.url}/databases/{path_part(env)}/restore/{found['id']}/"
    app.output.note(f"Confirm it there, with your passkey or a code: {page}")
    if no_wait:
        app.output.document({"confirm_at": page})
        app.output.say(page)
        return Exit.WAITING
    return _follow(app, _confirmed(app, env, found["id"], timeout or CONFIRM_SECONDS, page), timeout, no_wait=False)


def _confirmed(app: App, env: str, backup_id: str, seconds: float, page: str) -> dict[str, Any]:
    """The restore of this backup that somebody confirms from now on. Raises TimedOut."""
    before = {run["id"] for run in app.listed(_runs_of(env), MANY, kind="restore")}
    began = waiting.now()
    while waiting.now() - began < seconds:
        for run in app.listed(_runs_of(env), 5, kind="restore"):
            if run["id"] not in before and run["backup"] == backup_id:
                return run
        waiting.pause(POLL_SECONDS * 2)
    raise TimedOut("Nobody confirmed the restore. Nothing was done.", f"Confirm it later: {page}")


def _begin(app: App, env: str, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = app.post(_runs_of(env), body)
    return found


def _follow(app: App, run: dict[str, Any], timeout: float | None, *, no_wait: bool) -> Exit:
    """Show a run until it ends; the exit code that its end stands for. Raises OpsctlError."""
    began, silent_since, told = waiting.now(), 0.0, ("", -1)
    if no_wait:
        app.output.document(run)
        app.output.say(f"Asked for: {run['kind']} {run['id'][:SHORT]} of {run['environment']}.")
        return Exit.DONE
    while run["finished_at"] is None:
        if timeout is not None and waiting.now() - began >= timeout:
            raise TimedOut(f"The {run['kind']} is at {run['progress']} % after {timeout:g} s. It goes on.")
        step = (run["detail"].partition(" ")[0], run["progress"] // 10)
        if step != told:
            told = step
            text = run["detail"] or render.word("database_run", run["status"]).word
            app.output.note(f"{run['progress']:>3} %  {render.one_line(text)}")
        waiting.pause(POLL_SECONDS)
        try:
            run, silent_since = app.get(f"database-runs/{run['id']}/"), 0.0
        except Unreachable:
            silent_since = silent_since or waiting.now()
            if waiting.now() - silent_since > PATIENCE_SECONDS:
                raise
    app.output.document(run)
    word = render.word("database_run", run["status"])
    app.output.say(f"{word.icon} {run['kind'].capitalize()} of {run['environment']}: {run['detail']}", word.tone)
    if run["path"]:
        app.output.say(f"  {run['path']}  SHA-256 {run['sha256']}")
    return Exit.DONE if run["status"] == "succeeded" else Exit.FAILED


def _backup(app: App, env: str, chosen: str) -> dict[str, Any]:
    """The backup of an id that begins so.

    Raises:
        Refused: there is no backup at all.
        UsageProblem: none begins so, or several do.
    """
    found = app.listed(_runs_of(env), MANY, file="true")
    if not found:
        raise Refused(f"There is no backup of {env} that can be restored.", f"Make one: opsctl db backup {env}")
    if chosen == LATEST:
        return found[0]
    fitting = [run for run in found if run["id"].startswith(chosen.lower())]
    if len(fitting) != 1:
        many = "several backups begin" if fitting else "no backup begins"
        raise UsageProblem(f"In {env} {many} with {chosen!r}.", f"opsctl db list {env} shows them.")
    return fitting[0]


def _runs_of(env: str) -> str:
    return f"environments/{path_part(env)}/database-runs/"


def _size(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1_000_000:.1f} MB" if size >= 100_000 else f"{size / 1000:.1f} kB"


for _command in (list_runs, backup, verify, restore):
    db.add_command(_command)
