"""``rollback-report``: what was taken back and why, shown and written."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import App, Command
from opsctl.errors import Refused

MANY = 200
SHOWN = 120
QUESTIONS = {
    "what_failed": ("--what", "What failed"),
    "why_rollback": ("--why", "Why the rollback was needed"),
    "prevention": ("--prevention", "How it is prevented"),
}
OWED = "owed"
_which = click.argument("deployment", type=click.IntRange(1), shell_complete=complete.deployments)


@click.group(name="rollback-report", context_settings={"help_option_names": ["-h", "--help"]})
def rollback_report() -> None:
    """The report after a rollback: what failed, why, and how to prevent it."""


@rollback_report.command(
    cls=Command,
    examples="opsctl rollback-report show\nopsctl rollback-report show --all\nopsctl rollback-report show 42",
)
@click.argument("deployment", required=False, type=click.IntRange(1), shell_complete=complete.deployments)
@click.option("--all", "everything", is_flag=True, help="Also those that are complete.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many, owed ones first.")
def show(app: App, deployment: int | None, everything: bool, limit: int) -> None:
    """The reports that are owed, or the one of a deployment: the one taken back, or its rollback."""
    if deployment is not None:
        found = _report(app, deployment)
        app.output.document(found)
        app.output.say_all(details(found))
        return
    listed = app.listed("rollback-reports/", limit, state=None if everything else OWED)
    app.output.document({"reports": listed})
    if not listed:
        app.output.say("No rollback yet." if everything else "No rollback report is owed.")
        return
    rows = [
        (
            one["deployment"],
            one["state"],
            one["environment"],
            f"{one['release']} back to {one['back_to']}",
            one["asked_by"],
            render.clock(one["created_at"]),
            render.one_line(one["what_failed"])[:SHOWN],
        )
        for one in listed
    ]
    headers = ("DEPLOYMENT", "STATE", "ENVIRONMENT", "TAKEN BACK", "BY", "AT", "WHAT FAILED")
    app.output.say_all(render.table(headers, rows))
    app.output.say()
    app.output.say("Write one: opsctl rollback-report write DEPLOYMENT")


@rollback_report.command(
    cls=Command,
    examples="""
opsctl rollback-report write 42
opsctl rollback-report write 42 --what "Errors" --why "Orders failed" --prevention "A test"
opsctl rollback-report write 42 --what "Errors in signals" --draft
""",
)
@_which
@click.option("--what", "what_failed", metavar="TEXT", help="What failed.")
@click.option("--why", "why_rollback", metavar="TEXT", help="Why the rollback was needed.")
@click.option("--prevention", metavar="TEXT", help="How it is prevented from now on.")
@click.option("--draft", is_flag=True, help="Keep what is given; it stays owed.")
def write(app: App, deployment: int, draft: bool, **given: str | None) -> None:
    """Write the report of a deployment that was taken back, and complete it.

    An answer that is not given is the one that was kept before, else it is asked for; the measurements propose text
    for the first two. --draft keeps what is given, and asks nothing.
    """
    found = _report(app, deployment)
    if found["state"] != OWED:
        by, at = found["completed_by"], render.clock(found["completed_at"])
        raise Refused(f"{by} completed it at {at}: nothing was done.", "An Admin can reopen it on its page.")
    answers = {name: text for name, text in given.items() if text}
    if not draft:
        answers |= {name: _asked(app, found, name) for name in QUESTIONS if name not in answers}
    body = {"revision": found["revision"], **answers}
    path = f"rollback-reports/{found['id']}/"
    done = app.patch(path, body) if draft else app.post(f"{path}complete/", body)
    app.output.document(done)
    if draft:
        app.output.say(f"Kept as a draft. Deployment {done['deployment']} still owes its report.")
    else:
        app.output.say(f"Complete: the report of deployment {done['deployment']} ({done['release']}).")


def _asked(app: App, found: dict[str, Any], name: str) -> str:
    option, question = QUESTIONS[name]
    if found[name]:
        return str(found[name])
    if proposed := (found["proposed"] or {}).get(name):
        app.output.note(f"Measured: {proposed}")
    return app.output.ask(None, question, option)


def _report(app: App, deployment: int) -> dict[str, Any]:
    listed = app.listed("rollback-reports/", 1, deployment=deployment)
    if not listed:
        raise Refused(
            f"Deployment {deployment} has no rollback report: it was not taken back, or you may not see it.",
            "opsctl rollback-report show --all lists them.",
        )
    found: dict[str, Any] = app.get(f"rollback-reports/{listed[0]['id']}/")
    return found


def details(found: dict[str, Any]) -> list[str]:
    """One report: who, how long, which rules, and what was written."""
    facts = found["facts"]
    by = f", {found['completed_by']}, {render.clock(found['completed_at'])}" if found["completed_by"] else ""
    lines = [
        f"Report       of deployment {found['deployment']}, {found['environment']}: {found['state']}{by}",
        f"Taken back   {found['release']} to {found['back_to']} by deployment {found['rollback']}, "
        f"asked for by {found['asked_by']}, {render.clock(found['created_at'])}",
    ]
    known = [one for one in facts["times"] if one["seconds"] is not None]
    lines += [f"{one['title']:13}{one['seconds']:.1f} s, {one['counted']}" for one in known]
    lines += [f"Rule         {one['name']}: {render.one_line(one['reason'])}" for one in facts["rules"]]
    for name, (_, question) in QUESTIONS.items():
        lines += ["", f"{question}:", *(found[name].splitlines() or ["  not written yet"])]
    return lines
