"""``report``: what a build system, or a person, reports about a release; the deployment gate asks for it."""

from __future__ import annotations

from typing import Any

import click

from opsctl import complete, render
from opsctl.commands.common import App, Command
from opsctl.errors import Exit, UsageProblem

SHOWN = 50


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def report() -> None:
    """Report tests, a review or benchmarks of a release. The newest report of a kind counts.

    Name the release by its version, or with --digest the artifact, also before its release is registered.
    """


_VERSION = click.argument("version", required=False, shell_complete=complete.versions)
_DIGEST = click.option("--digest", metavar="sha256:…", help="The artifact, instead of the version of its release.")
_SERVICE = click.option("--service", metavar="NAME", help="Needed when there are several services.")
_SUMMARY = click.option("--summary", metavar="TEXT", help="What was found, in a line.")
_URL = click.option("--report-url", metavar="URL", help="Where the whole report is.")


@click.command(
    cls=Command,
    examples="""
opsctl report tests v1.2.5 --passed 412 --failed 0
opsctl report tests --digest sha256:… --passed 412 --report-url https://ci.example.com/4711
""",
)
@_VERSION
@click.option("--passed", type=click.IntRange(0), required=True, metavar="N", help="How many tests passed.")
@click.option("--failed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="How many failed.")
@click.option("--skipped", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Were left out.")
@_DIGEST
@_SERVICE
@_SUMMARY
@_URL
def tests(app: App, passed: int, failed: int, skipped: int, summary: str | None, **given: Any) -> Exit:
    """Report the tests of a build. It passes when none failed and at least one passed."""
    words = summary or f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")
    data = {"passed": passed, "failed": failed, "skipped": skipped}
    return _send(app, "tests", passed > 0 and failed == 0, words, data, **given)


@click.command(
    cls=Command,
    examples="""
opsctl report review v1.2.5 --author "Ann Lee" --reviewer "Bob Ray"
opsctl report review v1.2.5 --author "Ann Lee" --reviewer "Bob Ray" --changes-requested
""",
)
@_VERSION
@click.option("--author", required=True, metavar="NAME", help="Who wrote the change.")
@click.option("--reviewer", "reviewers", required=True, multiple=True, metavar="NAME", help="Who reviewed; repeat it.")
@click.option("--changes-requested", is_flag=True, help="The review did not let it pass.")
@_DIGEST
@_SERVICE
@_SUMMARY
@_URL
def review(
    app: App,
    author: str,
    reviewers: tuple[str, ...],
    changes_requested: bool,
    summary: str | None,
    **given: Any,
) -> Exit:
    """Report the review of a change. The reviewer must be somebody else than the author."""
    verdict = "Changes requested by" if changes_requested else "Reviewed by"
    data = {"author": author, "reviewers": list(reviewers)}
    return _send(app, "review", not changes_requested, summary or f"{verdict} {', '.join(reviewers)}", data, **given)


@click.command(
    cls=Command,
    examples="""
opsctl report benchmarks v1.2.5 --ok --summary "p99 3.1 ms, before 3.0 ms"
opsctl report benchmarks v1.2.5 --not-ok --summary "p99 19 ms, before 3.0 ms" --figure p99_ms=19
""",
)
@_VERSION
@click.option("--ok/--not-ok", "passed", default=None, help="Whether they are acceptable.")
@click.option("--figure", "figures", multiple=True, metavar="NAME=NUMBER", help="A measured figure; repeat it.")
@_DIGEST
@_SERVICE
@_SUMMARY
@_URL
def benchmarks(app: App, passed: bool | None, figures: tuple[str, ...], summary: str | None, **given: Any) -> Exit:
    """Report the benchmarks of a build: whether they are acceptable, and what was measured."""
    if passed is None:
        raise UsageProblem("Whether the benchmarks are acceptable is not said.", "Add --ok or --not-ok.")
    data = dict(_figure(one) for one in figures)
    words = summary or ", ".join(figures)
    if not words:
        raise UsageProblem("What was measured is not said.", "Add --summary TEXT or --figure NAME=NUMBER.")
    return _send(app, "benchmarks", passed, words, data, **given)


@click.command(name="list", cls=Command, examples="opsctl report list v1.2.5\nopsctl report list v1.2.5 --json")
@_VERSION
def list_reports(app: App, version: str | None) -> Exit:
    """What was reported, newest first; about one release, or about all."""
    found = app.listed("test-reports/", SHOWN, release=version)
    app.output.document({"reports": found})
    if not found:
        app.output.say("Nothing was reported.")
        return Exit.DONE
    rows = [
        (
            one["kind"],
            "passed" if one["passed"] else "NOT PASSED",
            render.clock(one["reported_at"]),
            one["reported_by"],
            one["digest"][:19],
            render.one_line(one["summary"]),
        )
        for one in found
    ]
    app.output.say_all(render.table(("KIND", "RESULT", "REPORTED", "BY", "ARTIFACT", "FOUND"), rows))
    return Exit.DONE


def _figure(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not name or number != number or number in (float("inf"), float("-inf")):
        raise UsageProblem(f"{text!r} is no figure.", "Write NAME=NUMBER, for example p99_ms=3.1.")
    return name, number


def _send(
    app: App,
    kind: str,
    passed: bool,
    summary: str,
    data: dict[str, Any],
    *,
    version: str | None,
    digest: str | None,
    service: str | None,
    report_url: str | None,
) -> Exit:
    if (version is None) == (digest is None):
        raise UsageProblem("Which build is meant is not clear.", "Name the version of a release, or give --digest.")
    about = {"release": version} if version is not None else {"digest": digest}
    body: dict[str, Any] = {**about, "kind": kind, "passed": passed, "summary": summary, "data": data}
    body |= {"url": report_url} if report_url else {}
    body |= {"service": service} if service else {}
    made = app.post("test-reports/", body)
    app.output.document(made)
    result = "passed" if made["passed"] else "not passed"
    app.output.say(
        f"Reported for {version or made['digest'][:19]}: {kind} {result}. {render.one_line(made['summary'])}"
    )
    return Exit.DONE


for _command in (tests, review, benchmarks, list_reports):
    report.add_command(_command)
