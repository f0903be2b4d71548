"""``breaker``: the circuit breakers, opened by hand, their questions answered, reset."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import NOT_STATED, SAFETY_REASON, App, Command, path_part
from opsctl.errors import Exit, Forbidden, UsageProblem

QUESTIONS = ("fixed", "legitimate", "healthy")
_trip = click.argument("trip_id", metavar="TRIP", type=click.IntRange(1))


class WithDefault(click.Group):
    """``opsctl breaker`` and ``opsctl breaker ENV`` show; a name of an act does it."""

    default = "show"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, the act that shows put before them when none is named."""
        named = bool(args) and (args[0] in self.commands or args[0] in ("-h", "--help"))
        return super().parse_args(ctx, args if named or ctx.resilient_parsing else [self.default, *args])


@click.group(cls=WithDefault, context_settings={"help_option_names": ["-h", "--help"]})
def breaker() -> None:
    """Circuit breakers. Alone, or with the name of an environment, it shows them."""


@click.command(name="show", cls=Command, examples="opsctl breaker\nopsctl breaker show production --json")
@click.argument("env", required=False, shell_complete=complete.environments)
def show(app: App, env: str | None) -> Exit:
    """The breaker of each instance. Exit code 1 when one is open, or when one is not known to be closed.

    "No data" means that it was not read within five seconds: it says nothing about the breaker.
    """
    names = [env] if env else [one["name"] for one in app.listed("environments/", 200)]
    found = [app.get(f"environments/{path_part(name)}/circuit-breaker/") for name in names]
    app.output.document({"environments": found})
    rows, notes, all_closed = [], [], True
    for place in found:
        for one in place["breakers"]:
            trip = one["trip"] or {}
            all_closed = all_closed and one["state"] == "closed"
            state = render.status("breaker", one["state"])
            rows.append((place["environment"], one["instance"], state, trip.get("id"), trip.get("reason", "")))
            notes += _notes(trip)
    if rows:
        app.output.say_all(render.table(("ENVIRONMENT", "INSTANCE", "BREAKER", "TRIP", "REASON"), rows))
    else:
        app.output.say("No slot runs here, so there is no breaker.")
    app.output.say_all(notes)
    return Exit.DONE if all_closed else Exit.FAILED


def _notes(trip: dict[str, Any]) -> list[str]:
    if not trip:
        return []
    against = [f"  {text}" for text in trip["objections"]]
    return (
        ["", f"Trip {trip['id']}, {render.clock(trip['tripped_at'])}. Before its reset:", *against] if against else []
    )


@click.command(name="trip", cls=Command, examples='opsctl breaker trip production --reason "Odd fills since 14:02"')
@click.argument("env", shell_complete=complete.environments)
@click.option("--reason", metavar="TEXT", help=SAFETY_REASON)
def trip(app: App, env: str, reason: str | None) -> None:
    """Stop trading by opening the breaker. Asks nothing; told as done only when it was read back as halted.

    Positions and resting orders stay as they are: opsctl emergency-stop closes them, too.
    """
    done = app.post(f"environments/{path_part(env)}/circuit-breaker/trip/", {"reason": reason or NOT_STATED})
    app.output.document({"trips": done})
    for one in done:
        app.output.say(f"✓ {one['instance']} is halted, its breaker open (trip {one['id']}).")


@click.command(
    name="answer",
    cls=Command,
    examples="""
opsctl breaker answer 7 --fixed "yes: feed mended" --legitimate "yes: real prices" --healthy "yes: all pass"
""",
)
@_trip
@click.option("--fixed", metavar="ANSWER", help="Is the issue fixed? yes or no, a colon, and what it rests on.")
@click.option("--legitimate", metavar="ANSWER", help="Were the losses legitimate?")
@click.option("--healthy", metavar="ANSWER", help="Is the system healthy?")
def answer(app: App, trip_id: int, **given: str | None) -> Exit:
    """Answer the three questions before a reset. They are kept with what the console sees."""
    answers = {key: _answer(app, key, given[key]) for key in QUESTIONS}
    done = app.post(f"breakers/{trip_id}/validate/", {"answers": answers})
    app.output.document(done)
    if done["objections"]:
        app.output.say_all([f"! {text}" for text in done["objections"]])
        return Exit.REFUSED
    app.output.say(f"✓ Kept. A person resets it: {app.settings.url}/breakers/{trip_id}/")
    return Exit.DONE


def _answer(app: App, key: str, given: str | None) -> dict[str, str]:
    text = app.output.ask(given, f"{key.capitalize()}? (yes or no: what it rests on)", f"--{key}")
    said, _, note = text.partition(":")
    if said.strip().lower() not in ("yes", "no") or not note.strip():
        raise UsageProblem(f'--{key} is "yes: what it rests on" or "no: what is wrong", not {text!r}.')
    return {"answer": said.strip().lower(), "note": note.strip()}


@click.command(name="reset", cls=Command, examples='opsctl breaker reset 7 --reason "Feed mended"')
@_trip
@click.option("--reason", metavar="TEXT", help="Why; kept in the audit trail.")
def reset(app: App, trip_id: int, reason: str | None) -> None:
    """Say what stands against a reset, and where it is done: it takes a passkey or a code, on the page."""
    path = f"breakers/{trip_id}/reset/"
    done = on_the_page(app, path, {"reason": reason or NOT_STATED}, f"/breakers/{trip_id}/")
    app.output.document(done)


def on_the_page(app: App, path: str, body: dict[str, Any], page: str) -> Any:
    """Post what takes a fresh proof; the refusal says on which page a person gives it."""
    try:
        return app.post(path, body)
    except Forbidden as error:
        if error.problem.get("code") == "step_up_required":
            error.todo = f"Open {app.settings.url}{page}"
        raise


for command in (show, trip, answer, reset):
    breaker.add_command(command)
