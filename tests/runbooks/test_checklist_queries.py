"""What is due, the history, streaks and months; and the same over the API."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.actors import system as system_actor
from audit.models import Record
from environments import evidence
from environments.evidence import Provider, Reading, Verdict
from runbooks import checklist_actions, checklist_queries
from runbooks.checklist_queries import Filter
from runbooks.models import Checklist, ChecklistRun
from tests.api.conftest import api, key_of  # noqa: F401
from tests.runbooks.checklist_cast import ANSWERS, DEPLOYMENT, TEXT, add_list, add_run

TESTS = system_actor("tests")
LIMIT = {"list": 7, "one": 9}
"""Queries of a request with a key, signing in included."""


@pytest.fixture(autouse=True)
def _readings(monkeypatch):
    for name in ("test.fine", "test.told"):
        made = Provider(name, name, lambda subject: Reading("4 of 4", Verdict.PASS))
        monkeypatch.setitem(evidence._providers, name, made)


@pytest.fixture
def daily(system):
    return add_list(system, TESTS)


@pytest.fixture
def past(daily, production):
    """Six days: on time, missed, late, on time, on time, open."""

    def done(days, late=False):
        run = add_run(daily, production, days_ago=days)
        at = run.due_at + timedelta(minutes=25 if late else -5)
        ChecklistRun.objects.filter(pk=run.pk).update(status="complete", completed_at=at)
        return run.pk

    made = [done(5), add_run(daily, production, days_ago=4, status="missed").pk, done(3, late=True), done(2), done(1)]
    return [*made, add_run(daily, production).pk]


def test_what_is_due_comes_first_and_says_how_late(
    daily, system, production, staging, operator, django_assert_num_queries
):
    late = add_run(daily, staging, due_at=timezone.now() - timedelta(minutes=25))
    later = add_run(daily, production)
    add_list(system, TESTS, "deployment", DEPLOYMENT)
    actor = checklist_actions.Actor("Otto", "session", operator, "Operator")
    release = checklist_actions.begin_deployment_list(actor, production, "v1.2.5")
    checklist_actions.tick(actor, later, "capital", "99", "Big position")
    with django_assert_num_queries(1):
        found = checklist_queries.due(operator)
    assert [row.run.pk for row in found] == [late.pk, later.pk, release.pk]
    assert [row.state for row in found] == ["late", "open", "open"]
    assert found[0].late_by // timedelta(minutes=1) == 25 and not found[1].late_by
    assert [(row.ticked, row.total, row.deviations) for row in found] == [(0, 4, 0), (1, 4, 1), (0, 4, 0)]


def test_a_streak_counts_on_time_completions_up_to_now(past, daily, production, operator, django_assert_num_queries):
    key = (daily.pk, production.pk)
    with django_assert_num_queries(1):
        assert checklist_queries.streaks(operator) == {key: 2}
    ChecklistRun.objects.filter(pk=past[4]).update(status="missed", completed_at=None)
    assert checklist_queries.streaks(operator).get(key, 0) == 0
    ChecklistRun.objects.exclude(status="open").update(status="complete", completed_at=None)
    assert checklist_queries.streaks(operator)[key] == 5


def test_the_history_has_every_run_and_its_filters(past, operator, person, django_assert_num_queries):
    with django_assert_num_queries(1):
        found = checklist_queries.rows(checklist_queries.history(operator))
    states = ["open", "complete", "complete", "complete_late", "missed", "complete"]
    assert [row.run.pk for row in found] == past[::-1] and [row.state for row in found] == states

    def asked(**given):
        return [run.pk for run in checklist_queries.history(operator, Filter(**given))]

    assert asked(status="missed") == [past[1]] and asked(status="late") == [past[2]]
    assert asked(environment="staging") == [] and asked(checklist="weekly") == []
    day = found[1].run.opens_at.date()
    assert asked(since=day, until=day) == [past[4]] and asked(until=date.max) == past[::-1]
    assert not checklist_queries.history(person("nemo", None)).exists()


def test_a_month_is_weeks_with_the_runs_of_each_day(past, daily, operator, production, django_assert_num_queries):
    today = timezone.now().date()
    with django_assert_num_queries(3):
        month = checklist_queries.month(operator, "daily", "production", today)
    days = [day for week in month.weeks for day in week]
    assert days[0].day.weekday() == 0 and len(days) % 7 == 0
    shown = {row.run.pk for day in days for row in day.rows}
    opened = ChecklistRun.objects.filter(opens_at__date__gte=days[0].day, opens_at__date__lte=days[-1].day)
    assert shown == {*opened.values_list("pk", flat=True)} and shown
    assert all(row.run.opens_at.date() == day.day for day in days for row in day.rows)
    with pytest.raises(Checklist.DoesNotExist):
        checklist_queries.month(operator, "daily", "production", date.max)


def test_places_take_as_many_queries_for_many_as_for_one(past, daily, system, operator, admin):
    with CaptureQueriesContext(connection) as few:
        (one, other) = checklist_queries.places(operator)
    assert (one.environment.name, one.streak, len(one.open_runs), one.last.run.pk) == ("production", 2, 1, past[4])
    assert (other.environment.name, other.open_runs, other.last) == ("staging", (), None)
    assert one.next_opens_at > timezone.now()
    for slug in ("weekly", "monthly"):
        add_list(system, TESTS, slug)
    with CaptureQueriesContext(connection) as many:
        assert len(checklist_queries.places(operator)) == 6
    assert len(few) == len(many)


def test_a_run_is_read_with_a_fixed_number_of_queries(past, operator, django_assert_num_queries):
    actor = checklist_actions.Actor("Otto", "session", operator, "Operator")
    run = ChecklistRun.objects.get(pk=past[5])
    for item, response in ANSWERS.items():
        checklist_actions.tick(actor, run, item, response)
    with django_assert_num_queries(2):
        view = checklist_queries.run(operator, run.pk)
        assert [one.tick.ticked_by.display_name for one in view.items] == ["Otto Operator"] * 4
    assert [one.state for one in view.items] == ["done", "done", "done", "second"]
    assert view.next_item is None and [one.item.id for one in view.open_items] == ["positions"]


def test_a_list_done_over_the_api(api, daily, production, operator, person, system):  # noqa: F811
    run = add_run(daily, production)
    otto, olga = api(operator), api(person("olga", "Operator"))
    place = f"/api/v1/checklist-runs/{run.pk}/"

    def post(client, act, body=None, status=200):
        answer = client.post(f"{place}{act}/", body or {}, content_type="application/json")
        assert answer.status_code == status, answer.json()
        return answer.json()

    assert post(otto, "begin")["assigned_to"] == "otto"
    assert post(olga, "begin", status=409)["code"] == "not_in_control"
    assert post(otto, "complete", status=409)["items"] == list(ANSWERS)
    for item, response in ANSWERS.items():
        post(otto, "tick", {"item": item, "response": response})
    assert post(otto, "tick", {"item": "status", "response": "Down"}, 409)["code"] == "run_changed"
    post(otto, "untick", {"item": "status"})
    refused = post(otto, "tick", {"item": "status", "response": "Down"}, 400)
    assert refused["errors"] == {"note": [refused["detail"]]} and refused["detail"].startswith("Status: ")
    post(otto, "tick", {"item": "status", "response": "Down", "note": "Restarting"})
    assert post(otto, "check", {"item": "positions"}, 403)["code"] == "own_request"
    post(olga, "check", {"item": "positions"})
    assert post(olga, "assign", {"to": "otto"})["assigned_to"] == "otto"
    done = post(otto, "complete", {"deviations": 1})
    assert (done["status"], done["deviations"], done["ticked"]) == ("complete", 1, 4)
    status = done["groups"][0]["items"][0]
    assert status["state"] == "deviation" and status["tick"]["evidence"]["value"] == "4 of 4"
    assert [tick["unticked_by"] for tick in status["taken_back"]] == ["Otto Operator"]
    assert post(otto, "tick", {"item": "status", "response": "Down"}, 409)["code"] == "run_closed"


def test_the_lists_over_the_api(api, daily, system, admin):  # noqa: F811
    client = api(admin)

    def put(body, slug="daily"):
        return client.put(f"/api/v1/checklists/{slug}/", body, content_type="application/json")

    text = TEXT.replace("Daily operations", "Every day")
    body = {"text": text, "reason": "Clearer words", "based_on": 1}
    answer = put(body)
    assert answer.status_code == 200 and [one["number"] for one in answer.json()["versions"]] == [2, 1]
    assert answer.json()["versions"][0]["text"] == text and answer.json()["title"] == "Every day"
    assert put({**body, "text": TEXT}).json()["code"] == "run_changed"
    wrong = put({**body, "text": "title: x", "based_on": 2})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "definition_invalid")
    assert wrong.json()["errors"] == {"text": ["schedule: is missing", "groups: is missing"]}
    assert put({**body, "based_on": 0}, "second").json()["version"] == 1
    checked = client.post("/api/v1/checklists/validate/", {"text": TEXT}, content_type="application/json").json()
    assert (checked["title"], checked["items"], len(checked["upcoming"])) == ("Daily operations", 4, 6)
    add_list(system, TESTS, "deployment", DEPLOYMENT)
    begun = {"environment": "production", "release": "v1.2.5"}
    answer = client.post("/api/v1/checklists/deployment/begin/", begun, content_type="application/json")
    assert (answer.status_code, answer.json()["period"]) == (200, "v1.2.5")


def test_the_export_is_recorded_and_says_the_same(api, past, daily, operator):  # noqa: F811
    actor = checklist_actions.Actor("Otto", "session", operator, "Operator")
    checklist_actions.tick(actor, ChecklistRun.objects.get(pk=past[5]), "capital", "81", "=1+1")
    client = api(operator)
    answer = client.get("/api/v1/checklist-runs/export/?environment=production&since=2026-01-01")
    lines = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert answer["Content-Type"].startswith("text/csv") and [int(line["run"]) for line in lines] == past[::-1]
    assert [line["status"] for line in lines].count("missed") == 1 and lines[3]["late_seconds"] == "1500"
    whole = client.get("/api/v1/checklist-runs/export/?as=json").json()
    tick = next(one["tick"] for one in whole[0]["answers"] if one["item"] == "capital")
    assert tick["note"] == "=1+1" and tick["is_deviation"] and tick["ticked_by"] == "Otto Operator"
    kept = Record.objects.filter(action="checklist.exported").order_by("pk").first()
    assert kept.after == {"filter": {"environment": "production", "since": "2026-01-01"}, "as": "csv", "runs": 6}
    assert client.get("/api/v1/checklist-runs/export/?as=xml").status_code == 400


def test_requests_take_few_queries_however_many_there_are(api, past, daily, operator, production):  # noqa: F811
    client = api(operator)
    client.get("/api/v1/me/")
    for address, limit in (("", LIMIT["list"]), (f"{past[5]}/", LIMIT["one"])):
        with CaptureQueriesContext(connection) as found:
            assert client.get(f"/api/v1/checklist-runs/{address}").status_code == 200
        assert len(found) <= limit, [query["sql"][:120] for query in found.captured_queries]
    for query in ("since=0001-01-01", "until=9999-12-31", "status=odd", "since=x"):
        assert client.get(f"/api/v1/checklist-runs/?{query}").status_code == 400
