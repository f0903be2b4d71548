"""The pages of runbooks: the library, a run from its first step to its report by plain forms, and who may do what."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import Resolver404, resolve

from environments import evidence, remedies
from environments.evidence import Provider, Reading, Verdict
from environments.remedies import Remedy
from runbooks import library, runbook_actions, runbook_live
from runbooks.models import RunbookRun, StepOutput

TEXT = """---
slug: dark-room
title: Dark room
summary: The light is out.
symptoms: [Nothing is to be seen.]
alerts: [mismatch]
commands:
  echo: {title: The bulb's own words, run: [echo, "{environment} glows"]}
---

## 1. Look at the bulb

Touch it **gently**.

```sh
opsctl status {environment}
```

- Check: test.light
- Check command: echo
- Expect: It is warm.
- If no: step 3, it is broken

## 2. Look at the switch

- Expect: It is on.
- If yes: end

## 3. Change the bulb

- Fix: test.change
- Fix: test.house
- Link: /positions/?environment={environment} Positions of {environment}
- Expect: The light is on.
"""


@pytest.fixture(autouse=True)
def books(settings, tmp_path, monkeypatch):
    """A runbook of our own beside the library, with a check and two fixes that are known here alone."""
    folder = tmp_path / "books"
    folder.mkdir()
    (folder / "dark-room.md").write_text(TEXT)
    settings.OPSC_RUNBOOKS = [folder]
    read = Provider("test.light", "Light", lambda subject: Reading("0 lux", Verdict.FAIL, "/alerts/", "dark\ndarker"))
    monkeypatch.setitem(evidence._providers, "test.light", read)
    change = Remedy(
        "test.change", "Change the bulb", "deploy_environment", lambda subject: "1 bulb goes out", run=changed
    )
    house = Remedy(
        "test.house", "Build a house", "run_checklists", lambda subject: "", page=lambda subject: "/environments/"
    )
    monkeypatch.setitem(remedies._remedies, "test.change", change)
    monkeypatch.setitem(remedies._remedies, "test.house", house)
    return folder


def changed(actor, subject, reason):
    return f"Changed in {subject.environment.name}"


@pytest.fixture
def browser():
    """A client in which a person is signed in."""

    def make(user):
        client = Client()
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return make


@pytest.fixture
def run(production, operator, actor_of):
    """A run of the operator in production, at its first step."""
    return runbook_actions.start(actor_of(operator), production, "dark-room")


def words(response) -> str:
    """What a person reads, without tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", response.content.decode()))


def press(client, run, act, **fields):
    """Send a form of the run's page as it is now; the page that follows."""
    run.refresh_from_db()
    fields.setdefault("revision", run.revision)
    return client.post(f"/runbook-runs/{run.pk}/{act}/", fields, follow=True)


def test_the_library_is_chosen_by_symptom_and_a_broken_file_hides_no_other(browser, operator, books):
    (books / "bad.md").write_text("---\nslug: bad\ntitle: Bad\nsummary: Bad\n---\n## 2. Second\n")
    client = browser(operator)
    text = words(client.get("/runbooks/"))
    assert "Dark room" in text and "Nothing is to be seen." in text and "High latency" in text
    assert "bad.md, line 6: Begin this step with “## 1. Second”" in text
    assert "No run has ended yet." in text
    assert "This runbook cannot be used." in words(client.get("/runbooks/bad/"))
    assert client.get("/runbooks/none/").status_code == 404


def test_it_is_read_with_the_environment_filled_in_and_started_where_one_may(browser, operator, developer, person):
    text = words(browser(operator).get("/runbooks/dark-room/?environment=production"))
    assert "1. Look at the bulb" in text and "opsctl status production" in text and "Check: Light" in text
    assert "If no: step 3 , it is broken" in text and "If yes: the end" in text and "Fix: Change the bulb" in text
    hers = browser(developer).get("/runbooks/dark-room/").content.decode()
    assert '<option value="staging"' in hers and '<option value="production"' not in hers
    assert "You may read it." in words(browser(person("nora", None)).get("/runbooks/dark-room/"))


def test_a_run_by_plain_forms_from_the_first_step_to_the_report(browser, admin, production):
    client = browser(admin)
    assert client.post("/runbooks/dark-room/start/", {"environment": ""}).status_code == 400
    page = client.post("/runbooks/dark-room/start/", {"environment": "production"}, follow=True)
    run = RunbookRun.objects.get()
    assert "Step 1 of 3" in words(page) and "Failed , if no: go to step 3, “Change the bulb” (it is broken)" in words(
        page
    )
    assert "<strong>gently</strong>" in page.content.decode()
    fields = re.findall(r'<(?:textarea|select) id="([\w-]+)" name="(\w+)"', main(page))
    assert sorted(fields) == [
        ("early-summary", "text"),
        ("notes-text", "text"),
        ("reason-abandon", "reason"),
        ("reason-failed", "reason"),
        ("reason-skip", "reason"),
        ("skip-to", "to"),
    ]
    page = press(client, run, "check", name=["test.light", "command:echo"])
    assert "Not as expected Light 0 lux" in words(page) and "dark darker" in words(page)
    assert "production glows" in words(page)
    page = press(client, run, "failed", reason="It is cold")
    assert "Step 3 of 3" in words(page) and "Failed Ada Admin" in words(page)
    assert 'href="/positions/?environment=production"' in page.content.decode()
    asked = client.get(f"/runbook-runs/{run.pk}/?confirm=confirm-fix-test.change")
    assert "1 bulb goes out" in words(asked) and "<dialog" in asked.content.decode()
    assert "1 bulb goes out" not in words(page), "what it would do is asked when somebody wants to know"
    assert "Changed in production" in words(press(client, run, "remedy", name="test.change", reason="Dark"))
    assert "All steps are behind you" in words(press(client, run, "done"))
    page = press(client, run, "finish", text="")
    assert page.status_code == 400 and "Say whether it is resolved" in words(page)
    page = press(client, run, "finish", text="A bulb. Changed.", resolved="yes")
    text = words(page)
    assert "Resolved" in text and "A bulb. Changed." in text and "It is cold" in text and "0 lux" in text
    assert "form-done" not in page.content.decode()
    sheet = client.get(f"/runbook-runs/{run.pk}/?print=1")
    assert "Done by (name, UTC time, signature)" in words(sheet) and "Fix: Change the bulb" in words(sheet)
    assert 'class="qr"' in sheet.content.decode() and f"/runbook-runs/{run.pk}/" in words(sheet)
    assert "A bulb. Changed." in words(client.get(f"/runbook-runs/{run.pk}/parts/?part=run"))
    assert "Resolved" in words(client.get("/runbooks/"))


def test_nothing_is_lost_when_a_form_is_refused(browser, operator, admin, run):
    client = browser(operator)
    page = press(client, run, "failed", reason=" ")
    assert page.status_code == 400 and "Say what was not as expected." in words(page)
    assert re.search(r'<dialog[^>]*id="confirm-failed"[^>]* open', page.content.decode())
    page = press(client, run, "skip", reason="No switch here", to="1")
    assert page.status_code == 400 and "No switch here" in page.content.decode()
    page = press(client, run, "done", revision=run.revision + 7)
    assert page.status_code == 409 and "Nothing was done." in words(page)
    page = press(browser(admin), run, "done")
    assert page.status_code == 409 and "Otto Operator has control of this run." in words(page)
    run.refresh_from_db()
    assert (run.step, run.revision) == (1, 0)
    assert client.get(f"/runbook-runs/{run.pk}/done/").url == f"/runbook-runs/{run.pk}/"
    assert press(client, run, "dance").status_code == 404


def test_watching_taking_over_and_who_may_what(browser, operator, admin, developer, person, run):
    hers = browser(developer).get(f"/runbook-runs/{run.pk}/")
    assert "Otto Operator has control. You watch, live." in words(hers) and "<form" not in main(hers)
    assert "Acting takes: Admin or Operator" in words(hers)
    assert press(browser(developer), run, "take-over").status_code == 403
    assert browser(person("nora", None)).get(f"/runbook-runs/{run.pk}/").status_code == 404
    page = press(browser(admin), run, "take-over")
    assert "You have control now." in words(page) and "form-done" in page.content.decode()
    assert "Ada Admin has control. You watch, live." in words(browser(operator).get(f"/runbook-runs/{run.pk}/"))


def test_a_fix_that_one_may_not_do_says_who_can(browser, operator, run):
    client = browser(operator)
    page = press(client, run, "failed", reason="Cold")
    assert "Change the bulb Takes: Admin" in words(page)
    assert 'href="/environments/"' in main(page), "what is done on a page of its own leads there"
    assert "1 bulb goes out" not in words(client.get(f"/runbook-runs/{run.pk}/?confirm=confirm-fix-test.change"))
    assert press(client, run, "remedy", name="test.change", reason="Dark").status_code == 403
    assert not StepOutput.objects.exists()


def test_notes_keep_themselves_and_overwrite_nobody(browser, operator, run):
    client = browser(operator)
    was = re.search(r'name="was" value="(\w+)"', client.get(f"/runbook-runs/{run.pk}/").content.decode())[1]
    address, json = f"/runbook-runs/{run.pk}/note/", {"HTTP_ACCEPT": "application/json"}
    answer = client.post(address, {"text": "Cold since 14:02", "was": was}, **json)
    assert answer.status_code == 200 and answer.json()["was"] != was
    answer = client.post(address, {"text": "Mine", "was": was}, **json)
    assert answer.status_code == 409 and "Yours were not kept" in answer.json()["detail"]
    page = client.post(address, {"text": "Mine", "was": was})
    assert page.status_code == 409 and ">Mine</textarea>" in page.content.decode(), "what was written is still there"
    run.refresh_from_db()
    assert run.notes == "Cold since 14:02" and run.revision == 0


def test_the_header_leads_back_to_the_step(browser, operator, admin, run):
    client = browser(operator)
    assert "Runbook: step 1 of 3. Dark room, production" in words(client.get("/runbooks/"))
    assert "Runbook: step" not in words(client.get(f"/runbook-runs/{run.pk}/"))
    assert "Runbook: step" not in words(browser(admin).get("/runbooks/"))


def test_open_pages_are_told_and_fetch_what_changed(browser, operator, developer, person, run, actor_of):
    client = browser(operator)
    html = client.get(f"/runbook-runs/{run.pk}/").content.decode()
    before = runbook_live.draw_run(str(run.pk))
    for region, part in before.regions.items():
        assert f'id="{region}" data-stamp="{part.stamp}"' in html
        assert client.get(part.url).status_code == 200
    runbook_actions.note(actor_of(operator), run, "Cold")
    noted = runbook_live.draw_run(str(run.pk))
    changed = {name for name, part in noted.regions.items() if part.stamp != before.regions[name].stamp}
    assert changed == {"run-notes"}
    runbook_actions.diagnose(actor_of(operator), run, "test.light")
    assert runbook_live.draw_run(str(run.pk)).regions["run-body"].stamp != noted.regions["run-body"].stamp
    runbook_actions.done(actor_of(operator), run)
    assert runbook_live.draw_run(str(run.pk)).say == "Runbook Dark room: step 2."
    listed = runbook_live.draw_runbooks().regions
    assert all(client.get(part.url).status_code == 200 for part in listed.values())
    nora = person("nora", None)
    assert runbook_live.may_see_run(developer, str(run.pk)) and not runbook_live.may_see_run(nora, str(run.pk))
    assert not runbook_live.may_see_run(developer, "x") and runbook_live.production_of_run(str(run.pk)) == [
        "production"
    ]
    assert client.get(f"/runbook-runs/{run.pk}/parts/?part=secret").status_code == 404


def test_pages_take_the_same_number_of_queries_for_any_number_of_runs(browser, operator, production, actor_of, run):
    client, actor = browser(operator), actor_of(operator)
    addresses = ("/runbooks/", "/runbooks/dark-room/", f"/runbook-runs/{run.pk}/")

    def counts() -> list[int]:
        found = []
        for address in addresses:
            with CaptureQueriesContext(connection) as asked:
                assert client.get(address).status_code == 200
            found.append(len(asked))
        return found

    runbook_actions.abandon(actor, runbook_actions.start(actor, production, "dark-room"), "Twice")
    counts()
    few = counts()
    for _ in range(3):
        runbook_actions.start(actor, production, "high-latency")
        runbook_actions.abandon(actor, runbook_actions.start(actor, production, "dark-room"), "Again")
    for name in ("test.light", "command:echo", "test.light"):
        runbook_actions.diagnose(actor, run, name)
    assert counts() == few and max(few) <= 24, few


def main(response) -> str:
    """The page without its frame."""
    return re.search(r"<main.*</main>", response.content.decode(), re.DOTALL)[0]


def own_books():
    return [entry.runbook for entry in library.entries() if entry.source.startswith(library.LABEL)]


def test_every_link_of_the_library_leads_to_a_page(db):
    values = {"environment": "production", "service": "paper-trader", "release": "v1.2.5"}
    links = [link for book in own_books() for step in book.filled(values).steps for link in step.links]
    assert len(links) > 10
    for link in links:
        try:
            resolve(link.path.partition("?")[0])
        except Resolver404:
            pytest.fail(f"{link.path} is no page")


def test_every_opsctl_command_of_the_library_is_one(db):
    import shlex

    from opsctl.cli import cli

    lines = [
        line
        for book in own_books()
        for step in book.steps
        for command in step.commands
        for line in command.split("\n")
        if line.startswith("opsctl ")
    ]
    assert len(lines) > 15
    for line in lines:
        arguments = shlex.split(line)[1:]
        command = cli.get_command(None, arguments[0])
        rest = arguments[1:]
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        # Raises when an option is not known or an argument is missing; runs nothing.
        command.make_context(arguments[0], rest, resilient_parsing=False)
