"""``deploy``."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import REASON, App, Command, path_part
from opsctl.errors import Exit, UsageProblem


@click.command(
    cls=Command,
    examples="""
opsctl deploy staging v1.2.5 --reason "Fix of the slippage"
opsctl deploy production v1.2.5 --reason "Fix of the slippage" --watch
opsctl deploy production v1.2.5 --reason "CI 4711" --yes --json
opsctl deploy production v1.2.5 --reason "Fix" --override "Ann reviewed it by phone"
""",
)
@click.argument("env", shell_complete=complete.environments)
@click.argument("version", shell_complete=complete.versions)
@click.option("--reason", metavar="TEXT", help=REASON)
@click.option("--strategy", default="blue_green", show_default=True, help="How the new version is brought live.")
@click.option("--watch", "--wait", "watch", is_flag=True, help="Stay until it ends; the exit code says how.")
@click.option("--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="With --watch: give up after this.")
@click.option("--large-change-reason", metavar="TEXT", help="Why a large change goes out in one piece.")
@click.option("--override", metavar="TEXT", help="Override what the deployment gate asks for, and why; Admins only.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def deploy(
    app: App,
    env: str,
    version: str,
    reason: str | None,
    strategy: str,
    watch: bool,
    timeout: float | None,
    large_change_reason: str | None,
    override: str | None,
    yes: bool,
) -> Exit:
    """Start a deployment of a release, or ask for one where another person must approve it.

    What will happen is shown before it is asked. Without --watch the exit code says only whether it was started, or
    asked for; with it, how it ended: 0 live and marked successful, 1 failed, rolled back or aborted, 7 it waits for an
    approval.
    """
    _show(app, env, version, strategy)
    reason = app.output.ask(reason, "Reason", "--reason")
    beyond = " The deployment gate is overridden." if override else ""
    app.output.confirm(f"Deploy {version} to {env}?{beyond}", yes=yes)
    given = {"reason": reason, "large_change_reason": large_change_reason, "override_reason": override}
    body = {"environment": env, "release": version, "strategy": strategy}
    started = app.post("deployments/", body | {name: text for name, text in given.items() if text})
    waits = started["status"] == "awaiting_approval"
    if watch and not waits:
        from opsctl.commands.watch import watch_to_the_end

        return watch_to_the_end(app, started["id"], timeout)
    app.output.document(started)
    if waits:
        _asked_for(app, started)
        return Exit.WAITING if watch else Exit.DONE
    app.output.say(f"Deployment {started['id']} of {version} to {env} has begun.")
    if names := ", ".join(one["title"].lower() for one in started["overrides"]):
        app.output.say(f"Overridden, and kept in the audit trail: {names}.")
    app.output.say(f"Follow it: opsctl watch {started['id']}    Stop it: opsctl abort {started['id']}")
    return Exit.DONE


def _show(app: App, env: str, version: str, strategy: str) -> None:
    """What is there and what will be: on stderr, so that stdout keeps the answer."""
    found, release = app.get(f"environments/{path_part(env)}/"), _release(app, version)
    live = next((slot for slot in found["slots"] if slot["is_live"]), None)
    target = next((slot["name"] for slot in found["slots"] if slot is not live), "the other slot")
    now = f"{live['version']} on {live['name']}" if live else "nothing"
    note = app.output.note
    note(f"Environment  {found['name']} ({found['kind']})")
    note(f"Live now     {now}, health: {render.status('health', found['health'])}")
    note(f"New          {release['version']} on {target}, {strategy.replace('_', '/')}, {release['digest'][:19]}")
    if release["migrations"]:
        note(f"Migrations   {', '.join(release['migrations'])}")
    if active := found["active_deployment"]:
        note(f"Running      deployment {active['id']}: {render.versions(active)}, {active['status']}")


def _release(app: App, version: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = app.get(f"releases/{path_part(version)}/")
    except UsageProblem as error:
        if error.status != 404:
            raise
        raise UsageProblem(
            f"There is no release {version!r} that you may see.", "opsctl releases lists them."
        ) from None
    return found


def _asked_for(app: App, started: dict[str, Any]) -> None:
    approval = started.get("approval") or {}
    ends = f" It expires at {render.clock(approval['expires_at'])}." if approval.get("expires_at") else ""
    key = approval.get("id", "ID")
    app.output.say(
        f"Deployment {started['id']} waits for another person's approval; nothing was started.{ends}", "info"
    )
    app.output.say(f"They approve it with: opsctl approve {key}    You take it back with: opsctl withdraw {key}")
