"""The page of one deployment in each of its states, as part 7 of the specification asks."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Record
from deployments.models import VerdictRow
from environments.models import Slot
from tests.pages import stories

STATES = ["running", "held", "watching", "recommended", "failed", "rolled_back", "succeeded"]


def words(response) -> str:
    """The text of a page, tags and repeated spaces gone."""
    text = re.sub(r"<(script|style).*?</\1>", " ", response.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", ["admin", "operator", "developer"])
def test_every_state_is_drawn_for_every_role(state, role, request, browser, story):
    deployment = story(state)
    response = browser(request.getfixturevalue(role)).get(f"/deployments/{deployment.pk}/")
    assert response.status_code == 200
    assert f"Deploy {deployment.pk}: v1.2.4 to v1.2.5, production" in words(response)


def test_all_that_the_specification_shows(browser, admin, story):
    text = words(browser(admin).get(f"/deployments/{story('watching').pk}/"))
    for shown in ("v1.2.4", "v1.2.5", "Watching", "Started", "Duration"):
        assert shown in text
    for check in ("Node connection", "State builder", "All strategies", "Database connection"):
        assert re.search(rf"{check} Pass", text), check
    for metric in ("Error rate", "Latency p99", "Win rate"):
        assert metric in text
    assert "Baseline 10.0 ms" in text
    assert re.search(r"7 trades since deploy\. *All successful", text)
    assert re.search(r"Alerts since deploy.*None\. Every rule with enough data passes\.", text)
    assert re.search(r"Monitor for \d+ more (seconds?|minutes?)", text)


def test_a_recommendation_names_the_rule_and_its_reason(browser, admin, story):
    response = browser(admin).get(f"/deployments/{story('recommended').pk}/")
    text = words(response)
    assert "Recommended: roll back" in text
    assert "p99 61.2 ms is 6.1 × baseline (10.0 ms), limit 5 × (50.0 ms)" in text
    assert re.search(r"btn-danger[^>]*data-dialog=\"confirm-rollback\"", response.content.decode())
    assert "Over: Near limit" in text, "an alert that passed again stays, marked as over"


def test_a_failure_says_first_what_failed_and_why(browser, admin, story):
    text = words(browser(admin).get(f"/deployments/{story('failed').pk}/"))
    assert "Failed at “Smoke tests”: 1 of 6 smoke tests failed" in text
    assert "v1.2.4 kept serving; no request went to the new version." in text
    assert text.index("Failed at “Smoke tests”") < text.index("Recommended action")


def test_a_rollback_and_what_it_reverts_lead_to_each_other(browser, admin, production, versions):
    reverted, rollback = stories.rolled_back(production, versions["v1.2.4"], versions["v1.2.6"])
    client = browser(admin)
    first = client.get(f"/deployments/{reverted.pk}/")
    assert "Rolled back in 0.9 s: Error rate: 5.1 % of 412 requests failed, limit 1 %" in words(first)
    assert f'href="/deployments/{rollback.pk}/"' in first.content.decode()
    second = client.get(f"/deployments/{rollback.pk}/")
    assert f"Roll back {rollback.pk}: v1.2.6 to v1.2.4, production" in words(second)
    assert f'href="/deployments/{reverted.pk}/"' in second.content.decode()


def test_success_says_since_when_it_is_live(browser, admin, story):
    deployment = story("succeeded")
    text = words(browser(admin).get(f"/deployments/{deployment.pk}/"))
    assert re.search(rf"Live since (\d{{4}}-\d\d-\d\d )?{deployment.promoted_at:%H:%M:%S} UTC", text)


def test_no_data_is_said_and_is_no_pass(browser, admin, story, production):
    deployment = story("watching")
    stories.silent(production.slots.get(name="green"), "timeout")
    text = words(browser(admin).get(f"/deployments/{deployment.pk}/"))
    assert "production-green-1 no answer: timeout" in text
    assert not re.search(r"Node connection Pass", text)


def test_an_old_reading_is_no_data(browser, admin, story, production):
    deployment = story("watching")
    for instance in production.slots.get(name="green").instances.all():
        instance.samples.update(at=timezone.now() - timedelta(seconds=42))
    text = words(browser(admin).get(f"/deployments/{deployment.pk}/"))
    assert "production-green-1 no reading for 42 s" in text
    assert re.search(r"Node connection No data", text) and not re.search(r"Node connection Pass", text)


def test_a_failed_check_comes_first(browser, admin, story, production):
    deployment = story("watching")
    stories.sampled(production.slots.get(name="green"), "ACTIVE", seconds=0, age=0.1, failing="database:responseTime")
    text = words(browser(admin).get(f"/deployments/{deployment.pk}/"))
    assert text.index("Database connection Fail") < text.index("Node connection Pass")


def test_waiting_for_somebody_offers_the_promotion(browser, admin, story, production):
    production.policy_data = {**production.policy_data, "promotion": "manual"}
    production.save()
    deployment = story("running")
    deployment.steps.filter(name="smoke_test").update(status="succeeded", detail="6 of 6 passed.")
    deployment.steps.filter(name="await_promotion").update(
        status="running", detail="Waiting for somebody to press Promote."
    )
    response = browser(admin).get(f"/deployments/{deployment.pk}/")
    text = words(response)
    assert "Your decision: promote v1.2.5, or abort" in text
    assert "Hold 1.5 s to promote v1.2.5" in text
    assert "3 open positions and 2 open orders" in text, "a dialog names the live counts"


def test_the_first_deployment_has_nothing_to_go_back_to(browser, admin, production, versions):
    production.policy_data = {**production.policy_data, "promotion": "manual"}
    production.save()
    deployment = stories.deployment(production, None, versions["v1.2.5"], 4, "running", from_slot=None)
    text = words(browser(admin).get(f"/deployments/{deployment.pk}/"))
    assert f"Deploy {deployment.pk}: v1.2.5, production" in text
    assert "green (v1.2.5) is stopped. Nothing serves, as before." in text


def test_events_can_be_filtered_by_kind(browser, admin, story):
    deployment = story("watching")
    client = browser(admin)
    assert "Step done" in words(client.get(f"/deployments/{deployment.pk}/"))
    traffic = words(client.get(f"/deployments/{deployment.pk}/?events=traffic"))
    assert "Traffic shift" in traffic and "Step done" not in traffic


def test_the_same_number_of_queries_however_much_there_is(browser, admin, story, django_assert_num_queries):
    deployment = story("watching")
    client = browser(admin)
    with django_assert_num_queries(LIVE_PAGE_QUERIES):
        client.get(f"/deployments/{deployment.pk}/")
    stories.trades(deployment_with_more(deployment), 0)
    with django_assert_num_queries(LIVE_PAGE_QUERIES):
        client.get(f"/deployments/{deployment.pk}/")


LIVE_PAGE_QUERIES = 26


def deployment_with_more(deployment):
    """More verdicts, events and samples."""
    for number in range(20):
        stories.verdict(deployment, f"Old rule {number}", "latency", "warn", "was slow", is_current=False)
    for slot in Slot.objects.filter(environment=deployment.environment):
        stories.sampled(slot, "ACTIVE", every=1)
    assert VerdictRow.objects.count() > 20 and Record.objects.count() > 20
    return deployment


def test_measurements_for_the_charts(browser, admin, story):
    deployment = story("watching")
    client = browser(admin)
    address = f"/deployments/{deployment.pk}/measurements.json"
    first = client.get(address).json()
    points = first["charts"]["latency_p99_ms"]["points"]
    assert len(points) == 61 and points == sorted(points)
    assert first["charts"]["error_rate"]["limit"] == 0.01
    assert first["charts"]["latency_p99_ms"]["limit"] == 50.0
    assert [label for _, label in first["charts"]["error_rate"]["marks"]] == ["v1.2.5 live"]
    later = client.get(f"{address}?since={points[-3][0]}").json()
    assert len(later["charts"]["latency_p99_ms"]["points"]) <= 3
    refused = client.get(f"{address}?since=yesterday")
    assert refused.status_code == 400 and "unix seconds" in refused.json()["detail"]


def test_somebody_who_may_not_see_the_environment_finds_nothing(browser, person, story):
    deployment = story("watching")
    stranger = browser(person("eve", None))
    for address in ("", "actions/", "measurements.json"):
        assert stranger.get(f"/deployments/{deployment.pk}/{address}").status_code == 404
    assert stranger.post(f"/deployments/{deployment.pk}/rollback/", {"reason": "why not"}).status_code == 404
