"""``positions``, ``orders``, ``close``, ``cancel``, ``reconcile``: the account from both sides, and acts by hand."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import NOT_STATED, REASON, SAFETY_REASON, App, Command, path_part
from opsctl.errors import Exit, OpsctlError, UsageProblem

_where = click.argument("env", required=False, shell_complete=complete.environments)
_env = click.option("--env", metavar="ENV", shell_complete=complete.environments, help="Where.")
_direct = click.option("--direct", is_flag=True, help="At the exchange itself, not through the trading system.")
KINDS = {
    "size": "another size",
    "side": "the other side",
    "missing_internal": "unknown to the system",
    "missing_exchange": "not at the exchange",
}
PLACES = {"both": "both", "system": "not at the exchange", "exchange": "unknown to the system"}


@click.command(cls=Command, examples="opsctl positions\nopsctl positions production --json")
@_where
def positions(app: App, env: str | None) -> Exit:
    """What the trading system keeps and what the exchange says, read now.

    Without ENV it is production. Exit code 1 when the exchange cannot be read: then nothing is known of what is open.
    """
    name = env or _usual(app)
    found = app.get(f"environments/{path_part(name)}/positions/")
    app.output.document(found)
    rows = [
        (
            one["symbol"],
            _size(one["system"]),
            _size(one["exchange"]),
            KINDS.get(one["difference"] or "", "equal" if found["system"]["ok"] and found["exchange"]["ok"] else "?"),
            *(_first(one, member) for member in ("entry_price", "mark_price", "unrealized_pnl")),
        )
        for one in found["positions"]
    ]
    if rows:
        headers = ("SYMBOL", "SYSTEM", "EXCHANGE", "AGREEMENT", "ENTRY", "MARK", "PNL USD")
        app.output.say_all(render.table(headers, rows))
    return _sides(app, found, rows, "position")


@click.command(cls=Command, examples="opsctl orders\nopsctl orders staging --json")
@_where
def orders(app: App, env: str | None) -> Exit:
    """The open orders of both sides, read now, trigger orders included.

    Without ENV it is production. Exit code 1 when the exchange cannot be read.
    """
    name = env or _usual(app)
    found = app.get(f"environments/{path_part(name)}/orders/")
    app.output.document(found)
    rows = [
        (
            one["id"],
            one["symbol"],
            one["side"],
            one["kind"],
            one["size"],
            one["price"],
            render.clock(one["placed_at"]),
            PLACES.get(one["where"], "?"),
        )
        for one in found["orders"]
    ]
    if rows:
        headers = ("ORDER", "SYMBOL", "SIDE", "KIND", "SIZE LEFT", "PRICE", "PLACED", "AGREEMENT")
        app.output.say_all(render.table(headers, rows))
    return _sides(app, found, rows, "order")


@click.command(
    cls=Command,
    examples='opsctl close BTC --env production\nopsctl close BTC --env production --direct --reason "Risk"',
)
@click.argument("symbol")
@_env
@_direct
@click.option("--reason", metavar="TEXT", help=SAFETY_REASON)
def close(app: App, symbol: str, env: str | None, direct: bool, reason: str | None) -> Exit:
    """Close one position at the market. Asks nothing, works while the kill switch is engaged.

    The order can only reduce. What is left is read back at the exchange: exit code 0 only when nothing is. When the
    trading system does not answer or refuses, add --direct.
    """
    path = f"environments/{path_part(_named(app, env))}/positions/{path_part(symbol)}/close/"
    return _act(app, path, {"reason": reason or NOT_STATED}, direct)


@click.command(
    cls=Command,
    examples="""
opsctl cancel --env production --order 77
opsctl cancel --env production --symbol BTC
opsctl cancel --env production --direct --yes
""",
)
@_env
@click.option("--symbol", metavar="SYMBOL", help="Only those of this symbol.")
@click.option("--order", metavar="ID", help="Only this one.")
@_direct
@click.option("--reason", metavar="TEXT", help=SAFETY_REASON)
@click.option("--yes", "-y", is_flag=True, help="Do not ask before every order is cancelled.")
def cancel(
    app: App, env: str | None, symbol: str | None, order: str | None, direct: bool, reason: str | None, yes: bool
) -> Exit:
    """Cancel one order, those of a symbol, or all; works while the kill switch is engaged.

    Without --order and --symbol it is every open order, those that protect a position included; only that is asked
    about. Exit code 0 only when none is left at the exchange.
    """
    if order and symbol:
        raise UsageProblem("Both --order and --symbol are given.", "Name one order, or a symbol.")
    name = _named(app, env)
    if not order and not symbol:
        app.output.confirm(f"Cancel every open order in {name}, those that protect a position included?", yes=yes)
    meant = {member: value for member, value in (("order", order), ("symbol", symbol)) if value}
    return _act(
        app, f"environments/{path_part(name)}/orders/cancel/", {"reason": reason or NOT_STATED, **meant}, direct
    )


@click.command(
    cls=Command,
    examples="""
opsctl reconcile production
opsctl reconcile production --adopt BTC --reason "Missed fill"
opsctl reconcile production --adopt-all --reason "Closed by hand at the exchange"
""",
)
@_where
@click.option(
    "--adopt", "symbols", multiple=True, metavar="SYMBOL", help="Take over this one; may be given repeatedly."
)
@click.option("--adopt-all", is_flag=True, help="Take over every position that differs.")
@click.option("--reason", metavar="TEXT", help=REASON)
def reconcile(app: App, env: str | None, symbols: tuple[str, ...], adopt_all: bool, reason: str | None) -> Exit:
    """Compare the system's positions with the exchange's; with --adopt let the system take over the exchange's.

    Without ENV it is production to compare; to take over, name it. A difference counts when two reads one second
    apart show it. Exit code 1 when something differs, or could not be compared; after a take-over, when it failed.
    """
    if symbols and adopt_all:
        raise UsageProblem("Both --adopt and --adopt-all are given.", "Name symbols, or take over all.")
    body: dict[str, Any] = {}
    if symbols or adopt_all:
        name = _named(app, env)
        body = {
            "symbols": "all" if adopt_all else list(symbols),
            "reason": app.output.ask(reason, "Reason", "--reason"),
        }
    else:
        name = env or _usual(app)
    found = app.shown(app.client.post(f"environments/{path_part(name)}/reconciliation/", body, once=True))
    app.output.document(found)
    latest = found["latest"]
    if latest["adopted"]:
        app.output.say(f"✓ Taken over and read back: {', '.join(latest['adopted'])}.")
    if latest["verdict"] == "no_data":
        app.output.say(f"? Not compared: {latest['detail']}", "unknown")
        return Exit.FAILED
    if latest["verdict"] == "pass":
        app.output.say(f"✓ System and exchange agree in {name}, {render.clock(latest['at'])}.")
        return Exit.DONE
    _tell_differences(app, name, latest)
    return Exit.DONE if latest["adopted"] else Exit.FAILED


def _tell_differences(app: App, name: str, latest: dict[str, Any]) -> None:
    differences = latest["differences"]
    app.output.say(f"✗ {len(differences)} differ in {name}, {render.clock(latest['at'])}.", "crit")
    rows = [
        (one["symbol"], one["internal"], one["exchange"], one["delta"], KINDS.get(one["class"], one["class"]))
        for one in differences
    ]
    app.output.say_all(render.table(("SYMBOL", "SYSTEM", "EXCHANGE", "DIFFERENCE", "CLASS"), rows))
    app.output.say(f"Take over the exchange's: opsctl reconcile {name} --adopt SYMBOL, or --adopt-all")


def _act(app: App, path: str, body: dict[str, Any], direct: bool) -> Exit:
    """Ask once, without trying again by itself: each try is an act on record, and whoever acts decides on the next."""
    try:
        found = app.shown(app.client.post(path, {**body, "via": "exchange" if direct else "system"}, once=True))
    except OpsctlError as error:
        if not direct and error.problem.get("code") in ("unreachable", "wrong_state"):
            error.todo = "Look: opsctl positions, opsctl orders. At the exchange itself: the same with --direct"
        raise
    app.output.document(found)
    if found["done"]:
        app.output.say(f"✓ {found['detail']}")
        return Exit.DONE
    app.output.say(f"✗ {found['detail']}", "crit")
    app.output.note("To do: look with opsctl positions and opsctl orders, then try again; directly: --direct")
    return Exit.FAILED


def _sides(app: App, found: dict[str, Any], rows: list[Any], noun: str) -> Exit:
    """How each side was read; what an empty list means."""
    for word, side in (("System", found["system"]), ("Exchange", found["exchange"])):
        if not side["ok"]:
            app.output.say(f"? {word}: no data. {side['detail']}", "unknown")
    if not found["exchange"]["ok"]:
        app.output.say(f"Nothing is known of what is open at the exchange in {found['environment']}.", "warn")
        return Exit.FAILED
    if not rows:
        app.output.say(f"No open {noun} in {found['environment']}.")
    return Exit.DONE


def _usual(app: App) -> str:
    """The environment to look at when none is named: production, else the first."""
    seen = app.listed("environments/", 200)
    if not seen:
        raise UsageProblem("You see no environment here.", "An Admin gives you a role.")
    return str(next((one for one in seen if one["kind"] == "production"), seen[0])["name"])


def _named(app: App, env: str | None) -> str:
    """The environment to act in; one that is not named is only taken when there is no other."""
    if env:
        return env
    names = [one["name"] for one in app.listed("environments/", 200)]
    if len(names) != 1:
        raise UsageProblem(f"Where? You see {' and '.join(names) or 'no environment'}.", "Add --env ENV.")
    return str(names[0])


def _size(side: dict[str, Any] | None) -> str:
    return "no data" if side is None else str(side["size"])


def _first(position: dict[str, Any], member: str) -> str | None:
    """What the exchange says, else the system."""
    found = [side[member] for side in (position["exchange"], position["system"]) if side and side[member] is not None]
    return found[0] if found else None
