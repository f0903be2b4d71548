"""``approvals``, ``approve``, ``reject``, ``withdraw``: the review before a deployment."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import App, Command
from opsctl.errors import Exit, Refused

SHORT_HASH = 12
_which = click.argument("approval", type=click.IntRange(1), shell_complete=complete.approvals)


def headline(approval: dict[str, Any]) -> str:
    """``7: v1.2.5 to production, asked by Dora Developer``."""
    what = f"{approval['to_release']} to {approval['environment']}"
    return f"{approval['id']}: {what}, asked by {approval['requested_by']}"


@click.command(cls=Command, examples="opsctl approvals\nopsctl approvals --all\nopsctl approvals --json")
@click.option("--all", "everything", is_flag=True, help="Also those that were decided, or that ended by themselves.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
def approvals(app: App, everything: bool, limit: int) -> None:
    """Requests that wait for another person."""
    found = app.listed("approvals/", limit, state=None if everything else "waiting")
    app.output.document({"approvals": found})
    if not found:
        app.output.say("No request waits for an approval." if not everything else "Nothing was ever asked for.")
        return
    rows = [
        (
            one["id"],
            render.status("approval", one["state"]),
            one["environment"],
            one["to_release"],
            one["requested_by"],
            render.clock(one["expires_at"]),
            one["reason"],
        )
        for one in found
    ]
    app.output.say_all(render.table(("ID", "STATE", "ENVIRONMENT", "RELEASE", "ASKED BY", "EXPIRES", "REASON"), rows))
    app.output.say()
    app.output.say("Read and decide one: opsctl approve ID, opsctl reject ID")


@click.command(cls=Command, examples='opsctl approve 7\nopsctl approve 7 --reason "Reviewed the diff" --yes')
@_which
@click.option("--reason", metavar="TEXT", help="Kept in the audit trail. May be left out.")
@click.option("--watch", "--wait", "watch", is_flag=True, help="Stay until the deployment ends.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def approve(app: App, approval: int, reason: str | None, watch: bool, yes: bool) -> Exit:
    """Approve a request of somebody else; the deployment starts at once.

    What will happen is shown first. The approval is for exactly that: when anything of it changes meanwhile, nothing
    is started, and the answer says what changed.
    """
    found = app.get(f"approvals/{approval}/")
    for line in details(found):
        app.output.note(line)
    _refuse_ended(found)
    # One's own request is not asked about: the console refuses it, and keeps that somebody tried.
    app.output.confirm(f"Approve, and start it now in {found['environment']}?", yes=yes or found["is_own"])
    body = {"subject_hash": found["subject_hash"], **({"reason": reason} if reason else {})}
    done = app.post(f"approvals/{approval}/approve/", body)
    if watch:
        from opsctl.commands.watch import watch_to_the_end

        return watch_to_the_end(app, done["deployment"])
    app.output.document(done)
    app.output.say(f"{render.status('approval', done['state'])}. Deployment {done['deployment']} starts.")
    app.output.say(f"Follow it: opsctl watch {done['deployment']}")
    return Exit.DONE


@click.command(cls=Command, examples='opsctl reject 7 --reason "The migration locks the orders table"')
@_which
@click.option("--reason", metavar="TEXT", help="Why; the requester reads it. Asked for when it is left out.")
def reject(app: App, approval: int, reason: str | None) -> None:
    """Reject a request; nothing is started."""
    found = app.get(f"approvals/{approval}/")
    app.output.note(headline(found))
    reason = app.output.ask(reason, "Reason", "--reason")
    done = app.post(f"approvals/{approval}/reject/", {"reason": reason})
    app.output.document(done)
    app.output.say(f"{render.status('approval', done['state'])}: {headline(done)}")


@click.command(cls=Command, examples="opsctl withdraw 7")
@_which
def withdraw(app: App, approval: int) -> None:
    """Take back a request of your own; nothing is started."""
    done = app.post(f"approvals/{approval}/withdraw/")
    app.output.document(done)
    app.output.say(f"{render.status('approval', done['state'])}: {headline(done)}")


def _refuse_ended(found: dict[str, Any]) -> None:
    if found["state"] != "waiting":
        why = f" {found['decision_reason']}" if found["decision_reason"] else ""
        state = render.word("approval", found["state"]).word.lower()
        raise Refused(f"Approval {found['id']} is {state}: nothing was done.{why}", "Ask for the deployment again.")


def details(found: dict[str, Any]) -> list[str]:
    """Exactly what will happen, and who asked for it."""
    subject = found["subject"]
    release, live = subject["release"], subject["live"]
    now = f"{live['release']} on {live['slot']}" if live["release"] else "nothing"
    asked = f"{found['requested_by']}, {render.clock(found['created_at'])}: {render.one_line(found['reason'])}"
    lines = [
        f"Approval     {found['id']}: {render.status('approval', found['state'])}, "
        f"until {render.clock(found['expires_at'])}",
        f"Asked by     {asked}",
        f"Environment  {subject['environment']}",
        f"Live now     {now}",
        f"New          {release['version']} on {subject['slot']}, {subject['strategy'].replace('_', '/')}",
        f"Digest       {release['digest']}",
        f"Config       {release['config_revision'] or 'none'}",
        "Plan         " + ", ".join(step["title"] for step in subject["plan"]),
        f"Hash         {found['subject_hash'][:SHORT_HASH]}",
    ]
    if found["blocking_deployment"]:
        lines.append(f"Blocked by   deployment {found['blocking_deployment']}: it must end first")
    lines += [f"Check        {one['title']}: {one['detail']} {one['todo']}" for one in found["checks"] if not one["ok"]]
    if found["checks"] and all(one["ok"] for one in found["checks"]):
        lines.append(f"Checks       all {len(found['checks'])} pass now")
    return lines
