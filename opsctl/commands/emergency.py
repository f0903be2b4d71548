"""``emergency-stop``: stop trading from here, with nothing of the console needed but a file written beforehand."""

from __future__ import annotations

import getpass
import socket
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opsctl import config
from opsctl.commands.common import App, Command
from opsctl.errors import Declined, Exit, UsageProblem

if TYPE_CHECKING:
    from trading.stop.journal import StopState
    from trading.stop.settings import StopSettings

WORD = "STOP"
EXITS = {"FLAT": Exit.DONE, "NOT_FLAT": Exit.NOT_FLAT, "UNCONFIRMED": Exit.UNCONFIRMED}
_EXAMPLES = """opsctl emergency-stop
opsctl emergency-stop production --now --reason "Loss of the price feed"
opsctl emergency-stop staging --drill
opsctl emergency-stop production --status"""


@click.command("emergency-stop", cls=Command, examples=_EXAMPLES)
@click.argument("env", required=False)
@click.option("--settings", "file", default="", metavar="FILE", help="The settings of the stop; see below.")
@click.option("--reason", default="", metavar="TEXT", help="Why; may be left out: stopping comes first.")
@click.option("--now", is_flag=True, help=f"Do not ask for {WORD} to be typed.")
@click.option("--drill", is_flag=True, help="Do the same as a drill; never in production.")
@click.option("--no-rechecks", is_flag=True, help="End when it is FLAT, without looking again after it.")
@click.option("--status", is_flag=True, help="Only say whether the kill switch is engaged, and how the last stop went.")
def emergency_stop(
    app: App, env: str | None, file: str, reason: str, now: bool, drill: bool, no_rechecks: bool, status: bool
) -> Exit:
    """Cancel every order, close every position, halt every strategy: the kill switch.

    It needs no console and no database, only the network to the trading system and to the exchange. Without ENV it is
    production's. The settings are a file that the console keeps up to date: --settings, OPSCTL_STOP_SETTINGS,
    ~/.config/opsctl/stop/ENV.json, or ENV/settings.json below "stops" of opsctl's settings file or OPSC_VAR/stops.

    A stop that runs already is joined. Exit code 0 means FLAT: nothing is left at the exchange, and nobody trades.
    """
    from trading.stop import settings as stop_settings

    path = find_settings(env, file, app.environ)
    try:
        settings = stop_settings.read(path)
    except stop_settings.SettingsError as error:
        raise UsageProblem(f"The settings of the stop: {error}.", "Name another file with --settings.") from None
    if env and settings.environment != env:
        raise UsageProblem(f"{path} is for {settings.environment}, not for {env}.")
    if status:
        return _status(app, settings)
    if not now:
        _confirm(app, settings, drill)
    return _stop(app, settings, reason, drill, no_rechecks)


def find_settings(env: str | None, file: str, environ: Mapping[str, str]) -> Path:
    """The settings file that is meant.

    Raises:
        UsageProblem: there is none, or it is not clear which one.
    """
    if file or environ.get("OPSCTL_STOP_SETTINGS"):
        return Path(file or environ["OPSCTL_STOP_SETTINGS"]).expanduser()
    own = config.folder(environ, "XDG_CONFIG_HOME", ".config") / "stop"
    stops = _folders(environ)
    found = {path.stem: path for path in sorted(own.glob("*.json"))}
    for folder in stops:
        for path in sorted(folder.glob("*/settings.json")):
            found.setdefault(path.parent.name, path)
    wanted = env or (next(iter(found)) if len(found) == 1 else "production")
    if wanted not in found:
        looked = ", ".join(str(folder) for folder in (own, *stops))
        known = f" There are settings for: {', '.join(found)}." if found else ""
        raise UsageProblem(
            f"There are no settings of a stop for {wanted} in {looked}.{known}",
            "The console writes them to OPSC_VAR/stops/ENV/settings.json: name the file with --settings.",
        )
    return found[wanted]


def _folders(environ: Mapping[str, str]) -> list[Path]:
    """Where the console keeps its stops: as the settings file says, and as the console itself is told."""
    found = []
    try:
        data = tomllib.loads(config.settings_file(environ).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        data = {}  # a broken file must not keep anybody from stopping
    if isinstance(data.get("stops"), str):
        found.append(Path(data["stops"]).expanduser())
    if var := environ.get("OPSC_VAR"):
        found.append(Path(var) / "stops")
    return found


def _confirm(app: App, settings: StopSettings, drill: bool) -> None:
    """Show what it will do, and let the word be typed. Raises Declined, UsageProblem."""
    from trading.stop import snapshot

    if not app.output.interactive:
        raise UsageProblem("This wants a confirmation, and nobody is there to be asked.", "Add --now.")
    known = snapshot.read(settings.snapshot_path)
    counts = "how much there is, is not known"
    if known is not None:
        age = f"{known.age(time.time()):.0f} s ago"
        counts = f"{len(known.orders)} orders and {len(known.positions)} positions, {age}"
    note = app.output.note
    note(f"{'DRILL, for real: ' if drill else ''}{settings.environment} ({settings.kind}): {counts}.")
    note("Cancels every order, closes every position at the market, halts every strategy. Trading starts again only")
    note("after a release by two persons.")
    if click.prompt(f"Type {WORD} to do it", err=True, default="", show_default=False).strip() != WORD:
        raise Declined("Nothing was done.")


def _stop(app: App, settings: StopSettings, reason: str, drill: bool, no_rechecks: bool) -> Exit:
    from opsctl.stop_lines import Lines
    from trading.stop import engine, following
    from trading.stop.plan import Timing

    lines = Lines(app.output, settings.environment)
    timing = Timing(rechecks=()) if no_rechecks else None
    actor = f"{getpass.getuser()}@{socket.gethostname()}"
    try:
        pressed = engine.press(settings, engine.Press(actor, "opsctl", reason, drill))
    except engine.DrillRefused as error:
        raise UsageProblem(f"{error}.") from None
    try:
        if pressed.joined:
            lines.joined(pressed.id)
            outcome = following.follow(
                settings,
                pressed,
                on_entry=lines.tell,
                enough=lambda outcome: no_rechecks and outcome == "FLAT",
                timing=timing,
            )
        else:
            outcome = engine.run(settings, pressed, on_entry=lines.tell, timing=timing)
    except KeyboardInterrupt:
        app.output.note("\nStopped here: this process does nothing more. The kill switch stays engaged.")
        app.output.note("  Go on with it: opsctl emergency-stop " + settings.environment)
        return Exit.INTERRUPTED
    app.output.document(outcome.state.as_json())
    lines.end(outcome.state)
    return EXITS.get(outcome.outcome, Exit.UNCONFIRMED)


def _status(app: App, settings: StopSettings) -> Exit:
    from opsctl.stop_lines import Lines, moment
    from trading.stop import journal, latch

    held, path = latch.read(settings.folder), journal.latest(settings.folder)
    state: StopState | None = journal.summary(journal.read(path)) if path else None
    document: dict[str, Any] = {"environment": settings.environment, "engaged": held is not None}
    document["latch"] = None if held is None else {name: getattr(held, name) for name in held.__slots__}
    app.output.document(document | {"last": None if state is None else state.as_json()})
    if held is None:
        app.output.say(f"{settings.environment}: the kill switch is not engaged.")
    else:
        who = held.problem or f"since {moment(held.at)} by {held.actor}{' (drill)' if held.drill else ''}"
        app.output.say(f"{settings.environment}: KILL SWITCH ENGAGED, {who}.", "crit")
    if state is not None:
        app.output.say(f"Last stop: {moment(state.pressed_at)} by {state.actor}, {state.reason or 'no reason stated'}.")
        Lines(app.output, settings.environment).end(state)
    if held is None or state is None:
        return Exit.DONE
    return EXITS.get(state.outcome, Exit.WAITING if state.still_running else Exit.UNCONFIRMED)
