"""``alerts``: what somebody has to know, and that somebody knows it."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import App, Command
from opsctl.errors import Exit

TITLE_WIDTH = 70


class Alerts(click.Group):
    """``opsctl alerts`` alone, or with options only, lists them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, ``list`` put before them when no act is named."""
        named = bool(args) and (not args[0].startswith("-") or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if named or ctx.resilient_parsing else ["list", *args])


@click.group(cls=Alerts, context_settings={"help_option_names": ["-h", "--help"]})
def alerts() -> None:
    """What somebody has to know, until it is acknowledged and its cause is gone."""


@click.command(
    name="list", cls=Command, examples="opsctl alerts list\nopsctl alerts --open\nopsctl alerts --env production --json"
)
@click.option("--env", "environment", metavar="ENV", help="Only this one.", shell_complete=complete.environments)
@click.option("--open", "only_open", is_flag=True, help="Only those that nobody has acknowledged or that still last.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many.")
def list_alerts(app: App, environment: str | None, only_open: bool, limit: int) -> Exit:
    """Open ones first, of these the critical ones first."""
    found = app.listed("alerts/", limit, environment=environment, state="open" if only_open else None)
    app.output.document({"alerts": found})
    if not found:
        app.output.say("No alert is open." if only_open else "There is no alert.")
        return Exit.DONE
    rows = [
        (
            one["id"],
            render.status("alert", one["severity"]),
            render.status("alert_state", one["state"]),
            one["environment"],
            render.clock(one["raised_at"]),
            one["times"],
            one["acknowledged_by"],
            render.one_line(one["title"], TITLE_WIDTH),
        )
        for one in found
    ]
    headers = ("ID", "SEVERITY", "STATE", "ENVIRONMENT", "SINCE", "TIMES", "BY", "ALERT")
    app.output.say_all(render.table(headers, rows))
    if any(one["acknowledged_at"] is None for one in found):
        app.output.say()
        app.output.say('Say that you know: opsctl alerts ack ID --note "What you do about it"')
    return Exit.DONE


@click.command(cls=Command, examples='opsctl alerts ack 7\nopsctl alerts ack 7 --note "I call the exchange"')
@click.argument("alert", type=click.IntRange(1), shell_complete=complete.alerts)
@click.option("--note", metavar="TEXT", help="What is done about it. On an acknowledged one it replaces the note.")
def ack(app: App, alert: int, note: str | None) -> Exit:
    """Acknowledge an alert: nobody is reminded of it again. Asks nothing."""
    found: dict[str, Any] = app.post(f"alerts/{alert}/acknowledge/", {"note": note} if note else {})
    app.output.document(found)
    app.output.say(f"{render.status('alert_state', found['state'])} by {found['acknowledged_by']}: {found['title']}")
    if found["note"]:
        app.output.say(f"Note: {render.one_line(found['note'])}")
    if found["link"]:
        app.output.note(f"What to do: {app.settings.url}{found['link']}")
    return Exit.DONE


for _command in (list_alerts, ack):
    alerts.add_command(_command)
