"""The pages of checklists: what is due, a run done by plain forms, the list with its months, paper, the editor."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.topics import Reload, draw, find
from audit.models import Record
from environments import evidence
from environments.evidence import Provider, Reading, Subject, Verdict
from runbooks import checklist_live, checklist_pages
from runbooks.checklist_edit_views import difference
from runbooks.checklist_pages import month_of
from runbooks.checklist_readings import read_all
from runbooks.checklist_versions import save_version
from runbooks.checklist_words import schedule, span
from runbooks.models import Checklist, ChecklistRun, Tick

assert checklist_live, "importing registers the topics"

TEXT = """
title: Daily operations
summary: Before the day's first orders are trusted.
environments: [production, staging]
starts: 2026-11-01
schedule: {every: day, at: "06:00", due: "08:00"}
groups:
  - title: The system
    items:
      - {id: status, challenge: Status of the system, expect: Healthy, responses: [Healthy, Degraded],
         evidence: test.fine, critical: true}
      - {id: errors, challenge: Error logs, expect: No new error, responses: [No new error, Known errors, New errors],
         evidence: test.bad}
  - title: The money
    items:
      - {id: capital, challenge: Capital in use, value: {unit: "%", max: 80}}
      - {id: positions, challenge: Positions, expect: 0 breaks, responses: [0 breaks, Breaks],
         two_person: true, help: Both sides.}
"""


@pytest.fixture(autouse=True)
def _readings(monkeypatch):
    """Two providers that ask nothing of the world."""
    found = {"test.fine": ("4 of 4 healthy", Verdict.PASS), "test.bad": ("3 new errors", Verdict.FAIL)}
    for name, (value, verdict) in found.items():
        reading = Reading(value, verdict, link="/environments/", detail="node-1\nnode-2")
        read = lambda subject, reading=reading: reading  # noqa: E731
        monkeypatch.setitem(evidence._providers, name, Provider(name, name.title(), read))


@pytest.fixture
def daily(system, admin, actor_of):
    """The list, version 1."""
    save_version(actor_of(admin), system, "daily", TEXT, "First", based_on=0)
    return Checklist.objects.select_related("current", "service").get(slug="daily")


@pytest.fixture
def made(daily, production):
    """Make a run: ``made("2026-11-22", days_ago=1, status="missed")``."""

    def make(period: str = "2026-11-23", days_ago: float = 0, environment=None, **values) -> ChecklistRun:
        opens = timezone.now() - timedelta(hours=2, minutes=25, days=days_ago)
        moments = {"opens_at": opens, "due_at": opens + timedelta(hours=2), "closes_at": opens + timedelta(hours=24)}
        return ChecklistRun.objects.create(
            checklist=daily,
            version=daily.current,
            environment=environment or production,
            period=period,
            **{**moments, **values},
        )

    return make


def enter(user) -> Client:
    """A browser without a script in which a person is signed in."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def words(response) -> str:
    """The text of a page."""
    main = re.search(r"(?s)<main.*</main>|.*", response.content.decode()).group(0)
    return " ".join(re.sub(r"<[^>]+>", " ", main).split()).replace("\xa0", " ")


def press(client: Client, run: ChecklistRun, act: str, **values):
    """Send one of the forms of a run."""
    return client.post(f"/checklist-runs/{run.pk}/{act}/", values)


def test_what_is_due_stands_first_with_its_lateness(made, operator, staging):
    early = timezone.now() + timedelta(hours=1)
    made(environment=staging, due_at=early)
    late = made()
    text = words(enter(operator).get("/checklists/"))
    due = f"Due {late.due_at:%H:%M} UTC, 25 min late"
    assert "Late Daily operations production, 2026-11-23" in text and due in text
    assert text.index("production, 2026-11-23") < text.index("staging, 2026-11-23"), "late ones first"
    assert "0 of 4 answered, nobody has taken it" in text
    assert "Every trading day from 06:00, due by 08:00" in text


def test_without_any_list_the_page_says_what_to_do(system, operator):
    assert "No checklist yet" in words(enter(operator).get("/checklists/"))
    assert "Nothing is due." in words(enter(operator).get("/checklists/parts/?part=due"))


def test_a_list_is_done_by_plain_forms(made, operator, admin):
    run, otto, ada = made(), enter(operator), enter(admin)
    page = words(otto.get(f"/checklist-runs/{run.pk}/"))
    assert "0 of 4" in page and "Expected: Healthy" in page and "4 of 4 healthy" in page
    assert "3 new errors" in page and "Not as expected" in page and "The reading says otherwise" in page

    answer = press(otto, run, "tick", item="status", response="Healthy")
    assert answer.status_code == 302 and answer.url.endswith(f"/checklist-runs/{run.pk}/#item-errors")
    assert press(otto, run, "tick", item="capital", response="64").url.endswith("#item-positions")
    assert press(otto, run, "tick", item="positions", response="0 breaks").url.endswith("#item-errors"), "the one left"
    answer = press(otto, run, "tick", item="errors", response="New errors", note="Two of the feed; reported to Mary")
    assert answer.url.endswith("#complete")

    page = words(otto.get(f"/checklist-runs/{run.pk}/"))
    assert "3 of 4 , 1 deviation" in page and "Waits for a second person" in page
    assert "Another person than" in page and "I saw it too" not in page
    assert "Open: item 4." in page, "why it cannot be completed yet"
    assert press(otto, run, "complete", deviations="1").status_code == 409
    assert press(otto, run, "check", item="positions").status_code == 403, "not who ticked it"

    assert "I saw it too" in words(ada.get(f"/checklist-runs/{run.pk}/"))
    assert press(ada, run, "check", item="positions").status_code == 302
    page = words(otto.get(f"/checklist-runs/{run.pk}/"))
    assert "Checklist complete, with 1 deviation" in page and "New errors, Two of the feed; reported to Mary" in page
    assert press(otto, run, "complete", deviations="1").status_code == 302
    run.refresh_from_db()
    assert (run.status, run.completed_by, run.deviations) == ("complete", operator, 1)
    page = otto.get(f"/checklist-runs/{run.pk}/")
    assert "Completed by" in words(page) and b"<form" not in page.content.split(b"<main")[1].split(b"</main>")[0]


def test_a_deviation_without_a_note_keeps_what_was_given(made, operator):
    run, otto = made(), enter(operator)
    answer = press(otto, run, "tick", item="errors", response="Known errors", note=" ")
    html = answer.content.decode()
    assert answer.status_code == 400 and "Nothing was done." in words(answer)
    assert re.search(r'value="Known errors" required checked', html), "the answer is kept"
    assert html.count('class="check-else" open') >= 1 and "Write in the note" in html
    answer = press(otto, run, "tick", item="capital", response="ninety", note="kept <b>")
    assert answer.status_code == 400 and 'value="ninety"' in answer.content.decode()
    assert "kept &lt;b&gt;" in answer.content.decode()
    assert not Tick.objects.exists()


def test_taking_back_keeps_who_ticked(made, operator, admin):
    run, otto, ada = made(), enter(operator), enter(admin)
    press(otto, run, "tick", item="status", response="Healthy")
    refused = press(ada, run, "untick", item="status")
    assert refused.status_code == 409 and f"{operator.display_name} has this list" in words(refused)
    assert press(ada, run, "take").status_code == 302
    assert press(ada, run, "untick", item="status").url.endswith("#item-status")
    page = words(ada.get(f"/checklist-runs/{run.pk}/"))
    told = f"{operator.display_name} answered “Healthy”"
    assert told in page and f"taken back by {admin.display_name}" in page and "You have it." in page
    assert f"{admin.display_name} has it: take it over to answer" in words(otto.get(f"/checklist-runs/{run.pk}/"))
    assert press(ada, run, "give", to=operator.username).status_code == 302
    assert press(ada, run, "give", to="nobody\x00").status_code == 400
    run.refresh_from_db()
    assert run.assigned_to == operator


def test_whoever_comes_back_starts_one_item_earlier(made, operator, admin):
    run, otto = made(), enter(operator)
    press(otto, run, "tick", item="status", response="Healthy")
    press(otto, run, "tick", item="errors", response="No new error", note="Old ones")
    assert "stopped at item" not in words(otto.get(f"/checklist-runs/{run.pk}/")), "nobody stopped"
    ChecklistRun.objects.update(touched_at=timezone.now() - timedelta(minutes=14, seconds=20))
    page = otto.get(f"/checklist-runs/{run.pk}/")
    assert "You stopped at item 3, 14 min ago. Start again from item 2." in words(page)
    assert 'href="#item-errors">Go to item 2' in page.content.decode()
    assert f"{operator.display_name} stopped at item 3" in words(enter(admin).get(f"/checklist-runs/{run.pk}/"))


def test_who_has_no_work_there_looks_and_is_told(made, developer):
    run, dora = made(), enter(developer)
    page = dora.get(f"/checklist-runs/{run.pk}/")
    assert page.status_code == 200 and "0 of 4" in words(page) and "/tick/" not in page.content.decode()
    assert press(dora, run, "tick", item="status", response="Healthy").status_code == 403
    assert dora.get("/checklists/daily/edit/").status_code == 403
    assert dora.get(f"/checklist-runs/{run.pk}/nonsense/").status_code == 404
    assert dora.get("/checklist-runs/999999/").status_code == 404


def test_the_list_shows_its_month_and_every_occurrence(made, operator):
    now = timezone.now()
    made("early", 2, status="complete", completed_at=now - timedelta(days=2, minutes=30), completed_by=operator)
    made("slow", 1, status="complete", completed_at=now - timedelta(days=1), completed_by=operator, deviations=2)
    missed = made("gone", 3, status="missed")
    made("now")
    page = enter(operator).get(f"/checklists/daily/?month={missed.opens_at:%Y-%m}")
    text = words(page)
    assert re.search(r"gone Missed 0 of 4", text) and re.search(r"slow Done late", text)
    assert "Late now" in text.replace("Now Late now", "Late now") and "0 in a row" in text
    month = re.search(r"(?s)<table class=\"table month\">.*?</table>", page.content.decode()).group(0)
    assert "Missed" in month and f'href="/checklist-runs/{missed.pk}/"' in month
    assert month.count('<th scope="col">') == 7
    empty = words(enter(operator).get("/checklists/daily/?month=2026-01&page=99"))
    assert "No occurrence opened in this month." in empty
    assert enter(operator).get("/checklists/none/").status_code == 404
    assert enter(operator).get("/checklists/daily/?environment=nowhere").status_code == 404


def test_a_missed_run_stays_as_it_was_left(made, operator):
    run = made("gone", 2)
    press(enter(operator), run, "tick", item="status", response="Healthy")
    ChecklistRun.objects.filter(pk=run.pk).update(status="missed")
    page = words(enter(operator).get(f"/checklist-runs/{run.pk}/"))
    assert "Missed" in page and "It was not complete when it closed" in page and "4 items open when it closed" in page


def test_lists_take_a_fixed_number_of_queries(made, daily, operator, staging):
    otto = enter(operator)
    made()

    def count(address: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert otto.get(address).status_code == 200
        return len(found)

    addresses = ("/checklists/", "/checklists/daily/", "/checklists/parts/?part=counter")
    before = [count(address) for address in addresses]
    for number in range(5):
        made(f"old-{number}", number + 1, status="missed")
        made(f"open-{number}", environment=staging)
    assert [count(address) for address in addresses] == before
    run = ChecklistRun.objects.filter(status="open").first()
    empty = count(f"/checklist-runs/{run.pk}/?print=1")
    for item, response in (("status", "Healthy"), ("errors", "New errors"), ("positions", "0 breaks")):
        press(otto, run, "tick", item=item, response=response, note="Seen")
    assert count(f"/checklist-runs/{run.pk}/?print=1") <= empty + 2


def test_the_sheet_leads_back_by_its_picture(made, operator):
    run, otto = made(), enter(operator)
    press(otto, run, "tick", item="errors", response="New errors", note="Reported")
    page = otto.get(f"/checklist-runs/{run.pk}/?print=1")
    html, text = page.content.decode(), words(page)
    assert "<svg" in html and f"http://testserver/checklist-runs/{run.pk}/" in html
    assert "style=" not in html and "<script>" not in html, "the content security policy lets nothing inline pass"
    assert "Deviation: New errors" in text and "Reported" in text and "3 new errors (not as expected)" in text
    assert "Done by (name, UTC time, signature)" in text and "Healthy / Degraded" in text and "checked by" not in text
    assert html.count('class="sheet-box"') == 4


def test_the_editor_validates_compares_and_saves(daily, admin, operator):
    ada = enter(admin)
    page = ada.get("/checklists/daily/edit/")
    assert page.status_code == 200 and "Status of the system" in words(page)
    wrong = TEXT.replace("expect: Healthy,", "expect: Splendid,").replace("test.bad", "test.none")
    answer = ada.post("/checklists/daily/edit/", {"text": wrong, "base": "1", "do": "validate"})
    assert answer.status_code == 400 and "groups.0.items.0: expect" in words(answer)
    newer = TEXT.replace("0 breaks", "No break").replace("\n", "\r\n")
    answer = ada.post("/checklists/daily/edit/", {"text": newer, "base": "1", "do": "validate"})
    html = answer.content.decode()
    assert answer.status_code == 200 and html.count("<ins>") == 1 == html.count("<del>"), "line ends are no difference"
    assert "It can be used: 4 items" in words(answer) and Checklist.objects.get().current.number == 1
    answer = ada.post("/checklists/daily/edit/", {"text": newer, "base": "1", "do": "save", "reason": " "})
    assert answer.status_code == 400 and "Write why" in words(answer)
    answer = ada.post("/checklists/daily/edit/", {"text": newer, "base": "1", "do": "save", "reason": "Words"})
    assert answer.status_code == 302 and answer.url == "/checklists/daily/"
    assert Record.objects.filter(action="checklist.edited", reason="Words").exists()
    answer = ada.post("/checklists/daily/edit/", {"text": TEXT, "base": "1", "do": "save", "reason": "Old base"})
    assert answer.status_code == 409 and "is at version 2 now; you edited version 1" in words(answer)
    assert 'name="base" value="2"' in answer.content.decode() and Checklist.objects.get().current.number == 2
    assert enter(operator).post("/checklists/daily/edit/", {"text": TEXT, "base": "2", "do": "save"}).status_code == 403
    assert "Version 2" in words(ada.get("/checklists/daily/"))


def test_the_deployment_list_is_begun_for_a_release(system, production, staging, admin, operator, actor_of):
    text = TEXT.replace('{every: day, at: "06:00", due: "08:00"}', "{every: deployment}").replace(
        "starts: 2026-11-01\n", ""
    )
    save_version(actor_of(admin), system, "deployment", text, "First", based_on=0)
    otto = enter(operator)
    assert "Begin the list" in words(otto.get("/checklists/deployment/?environment=production"))
    values = {"environment": "production", "release": "not a version"}
    answer = otto.post("/checklists/deployment/begin/", values)
    assert answer.status_code == 400 and 'value="not a version"' in answer.content.decode()
    answer = otto.post("/checklists/deployment/begin/", {**values, "release": "v1.2.5"})
    run = ChecklistRun.objects.get()
    assert answer.url == f"/checklist-runs/{run.pk}/" and (run.period, run.environment) == ("v1.2.5", production)
    assert "with the next release" in words(otto.get("/checklists/"))
    assert otto.post("/checklists/deployment/begin/", {"environment": "none\x00", "release": "v1"}).status_code == 404


def test_live_regions_stand_on_the_pages_and_change(made, operator):
    run, otto = made(), enter(operator)
    html = otto.get(f"/checklist-runs/{run.pk}/").content.decode()
    before = draw(f"checklist.{run.pk}").regions
    for region, part in before.items():
        assert f'id="{region}"' in html and isinstance(part, Reload)
        assert f'data-stamp="{part.stamp}"' in html, f"{region}: the page would fetch it at once"
        assert otto.get(part.url).status_code == 200, part.url
    everything = otto.get("/").content.decode() + otto.get("/checklists/").content.decode()
    stamps = draw("checklists").regions
    for region, part in stamps.items():
        assert f'id="{region}"' in everything and f'data-stamp="{part.stamp}"' in everything, region
        assert otto.get(part.url).status_code == 200, part.url
    press(otto, run, "tick", item="status", response="Healthy")
    after = draw(f"checklist.{run.pk}").regions
    changed = {region for region in before if before[region].stamp != after[region].stamp}
    assert changed == {"item-status", "run-head", "run-end"}, "forms of the other items stay"
    assert draw("checklists").regions["checklists-due"].stamp != stamps["checklists-due"].stamp
    assert "Take back" in otto.get(after["item-status"].url).content.decode()
    assert otto.get("/checklists/parts/?part=item&item=none&pk=1").status_code == 404


def test_a_run_is_followed_by_those_who_see_it(made, operator, person):
    registered, key = find(f"checklist.{made().pk}")
    eve = person("eve", None)
    assert registered.may_see(operator, key) and not registered.may_see(eve, key)
    assert not registered.may_see(operator, "999999") and [*registered.production(key)] == ["production"]


def test_the_overview_counts_and_names_what_is_due(made, operator, staging):
    otto = enter(operator)
    assert "0 checklists due" in words(otto.get("/")) and "No checklist is due." in words(otto.get("/"))
    made()
    made(environment=staging, due_at=timezone.now() + timedelta(hours=1))
    text = words(otto.get("/"))
    assert "2 checklists due 1 late" in text and "Daily operations production, 2026-11-23" in text


def test_readings_are_read_side_by_side_and_never_for_long(production, monkeypatch):
    meeting, never = threading.Barrier(2, timeout=10), threading.Event()

    def together(subject: Subject) -> Reading:
        meeting.wait()
        return Reading("met", Verdict.PASS)

    def endless(subject: Subject) -> Reading:
        never.wait(10)
        return Reading("too late", Verdict.PASS)

    for name, read in {"test.a": together, "test.b": together, "test.slow": endless}.items():
        monkeypatch.setitem(evidence._providers, name, Provider(name, name, read))
    found = read_all(["test.a", "test.b", "test.a", "", "test.gone"], Subject(production))
    assert [found[name].reading.value for name in ("test.a", "test.b")] == ["met", "met"], "each waited for the other"
    assert found["test.gone"].reading.verdict == Verdict.NO_DATA and "" not in found
    late = read_all(["test.slow"], Subject(production), patience=0.1)["test.slow"].reading
    never.set()
    assert late.verdict == Verdict.NO_DATA and "Not read within 0.1 s" in late.value


def test_words():
    from runbooks.checklist_format import parse

    assert [span(timedelta(minutes=minutes)) for minutes in (0, 25, 60, 190, 60 * 49)] == [
        "less than 1 min",
        "25 min",
        "1 h",
        "3 h 10 min",
        "2 days",
    ]
    weekly = TEXT.replace('{every: day, at: "06:00", due: "08:00"}', '{every: week, day: mon, at: "07:00", due: 4}')
    assert schedule(parse(weekly)) == "Every Monday from 07:00, due within 4 h"
    assert difference("a\nb\nc", "a\nB\nc") == [("same", "a"), ("old", "b"), ("new", "B"), ("same", "c")]
    assert difference("same", "same") == []
    assert [month_of(text) for text in ("2026-11", "2026-13", "x", "2026-1٢", "0001-01")] == [
        datetime(2026, 11, 1, tzinfo=UTC).date(),
        *[None] * 4,
    ]


def test_what_the_overview_asks_takes_two_queries(made, operator, django_assert_num_queries):
    made()
    with django_assert_num_queries(1):
        assert checklist_pages.due(operator).late == 1
    with django_assert_num_queries(1):
        checklist_live.stamp()
