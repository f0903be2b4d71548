"""``rollback``: asked for at once, told as done only when it was read back."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import NOT_STATED, SAFETY_REASON, UNFINISHED, App, Command
from opsctl.errors import Exit, Refused, UsageProblem
from opsctl.follow import FAST_SECONDS, follow

READ_BACK_SECONDS = 300.0


@click.command(
    cls=Command,
    examples="""
opsctl rollback
opsctl rollback --env production --reason "Odd fills since 14:02"
opsctl rollback 42 --no-wait
""",
)
@click.argument("deployment", required=False, type=click.IntRange(1), shell_complete=complete.deployments)
@click.option("--env", metavar="ENV", shell_complete=complete.environments, help="The running or last one here.")
@click.option("--reason", metavar="TEXT", help=SAFETY_REASON)
@click.option("--no-wait", is_flag=True, help="Return when it is asked for, not when it is done.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=READ_BACK_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for it; exit code 8.",
)
def rollback(
    app: App, deployment: int | None, env: str | None, reason: str | None, no_wait: bool, timeout: float
) -> Exit:
    """Return to the earlier release. Asks nothing, needs no approval.

    Without a number it is the deployment that runs, or with --env the last one there. Three moments are told apart:
    requested, traffic back, rolled back; each when the console says so.
    """
    found = _which(app, deployment, env)
    if found["reverts"]:
        app.output.say(f"A rollback is under way already: {render.title(found)}.")
        back = found
    else:
        back = app.post(f"deployments/{found['id']}/rollback/", {"reason": reason or NOT_STATED})
        at = render.clock(back["created_at"])
        app.output.say(
            f"Requested {at}: {back['environment']} from {back['from_release']} back to {back['to_release']}."
        )
    if not no_wait:
        back = _read_back(app, back, timeout)
    app.output.document(back)
    if no_wait:
        app.output.say(f"Not waited for. Follow it: opsctl watch {back['id']}")
        return Exit.DONE
    return Exit.DONE if back["status"] == "succeeded" else Exit.FAILED


def _which(app: App, deployment_id: int | None, env: str | None) -> dict[str, Any]:
    """The deployment to take back, or the rollback that does so already."""
    if deployment_id is not None:
        found: dict[str, Any] = app.get(f"deployments/{deployment_id}/")
        if found["reverted_by"]:
            taken: dict[str, Any] = app.get(f"deployments/{found['reverted_by']}/")
            return _still_going(taken)
        return found
    running = app.listed("deployments/", 20, environment=env, status=UNFINISHED)
    places = sorted({one["environment"] for one in running})
    if len(places) > 1:
        raise UsageProblem(f"Deployments run in {' and '.join(places)}.", "Say which one: add --env, or its number.")
    if running:  # newest first: a rollback under way stands before what it takes back
        return running[0]
    if env is None:
        names = " or ".join(f"--env {one['name']}" for one in app.listed("environments/", 20))
        raise UsageProblem("No deployment is under way.", f"To take back the last one, say where: {names}")
    last = app.listed("deployments/", 1, environment=env, status="succeeded")
    if not last:
        raise Refused(f"{env} has no deployment that could be rolled back.")
    return _still_going(last[0]) if last[0]["reverts"] else last[0]


def _still_going(back: dict[str, Any]) -> dict[str, Any]:
    if back["finished_at"]:
        raise Refused(
            f"{back['environment']} went back to {back['to_release']} already (rollback {back['id']}, "
            f"{render.clock(back['finished_at'])}). Nothing was done.",
            "To change the version again, deploy the one you want: opsctl deploy",
        )
    return back


def _read_back(app: App, back: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Tell each moment when the console says so; the rollback as it ended."""
    began, traffic_told, trouble_told = back["created_at"], False, False
    for snapshot in follow(app.client, back["id"], timeout=timeout, poll=FAST_SECONDS):
        back = app.shown(snapshot.deployment)
        if back["promoted_at"] and not traffic_told:
            traffic_told = True
            took = render.duration(render.seconds_between(began, back["promoted_at"]))
            app.output.say(f"Traffic back after {took}: all new requests go to {back['to_release']}.")
        failed = next((step for step in back["steps"] if step["status"] == "failed"), None)
        if failed and not trouble_told:
            trouble_told = True
            app.output.say(f"{failed['title']} failed, going on: {render.one_line(failed['detail'])}", "warn")
    took = render.duration(render.seconds_between(began, back["finished_at"]))
    if back["status"] == "succeeded":
        app.output.say(f"✓ Rolled back after {took}: {back['to_release']} serves, trades and was verified.")
    else:
        why = back["failure_reason"] or "no reason was recorded"
        app.output.say(f"✗ The rollback FAILED after {took}: {why}", "crit")
        app.output.note(f"To do: opsctl status {back['environment']}; the steps: opsctl watch {back['id']}")
    return back
