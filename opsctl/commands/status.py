"""``status`` and ``releases``: looking."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import App, Command, path_part
from opsctl.errors import Exit, Forbidden, UsageProblem


@click.command(cls=Command, examples="opsctl status\nopsctl status production\nopsctl status production --json")
@click.argument("env", required=False, shell_complete=complete.environments)
def status(app: App, env: str | None) -> None:
    """What is live, who trades, how it is, what runs, and what waits for an approval.

    "No data" means that the console has no reading newer than five seconds: it says nothing about how the system is.
    """
    found = [app.get(f"environments/{path_part(env)}/")] if env else app.listed("environments/", 200)
    waiting = _waiting(app, env)
    app.output.document({"environments": found, "approvals": waiting})
    for number, environment in enumerate(found):
        if number:
            app.output.say()
        _environment(app, environment, full=env is not None)
    if not found:
        app.output.say("You see no environment here. An Admin gives you a role.")
    if waiting:
        app.output.say()
    for approval in waiting:
        app.output.say(approval_line(approval), "info")


def approval_line(approval: dict[str, Any]) -> str:
    """One approval that waits, with the command that shows it."""
    from opsctl.commands.approvals import headline

    return f"… Waiting for approval {headline(approval)}: opsctl approve {approval['id']}"


def _waiting(app: App, env: str | None) -> list[dict[str, Any]]:
    try:
        found = app.listed("approvals/", 50, state="waiting")
    except (Forbidden, UsageProblem):  # a key that may not look at them still shows the rest
        return []
    return [one for one in found if env is None or one["environment"] == env]


def _environment(app: App, found: dict[str, Any], *, full: bool) -> None:
    live = next((slot for slot in found["slots"] if slot["is_live"]), None)
    serving = f"{live['version']} on {live['name']}" if live else "nothing is live"
    app.output.say(f"{found['name']} ({found['kind']}, {found['service']}): {serving}")
    health = render.word("health", found["health"])
    app.output.say(f"  Health   {health.icon} {health.word}{_why(live)}", health.tone)
    app.output.say(f"  Trading  {_trading(found)}")
    active = found["active_deployment"]
    if active:
        word = render.word("deployment", active["status"])
        app.output.say(f"  Running  {active['id']}: {render.versions(active)}, {word.icon} {word.word}", word.tone)
    if full:
        for line, tone in _details(found):
            app.output.say(line, tone)


def _why(live: dict[str, Any] | None) -> str:
    """What is wrong with the live slot, in words."""
    if live is None:
        return ""
    words = [one["health"]["words"] for one in live["instances"] if one["health"]["status"] != "pass"]
    return f": {'; '.join(words)}" if words else ""


def _trading(found: dict[str, Any]) -> str:
    writer = next((slot for slot in found["slots"] if slot["is_writer"]), None)
    if writer is None:
        return "no slot has the trading role"
    roles = {one["health"]["role"] for one in writer["instances"] if not one["health"]["no_data"]}
    said = ", ".join(sorted(role for role in roles if role)).lower() or "no data"
    return f"{writer['name']} ({writer['version']}) has the role, epoch {found['writer_epoch']}; it says: {said}"


def _details(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "", "plain"
    rows, tones = [], []
    for slot in found["slots"]:
        role, health = render.word("slot", slot["role"]), render.word("health", slot["health"])
        for one in slot["instances"]:
            age = one["health"]["age_seconds"]
            fresh = "never read" if age is None else f"{render.duration(age)} ago"
            rows.append(
                (slot["name"], role.word, slot["version"], f"{slot['weight']} %", one["name"], health.word, fresh)
            )
            tones.append(health.tone)
    lines = render.table(("SLOT", "ROLE", "VERSION", "TRAFFIC", "INSTANCE", "HEALTH", "READ"), rows)
    yield from zip((f"  {line}" for line in lines), ["quiet", *tones], strict=True)
    yield "", "plain"
    for line in _numbers(found["metrics"]):
        yield f"  {line}", "plain"


def _numbers(metrics: dict[str, Any]) -> list[str]:
    rows = [
        ("Requests", _rate(metrics["request_rate"])),
        ("Errors", render.number(metrics["error_rate"], "share")),
        ("Latency p99", render.number(metrics["latency_p99_ms"], "ms")),
        ("Trades", f"{metrics['trades']}, win rate {render.number(metrics['win_rate'], 'share')}"),
        ("Open", f"{_count(metrics['open_positions'], 'position')}, {_count(metrics['open_orders'], 'order')}"),
        ("Mismatches", _count(metrics["mismatches"], "position")),
    ]
    return render.table((f"LAST {render.duration(metrics['seconds'])}", ""), rows)


def _count(value: int | None, noun: str) -> str:
    return f"no data on {noun}s" if value is None else f"{value} {noun}{'' if value == 1 else 's'}"


def _rate(value: float | None) -> str:
    return "no data" if value is None else f"{value:.1f} a second"


@click.command(cls=Command, examples="opsctl releases\nopsctl releases v1.2.5")
@click.argument("version", required=False, shell_complete=complete.versions)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
def releases(app: App, version: str | None, limit: int) -> Exit:
    """The releases that can be deployed, or one with its notes."""
    if version:
        found = app.get(f"releases/{path_part(version)}/")
        app.output.document(found)
        size = ", ".join(f"{count} {what}" for what, count in found["changes"].items()) or "not known"
        for name, value in (
            ("Version", found["version"]),
            ("Built", render.clock(found["released_at"])),
            ("Digest", found["digest"]),
            ("Change", size),
            ("Migrations", ", ".join(found["migrations"]) or "none"),
            ("Configuration", found["config_revision"] or "none"),
        ):
            app.output.say(f"{name:14} {value}")
        app.output.say(f"\n{found['notes']}".rstrip())
        return Exit.DONE
    listed = app.listed("releases/", limit)
    app.output.document({"releases": listed})
    rows = [(one["version"], render.clock(one["released_at"]), one["digest"][:19], one["service"]) for one in listed]
    app.output.say_all(render.table(("VERSION", "BUILT", "DIGEST", "SERVICE"), rows))
    return Exit.DONE
