"""``promote``, ``hold``, ``resume``, ``abort``: acts on a deployment under way."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import NOT_STATED, REASON, SAFETY_REASON, App, Command, pick
from opsctl.errors import Exit, TimedOut
from opsctl.follow import follow
from opsctl.timeline import TERMINAL, ending

_which = click.argument("deployment", required=False, type=click.IntRange(1), shell_complete=complete.deployments)
_env = click.option("--env", metavar="ENV", shell_complete=complete.environments, help="The one under way here.")
READ_BACK_SECONDS = 120.0


@click.command(cls=Command, examples="opsctl promote 42\nopsctl promote --env production --watch")
@_which
@_env
@click.option("--reason", metavar="TEXT", help=REASON)
@click.option("--watch", "--wait", "watch", is_flag=True, help="Stay until the deployment ends.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask, whatever is recommended.")
def promote(app: App, deployment: int | None, env: str | None, reason: str | None, watch: bool, yes: bool) -> Exit:
    """Let it pass the gate to the new version; in the watch: keep the new version although a rollback is recommended.

    The recommendation is shown first. When the state changes while you read, nothing is done.
    """
    found = pick(app, deployment, env)
    _show(app, found)
    verb = f"Keep {found['to_release']}" if found["promoted_at"] else f"Promote {found['to_release']}"
    reason = app.output.ask(reason, "Reason", "--reason")
    app.output.confirm(f"{verb} in {found['environment']}?", yes=yes)
    done = app.post(f"deployments/{found['id']}/promote/", {"reason": reason, "token": found["token"]})
    if watch:
        from opsctl.commands.watch import watch_to_the_end

        return watch_to_the_end(app, done["id"])
    app.output.document(done)
    kept = f"{done['to_release']} is kept; hard rules still roll back."
    asked = f"Promotion of {done['to_release']} is asked for. Follow it: opsctl watch {done['id']}"
    app.output.say(kept if done["promoted_at"] else asked)
    return Exit.DONE


def _show(app: App, found: dict[str, Any]) -> None:
    """What is recommended, and what the rules say that is not within its limit."""
    note, advice = app.output.note, found["recommendation"]
    note(f"{render.title(found)}: {render.status('deployment', found['status'])}")
    note(f"Recommendation: {advice['title']}")
    for reason in advice["reasons"]:
        note(f"  - {render.one_line(reason)}")
    failing = [step for step in found["steps"] if step["status"] == "failed"]
    for step in failing:
        note(f"  - {step['title']} failed: {render.one_line(step['detail'])}")


@click.command(cls=Command, examples='opsctl hold 42 --reason "Exchange maintenance"\nopsctl hold --env production')
@_which
@_env
@click.option("--reason", metavar="TEXT", help=SAFETY_REASON)
def hold(app: App, deployment: int | None, env: str | None, reason: str | None) -> None:
    """Pause between two steps; a step that is being carried out ends first. Hard rules still roll back."""
    found = pick(app, deployment, env)
    done = app.post(f"deployments/{found['id']}/hold/", {"reason": reason or NOT_STATED})
    app.output.document(done)
    app.output.say(f"{render.status('deployment', done['status'])}: {render.title(done)}")
    app.output.say(f"Nothing moves until somebody resumes: opsctl resume {done['id']}")


@click.command(cls=Command, examples='opsctl resume 42 --reason "Maintenance is over"')
@_which
@_env
@click.option("--reason", metavar="TEXT", help=REASON)
def resume(app: App, deployment: int | None, env: str | None, reason: str | None) -> None:
    """Go on after a hold."""
    found = pick(app, deployment, env)
    reason = app.output.ask(reason, "Reason", "--reason")
    done = app.post(f"deployments/{found['id']}/resume/", {"reason": reason, "token": found["token"]})
    app.output.document(done)
    app.output.say(f"{render.status('deployment', done['status'])}: {render.title(done)}")


@click.command(cls=Command, examples='opsctl abort 42\nopsctl abort --env production --reason "Wrong version"')
@_which
@_env
@click.option("--reason", metavar="TEXT", help=SAFETY_REASON)
@click.option("--no-wait", is_flag=True, help="Return when it is asked for, not when it is done.")
def abort(app: App, deployment: int | None, env: str | None, reason: str | None, no_wait: bool) -> Exit:
    """Stop before the promotion: the live slot keeps serving, the new one is removed. Asks nothing.

    After the hand-over has begun it is too late: use rollback.
    """
    found = pick(app, deployment, env)
    done = app.post(f"deployments/{found['id']}/abort/", {"reason": reason or NOT_STATED})
    app.output.say(f"Requested: abort of {render.title(done)}.")
    if not no_wait:
        for snapshot in follow(app.client, done["id"], timeout=READ_BACK_SECONDS):
            done = app.shown(snapshot.deployment)
    app.output.document(done)
    if no_wait:
        return Exit.DONE
    word = render.word("deployment", done["status"])
    app.output.say(f"{word.icon} {render.title(done)}: {ending(done)}", word.tone)
    if done["status"] not in TERMINAL:
        raise TimedOut(f"Deployment {done['id']} is still {done['status']}.")
    return Exit.DONE if done["status"] == "aborted" else Exit.FAILED
