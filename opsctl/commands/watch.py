"""``watch``: a deployment live in the terminal, or as one line a change."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import click

from opsctl import complete, render, timeline
from opsctl.commands.common import App, Command, pick
from opsctl.errors import Exit
from opsctl.follow import Snapshot, follow


@click.command(
    cls=Command,
    examples="""
opsctl watch
opsctl watch 42
opsctl watch --env production --timeout 600
opsctl watch 42 --json | jq -r 'select(.kind == "step").text'
""",
)
@click.argument("deployment", required=False, type=click.IntRange(1), shell_complete=complete.deployments)
@click.option("--env", metavar="ENV", shell_complete=complete.environments, help="The one under way here, or the last.")
@click.option("--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="Give up after this; exit code 8.")
def watch(app: App, deployment: int | None, env: str | None, timeout: float | None) -> Exit:
    """Follow a deployment until it ends; the exit code says how it ended.

    Steps, what the rules say against the baseline, and the recommendation. On a terminal it is drawn anew; elsewhere,
    and with --json, each change is one line. Ctrl-C ends the watching and leaves the deployment alone. A console that
    restarts meanwhile is waited for.
    """
    return watch_to_the_end(app, pick(app, deployment, env, last=True)["id"], timeout)


def watch_to_the_end(app: App, deployment_id: int, timeout: float | None = None) -> Exit:
    """Show a deployment until it ends; the exit code that its end stands for. Raises OpsctlError."""
    try:
        snapshots = shown(app, follow(app.client, deployment_id, timeout=timeout))
        last = _draw(snapshots) if app.output.is_terminal else _tell(app, snapshots)
    except KeyboardInterrupt:
        app.output.note(f"\nStopped watching. Deployment {deployment_id} goes on: opsctl watch {deployment_id}")
        return Exit.INTERRUPTED
    final = timeline.end(last.deployment)
    app.output.say(final.line().strip() if app.output.is_terminal else final.line(), final.tone)
    app.output.json_line(final.document())
    if hint := timeline.hint(last.deployment):
        app.output.note(hint)
    return Exit(int(final.data["exit_code"]))


def shown(app: App, snapshots: Iterable[Snapshot]) -> Iterator[Snapshot]:
    """Readings as they may be written."""
    for one in snapshots:
        yield Snapshot(app.shown(one.deployment), app.shown(one.rollback), one.silent_seconds)


def _tell(app: App, snapshots: Iterator[Snapshot]) -> Snapshot:
    """One line a change; the last reading."""
    before: Snapshot | None = None
    current = next(snapshots)
    app.output.say(render.title(current.deployment))
    app.output.json_line({"kind": "deployment", **current.deployment})
    while True:
        if current.silent_seconds and not (before and before.silent_seconds):
            app.output.note(f"{datetime.now(UTC):%H:%M:%S} UTC  The console does not answer; trying again.")
        for change in _changes(before, current):
            if change.kind != "end":
                app.output.say(change.line(), change.tone)
                app.output.json_line(change.document())
        before = current
        following = next(snapshots, None)
        if following is None:
            return current
        current = following


def _changes(before: Snapshot | None, current: Snapshot) -> Iterator[timeline.Change]:
    yield from timeline.changes(before.deployment if before else None, current.deployment)
    if current.rollback:
        yield from timeline.changes(before.rollback if before else None, current.rollback)


def _draw(snapshots: Iterator[Snapshot]) -> Snapshot:
    """The view drawn anew with each reading; the last reading."""
    from rich.console import Console
    from rich.live import Live

    from opsctl.screen import draw

    console = Console(highlight=False)
    current = next(snapshots)
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while True:
            live.update(draw(current, shutil.get_terminal_size().lines), refresh=True)
            following = next(snapshots, None)
            if following is None:
                return current
            current = following
