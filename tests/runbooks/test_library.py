"""The files of runbooks: those that come with the console, a user's own, and broken ones that hide no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.actions import raise_alert
from alerts.offers import at
from environments import evidence, remedies
from runbooks import library, runbook_checks
from tests.runbooks.books import make_run, text

ROOT = Path(__file__).resolve().parents[2]
NEEDED = {
    *("system-will-not-start", "high-latency", "positions-not-reconciling", "circuit-breaker"),
    *("emergency-stop", "manual-position-closure", "database-corruption"),
}
"""Parts 8 and 9 of the specification."""
PLAIN = "## 1. Look\n\n- Check: alerts.open\n"


@pytest.fixture
def folder(settings, tmp_path) -> Path:
    """A user's folder."""
    settings.OPSC_RUNBOOKS = [tmp_path]
    return tmp_path


def test_every_file_of_the_library_can_be_used():
    found = library.entries()
    assert {one.slug for one in found} >= NEEDED
    assert [problem for one in found for problem in one.problems] == []


def test_every_name_in_the_library_is_known():
    steps = [step for book in library.all() for step in book.steps]
    checks = {one.name for step in steps for one in step.diagnostics if one.command is None}
    assert checks and checks <= set(evidence.providers())
    fixes = {one.name for step in steps for one in step.remedies}
    assert fixes and fixes <= set(remedies.remedies())


def test_a_file_of_the_user_is_added_and_read_again_when_it_changes(folder):
    before = len(library.all())
    file = folder / "lamp.md"
    file.write_text(text(body=PLAIN))
    assert library.find("lamp").steps[0].title == "Look" and len(library.all()) == before + 1
    assert library.find("lamp") is library.find("lamp")  # not read again for nothing
    file.write_text(text(body=PLAIN.replace("Look", "Listen")))
    assert library.find("lamp").steps[0].title == "Listen"
    file.unlink()
    assert library.find("lamp") is None


def test_a_file_of_the_user_replaces_the_library_s(folder):
    (folder / "mine.md").write_text(text("high-latency", PLAIN))
    assert library.find("high-latency").title == "The lamp is dark"
    (replaced,) = [one for one in library.entries() if one.is_replaced]
    assert replaced.source == "runbooks/library/high-latency.md" and replaced.problems == ()
    assert [one.slug for one in library.all()].count("high-latency") == 1


def test_broken_files_are_named_and_hide_nothing(folder):
    (folder / "one.md").write_text(text("high-latency", "## 1. Look\n\n- If no: step 9\n"))
    (folder / "two.md").write_bytes(b"\xff\xfe")
    (folder / "three.md").write_text(text("third", "## 1. Look\n\n- Check: alerts.opne\n"))
    (folder / "four.md").write_text(text("third", PLAIN))
    (folder / "five.md").symlink_to(folder / "gone.md")
    (folder / "note.txt").write_text("no runbook")
    assert library.find("high-latency").title != "The lamp is dark"
    problems = [problem.removeprefix(f"{folder}/") for one in library.broken() for problem in one.problems]
    assert sorted(problems) == [
        "five.md: No such file or directory.",
        "one.md, line 13: There is no step 9; the last one is 1.",
        "three.md, line 13: there is no evidence “alerts.opne”. Do you mean alerts.open?",
        f"three.md: {folder}/four.md is used.",
        "two.md: is not UTF-8 (byte 0).",
    ]
    assert [one.msg for one in runbook_checks.runbooks_can_be_used(None)] == [
        problem for one in library.broken() for problem in one.problems
    ]


def test_a_folder_that_is_not_there_is_named(settings, tmp_path):
    settings.OPSC_RUNBOOKS = [tmp_path / "gone"]
    assert [one.problems for one in library.broken()] == [
        (f"{tmp_path}/gone: cannot be read (No such file or directory).",)
    ]
    assert library.all()


def test_a_name_that_is_unknown_leaves_the_runbook_usable(folder):
    (folder / "lamp.md").write_text(text(body="## 1. Look\n\n- Check: lamps.lit\n- Fix: lamps.light\n"))
    (entry,) = library.broken()
    assert entry.runbook is not None and library.find("lamp") is entry.runbook
    assert ["lamps.lit" in entry.problems[0], "lamps.light" in entry.problems[1]] == [True, True]


@pytest.mark.django_db
def test_an_alert_offers_the_runbook_that_fits_best_and_the_run_under_way(folder, production, operator):
    alert = raise_alert("mismatch", "production", severity="critical", title="BTC differs", environment=production)
    assert [one.slug for one in library.for_alert(alert)] == ["positions-not-reconciling"]
    closer = text(body=PLAIN).replace("alerts: [mismatch]", "alerts: [{kind: mismatch, key: 'production*'}]")
    (folder / "lamp.md").write_text(closer)
    assert [one.slug for one in library.for_alert(alert)] == ["lamp", "positions-not-reconciling"]
    offered = at(operator, alert)
    assert offered[0].title == "Runbook: The lamp is dark"
    assert offered[0].link == f"/runbooks/lamp/?alert={alert.pk}&environment=production"
    run = make_run(production, operator, alert=alert)
    offered = at(operator, alert)
    assert [one.link.split("?")[0] for one in offered] == [
        f"/runbook-runs/{run.pk}/",
        "/runbooks/positions-not-reconciling/",
    ]
    assert offered[0].detail == f"Step 1 of 3, {operator.display_name}"


@pytest.mark.django_db
def test_the_pages_of_an_alert_and_of_a_deployment_lead_to_runbooks(client, operator, deployment_of, production):
    alert = raise_alert("breaker", "production", severity="critical", title="It tripped", environment=production)
    client.force_login(operator)
    assert "/runbooks/circuit-breaker/?alert=" in client.get(f"/alerts/{alert.pk}/").content.decode()
    made = deployment_of("failed")
    address = f"/runbooks/system-will-not-start/?deployment={made.pk}&amp;environment=production"
    assert address in client.get(f"/deployments/{made.pk}/").content.decode()


@pytest.fixture
def deployment_of(production, release, admin):
    """A deployment to production as the engine leaves it in a status."""
    from tests.api.matrix_things import make_deployment

    return lambda status: make_deployment(status, production, release, admin)


def test_the_documented_form_is_the_form():
    example = (ROOT / "runbooks/library/README.md").read_text().split("```markdown\n")[1].split("\n```\n")[0]
    book = library.parse(example.replace("If yes: step 3", "If yes: end"))
    assert book.slug == "high-latency" and book.steps[0].diagnostics[1].command.run == ["df", "-h"]
    assert not [one for one in library.entries() if "README" in one.source]
