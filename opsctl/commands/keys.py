"""``keys``: API keys, listed, made, rotated, revoked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import App, Command, path_part
from opsctl.errors import Exit, UsageProblem

MANY = 3
ONCE = "It is shown this once and kept nowhere. Store it now."
_out = click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the key into a new file that only you can read.",
)


class Keys(click.Group):
    """``opsctl keys`` alone, or with options only, lists them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, ``list`` put before them when no act is named."""
        named = bool(args) and (not args[0].startswith("-") or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if named or ctx.resilient_parsing else ["list", *args])


@click.group(cls=Keys, context_settings={"help_option_names": ["-h", "--help"]})
def keys() -> None:
    """API keys. A key can do less than you, never more, and lives at most 90 days."""


@click.command(name="list", cls=Command, examples="opsctl keys list\nopsctl keys list --due")
@click.option("--due", is_flag=True, help="Only those that end soon and have no newer one.")
def list_keys(app: App, due: bool) -> Exit:
    """Your keys."""
    found = app.listed("keys/", 200, due="true" if due else None)
    app.output.document({"keys": found})
    if not found:
        app.output.say("No key is due." if due else "You have no API key: opsctl keys create")
        return Exit.DONE
    rows = [
        (
            one["prefix"],
            render.status("key", one["state"]),
            one["name"],
            _scopes(one["scopes"]),
            "all of yours" if one["environments"] is None else ", ".join(one["environments"]),
            render.clock(one["expires_at"]),
            render.clock(one["last_used_at"]) if one["last_used_at"] else "never",
        )
        for one in found
    ]
    app.output.say_all(render.table(("PREFIX", "STATE", "NAME", "SCOPES", "ENVIRONMENTS", "ENDS", "LAST USED"), rows))
    return Exit.DONE


def _scopes(names: list[str]) -> str:
    if len(names) > MANY:
        return f"{len(names)} scopes"
    return ", ".join(names) or "look only"


@click.command(
    cls=Command,
    examples="""
opsctl keys create "CI staging" --scope deploy_environment --env staging --days 30
opsctl keys create "Dashboard" --days 90 --out dashboard.key
""",
)
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, metavar="NAME", help="A permission it may use; without one it may only look."
)
@click.option(
    "--env",
    "environments",
    multiple=True,
    metavar="ENV",
    help="Only these environments. Repeatable.",
    shell_complete=complete.environments,
)
@click.option("--network", "networks", multiple=True, metavar="CIDR", help="Only from these networks. Repeatable.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 90), help="How long it lives.")
@_out
def create(
    app: App,
    name: str,
    scopes: tuple[str, ...],
    environments: tuple[str, ...],
    networks: tuple[str, ...],
    days: int,
    out: Path | None,
) -> None:
    """Make a key of your own."""
    _refuse_existing(out)
    body = {
        "name": name,
        "scopes": list(scopes),
        "environments": list(environments) or None,
        "networks": list(networks),
        "days": days,
    }
    _give(app, app.post("keys/", body, once=True), out)


@click.command(cls=Command, examples="opsctl keys rotate v8p637hvgj\nopsctl keys rotate v8p637hvgj --overlap 2")
@click.argument("prefix", shell_complete=complete.keys)
@click.option(
    "--overlap",
    default=24,
    show_default=True,
    type=click.IntRange(0, 168),
    metavar="HOURS",
    help="How long the old one goes on.",
)
@_out
def rotate(app: App, prefix: str, overlap: int, out: Path | None) -> None:
    """Make a new key with the same bounds; the old one goes on for the overlap, then it ends."""
    _refuse_existing(out)
    made = app.post(f"keys/{path_part(prefix)}/rotate/", {"overlap_hours": overlap}, once=True)
    app.output.note(f"The old key {prefix} ends {'at once' if overlap == 0 else f'in {overlap} hours'}.")
    _give(app, made, out)


@click.command(cls=Command, examples="opsctl keys revoke v8p637hvgj")
@click.argument("prefix", shell_complete=complete.keys)
def revoke(app: App, prefix: str) -> None:
    """End a key at once. Asks nothing."""
    done = app.post(f"keys/{path_part(prefix)}/revoke/")
    app.output.document(done)
    app.output.say(f"Revoked: {prefix}. It works no more.")


def _refuse_existing(out: Path | None) -> None:
    """Before the key is made: a key that cannot be written afterwards would be lost."""
    if out is not None and out.exists():
        raise UsageProblem(f"{out} exists already.", "Name a new file.")
    if out is not None and not out.resolve().parent.is_dir():
        raise UsageProblem(f"The folder of {out} does not exist.")


def _give(app: App, made: dict[str, Any], out: Path | None) -> None:
    """The new key, to a file or to stdout."""
    key, text = made, str(made["token"])
    if out is not None:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        key = {**made, "token": None, "file": str(out)}
    app.output.document(key)
    app.output.note(
        f"Key {made['prefix']} ({made['name']}) until {render.clock(made['expires_at'])}. {'' if out else ONCE}"
    )
    app.output.say(f"Written to {out}" if out else text)


for _command in (list_keys, create, rotate, revoke):
    keys.add_command(_command)
