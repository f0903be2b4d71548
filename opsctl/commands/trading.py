"""``trading``: leave to trade again, asked for by one person and given by another."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render, waiting
from opsctl.commands.breaker import WithDefault, on_the_page
from opsctl.commands.common import REASON, App, Command
from opsctl.errors import Exit, Forbidden, Refused, TimedOut

WAIT_SECONDS = 150.0
KINDS = {"resume": "resume trading", "release": "release the kill switch"}
_which = click.argument("request_id", metavar="REQUEST", type=click.IntRange(1))


@click.group(cls=WithDefault, context_settings={"help_option_names": ["-h", "--help"]})
def trading() -> None:
    """Leave to trade again. Alone it lists the requests that wait."""


def headline(found: dict[str, Any]) -> str:
    """``7: resume trading in production, asked by Ada Admin``."""
    what = f"{KINDS.get(found['kind'], found['kind'])} in {found['environment']}"
    return f"{found['id']}: {what}, asked by {found['requested_by']}"


@click.command(
    name="show", cls=Command, examples="opsctl trading\nopsctl trading show --all\nopsctl trading show --json"
)
@click.option("--all", "everything", is_flag=True, help="Also those that were decided, or that ended by themselves.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
def show(app: App, everything: bool, limit: int) -> None:
    """Requests for leave to trade."""
    found = app.listed("clearances/", limit, status=None if everything else "waiting")
    app.output.document({"clearances": found})
    if not found:
        app.output.say("Nobody waits for leave to trade." if not everything else "Nobody ever asked.")
        return
    rows = [
        (
            one["id"],
            render.status("clearance", _status(one)),
            one["environment"],
            KINDS.get(one["kind"], one["kind"]),
            one["requested_by"],
            render.clock(one["expires_at"]),
            one["reason"],
        )
        for one in found
    ]
    app.output.say_all(render.table(("ID", "STATE", "ENVIRONMENT", "FOR", "ASKED BY", "EXPIRES", "REASON"), rows))


@click.command(name="resume", cls=Command, examples='opsctl trading resume production --reason "Feed mended"')
@click.argument("env", shell_complete=complete.environments)
@click.option("--reason", metavar="TEXT", help=REASON)
def resume(app: App, env: str, reason: str | None) -> Exit:
    """Ask for leave to resume trading; nothing trades until another person approves. Exit code 7: it waits."""
    why = app.output.ask(reason, "Reason", "--reason")
    done = app.post("clearances/", {"environment": env, "kind": "resume", "reason": why})
    app.output.document(done)
    app.output.say(f"Asked for; it waits until {render.clock(done['expires_at'])} for another person.")
    app.output.say(f"They approve with: opsctl trading approve {done['id']}")
    return Exit.WAITING


@click.command(name="release", cls=Command, examples="opsctl trading release production")
@click.argument("env", shell_complete=complete.environments)
def release(app: App, env: str) -> None:
    """Say where the kill switch is released: it takes four answers and a passkey or a code, on the page."""
    found = [one for one in app.listed("emergency-stops/", 200) if one["environment"] == env and not one["released_at"]]
    if not found:
        raise Refused(f"No emergency stop of {env} is in force. Nothing is to be released.")
    page = f"{app.settings.url}/kill-switch/stops/{found[0]['id']}/release/"
    raise Forbidden(f"A release takes four answers and a passkey or a code, on the page: {page}", f"Open {page}")


@click.command(
    name="approve", cls=Command, examples="opsctl trading approve 7\nopsctl trading approve 7 --yes --no-wait"
)
@_which
@click.option("--reason", metavar="TEXT", help="Kept in the audit trail. May be left out.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Return when it is approved, not when it is read back.")
def approve(app: App, request_id: int, reason: str | None, yes: bool, no_wait: bool) -> Exit:
    """Give the leave that somebody else asked for, and see it done.

    The state that it holds for is shown first; when anything of it has changed, nothing is done.
    """
    found = app.get(f"clearances/{request_id}/")
    for line in _details(found):
        app.output.note(line)
    _refuse_ended(found)
    # One's own request is not asked about: the console refuses it, and keeps that somebody tried.
    app.output.confirm(f"Approve: {KINDS.get(found['kind'], found['kind'])}?", yes=yes or found["is_own"])
    body = {"subject_hash": found["subject_hash"], **({"reason": reason} if reason else {})}
    done = on_the_page(app, f"clearances/{request_id}/approve/", body, f"/clearances/{request_id}/")
    done = done if no_wait else _to_the_end(app, done)
    app.output.document(done)
    word = render.word("clearance", _status(done))
    app.output.say(f"{word.icon} {word.word}. {done['detail']}".strip(), word.tone)
    return Exit.FAILED if done["failed_at"] else Exit.DONE


@click.command(name="reject", cls=Command, examples='opsctl trading reject 7 --reason "The feed is still late"')
@_which
@click.option("--reason", metavar="TEXT", help="Why; the requester reads it. Asked for when it is left out.")
def reject(app: App, request_id: int, reason: str | None) -> None:
    """Refuse leave; nothing is done."""
    why = app.output.ask(reason, "Reason", "--reason")
    done = app.post(f"clearances/{request_id}/reject/", {"reason": why})
    app.output.document(done)
    app.output.say(f"{render.status('clearance', _status(done))}: {headline(done)}")


@click.command(name="withdraw", cls=Command, examples="opsctl trading withdraw 7")
@_which
def withdraw(app: App, request_id: int) -> None:
    """Take back a request of your own; nothing is done."""
    done = app.post(f"clearances/{request_id}/withdraw/")
    app.output.document(done)
    app.output.say(f"{render.status('clearance', _status(done))}: {headline(done)}")


def _status(found: dict[str, Any]) -> str:
    return "done" if found["done_at"] else "failed" if found["failed_at"] else str(found["status"])


def _refuse_ended(found: dict[str, Any]) -> None:
    if found["status"] != "waiting":
        state = render.word("clearance", _status(found)).word.lower()
        raise Refused(f"Request {found['id']} is {state}. Nothing was done.", "Ask again.")


def _to_the_end(app: App, done: dict[str, Any]) -> dict[str, Any]:
    ends = waiting.now() + WAIT_SECONDS
    while done["status"] == "approved" and not done["done_at"] and not done["failed_at"]:
        if waiting.now() > ends:
            raise TimedOut(f"Request {done['id']} is approved, and not read back as done: {done['detail']}")
        waiting.pause(0.5)
        done = app.get(f"clearances/{done['id']}/")
    return done


def _details(found: dict[str, Any]) -> list[str]:
    facts = found["facts"]
    instances = [
        f"{name}: {one['role'] or 'no data'}, breaker {one['breaker'] or 'no data'}, {one['version'] or 'no data'}"
        for name, one in facts["instances"].items()
    ]
    return [
        f"Request      {headline(found)}",
        f"Why          {render.one_line(found['reason'])}",
        f"Until        {render.clock(found['expires_at'])}",
        f"To trade     {facts['writer']['slot'] or 'no slot'} {facts['writer']['version']}",
        *(f"Instance     {line}" for line in instances),
        *(f"Answer       {one['question']} {one['answer']}: {one['note']}" for one in found["answers"]),
        f"Hash         {found['subject_hash'][:12]}",
    ]


for command in (show, resume, release, approve, reject, withdraw):
    trading.add_command(command)
