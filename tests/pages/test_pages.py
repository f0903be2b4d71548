"""Overview, lists, releases, environments, the start page and the audit trail."""

from __future__ import annotations

import re

import pytest

from audit.models import Record
from deployments import breaches
from deployments.models import Deployment
from tests.pages import stories
from tests.pages.test_live_page import words

PAGES = [
    "/",
    "/deployments/",
    "/releases/",
    "/releases/v1.2.5/",
    "/environments/",
    "/environments/production/",
    "/audit/",
]


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("role", ["admin", "operator", "developer"])
def test_every_page_for_every_role(address, role, request, browser, story):
    story("recommended")
    response = browser(request.getfixturevalue(role)).get(address)
    assert response.status_code == 200
    assert ("Start a deployment" in words(response)) is (
        address in ("/", "/deployments/") and role != "operator"
    ) or address not in ("/", "/deployments/")


@pytest.mark.parametrize("address", ["/", "/deployments/", "/releases/", "/environments/", "/audit/"])
def test_empty_pages_say_what_that_means(address, browser, person, db):
    response = browser(person("eve", None)).get(address)
    assert response.status_code == 200
    assert re.search(r"No deployment|No release yet|No environment|No record yet", words(response))


def test_the_overview_shows_what_asks_for_a_decision(browser, admin, story):
    deployment = story("recommended")
    breaches.decision_wanted(deployment, "Latency: p99 61.2 ms is 6.1 × baseline")
    text = words(browser(admin).get("/"))
    assert "1 under way" in text and "1 open alerts" in text
    assert f"Deploy {deployment.pk}: v1.2.4 to v1.2.5, production" in text
    assert "Recommended: roll back" in text
    assert "p99 61.2 ms is 6.1 × baseline" in text and "v1.2.5 is beyond a limit: decide" in text


def test_the_overview_when_nothing_runs_names_the_last_one(browser, admin, story):
    story("failed")
    assert re.search(
        r"No deployment is running\. Last: v1\.2\.5 to production *, Failed", words(browser(admin).get("/"))
    )


@pytest.mark.parametrize(
    ("address", "count"),
    [("/", 34), ("/deployments/", 15), ("/releases/", 16), ("/environments/", 17), ("/audit/", 19)],
)
def test_query_counts(address, count, browser, admin, story, staging, production, versions, django_assert_num_queries):
    story("recommended")
    client = browser(admin)
    with django_assert_num_queries(count):
        client.get(address)
    story("failed", environment=staging)
    stories.rolled_back(staging, versions["v1.2.4"], versions["v1.2.6"])
    with django_assert_num_queries(count):
        client.get(address)


def test_the_list_is_filtered_by_its_address(browser, admin, story, staging):
    watching, failed = story("watching"), story("failed", "v1.2.6", staging)
    client = browser(admin)

    def numbers(query: str) -> set[int]:
        return {
            int(n)
            for n in re.findall(
                r'<a href="/deployments/(\d+)/" data-row-link', client.get(f"/deployments/{query}").content.decode()
            )
        }

    assert numbers("") == {watching.pk, failed.pk}
    assert numbers("?environment=staging") == {failed.pk}
    assert numbers("?state=unfinished") == {watching.pk}
    assert numbers("?version=1.2.6") == {failed.pk}
    assert numbers("?who=nobody") == set()
    assert numbers("?since=2099-01-01") == set()
    wrong = client.get("/deployments/?since=tomorrow")
    assert "Write the date as 2026-01-21." in wrong.content.decode()
    assert numbers("?since=tomorrow") == {watching.pk, failed.pk}


def test_somebody_sees_only_their_environments(browser, person, story, staging, production):
    from guardian.shortcuts import assign_perm

    hidden, shown = story("watching"), story("failed", "v1.2.6", staging)
    visitor = person("vic", None)
    assign_perm("view_environment", visitor, staging)
    client = browser(visitor)
    html = client.get("/deployments/").content.decode()
    assert f'"/deployments/{shown.pk}/"' in html and f'"/deployments/{hidden.pk}/"' not in html
    assert "production" not in words(client.get("/audit/"))
    assert client.get("/environments/production/").status_code == 404
    assert client.get("/environments/staging/").status_code == 200
    overview = client.get("/").content.decode()
    assert "data-topics" not in overview, "the live overview shows every environment, so this person does not follow it"


def test_release_notes_are_rendered_and_safe(browser, admin, versions, production):
    html = browser(admin).get("/releases/v1.2.5/").content.decode()
    assert "Kinematics strategy</li>" in html
    assert "<script>alert(1)</script>" not in html
    assert "The archive is there and matches its digest." in html
    assert 'href="/deployments/new/?environment=production&amp;release=v1.2.5"' in html


def test_a_release_whose_archive_is_gone_says_so(browser, admin, versions):
    versions["v1.2.5"].artifact += ".gone"
    versions["v1.2.5"].save()
    assert "Not usable" in words(browser(admin).get("/releases/v1.2.5/"))


def test_an_unknown_release_is_not_found(browser, admin):
    assert browser(admin).get("/releases/v9.9.9/").status_code == 404


def test_an_environment_shows_slots_numbers_and_policy(browser, admin, story):
    deployment = story("watching")
    text = words(browser(admin).get("/environments/production/"))
    assert re.search(r"green *Live *v1\.2\.5 *100 % of new requests", text)
    assert re.search(r"blue *Standby *v1\.2\.4 *0 % of new requests", text)
    assert "production-green-1 Pass" in text and "epoch 17" in text
    assert re.search(r"Requests 2[45]\d /s", text)
    assert "any position mismatch Rolls back by itself" in text
    assert f"Deployment {deployment.pk}" in text


def test_numbers_of_a_minute(production):
    from environments.pages import detailed, view

    stories.live(production, "blue", "v1.2.4")
    stories.sampled(production.slots.get(name="blue"), "ACTIVE", seconds=50, every=50)
    rates = view(detailed(type(production).objects.filter(pk=production.pk)).get(), ()).rates
    assert rates.request_rate == pytest.approx(250)
    assert rates.error_rate == 0
    assert rates.latency_p99_ms == pytest.approx(2.2 * 4.605, rel=0.03), "the p99 of an exponential with mean 2.2 ms"


def test_an_instance_that_was_never_read(browser, admin, production):
    stories.live(production, "blue", "v1.2.4")
    assert "never read" in words(browser(admin).get("/environments/production/"))


class TestStart:
    """``/deployments/new/``"""

    def test_it_shows_what_it_would_do_and_what_blocks(self, browser, admin, versions, production):
        stories.live(production, "blue", "v1.2.4")
        text = words(browser(admin).get("/deployments/new/?environment=production&release=v1.2.5"))
        assert "v1.2.4 to v1.2.5 on production" in text
        assert "4 files, +120 −37" in text
        assert re.search(r"1 *Pre-checks 2 *Start green", text)
        assert "Artifact verified" in text
        assert re.search(r"Blocks *Load balancer as expected", text), "no load balancer runs in this test"
        assert "2 checks block it." in text

    def test_the_first_release_of_an_environment(self, browser, admin, versions):
        text = words(browser(admin).get("/deployments/new/?environment=production&release=v1.2.5"))
        assert "nothing to v1.2.5 on production" in text
        assert "blue gets v1.2.5" in text

    def test_errors_keep_what_was_typed(self, browser, admin, versions, production):
        stories.live(production, "blue", "v1.2.4")
        sent = {
            "environment": "production",
            "release": "v1.2.5",
            "strategy": "blue_green",
            "reason": "Tested on staging",
        }
        response = browser(admin).post("/deployments/new/", sent)
        assert response.status_code == 422
        html = response.content.decode()
        assert "Tested on staging</textarea>" in html
        assert "Nothing was started." in html
        assert not Deployment.objects.exists()

    def test_each_wrong_field_is_named(self, browser, admin, versions, production):
        sent = {"environment": "moon", "release": "v9.9.9", "strategy": "big_bang", "reason": ""}
        response = browser(admin).post("/deployments/new/", sent)
        assert response.status_code == 400
        text = words(response)
        for said in ("no environment “moon”", "no release “v9.9.9”", "Unknown strategy", "Say why"):
            assert said in text
        assert not Deployment.objects.exists()

    def test_another_deployment_blocks_and_is_named(self, browser, admin, story):
        running = story("running")
        sent = {"environment": "production", "release": "v1.2.6", "strategy": "blue_green", "reason": "Next"}
        response = browser(admin).post("/deployments/new/", sent)
        assert response.status_code == 409
        assert f'href="/deployments/{running.pk}/"' in response.content.decode()
        assert Deployment.objects.count() == 1

    def test_only_environments_of_the_person_can_be_chosen(self, browser, person, versions, production, staging):
        from guardian.shortcuts import assign_perm

        visitor = person("vic", None)
        for permission in ("view_environment", "deploy_environment"):
            assign_perm(permission, visitor, staging)
        client = browser(visitor)
        html = client.get("/deployments/new/").content.decode()
        assert '<option value="staging"' in html and '<option value="production"' not in html
        sent = {"environment": "production", "release": "v1.2.5", "strategy": "blue_green", "reason": "Try"}
        assert client.post("/deployments/new/", sent).status_code == 400

    def test_an_operator_is_told_who_can(self, browser, operator):
        response = browser(operator).get("/deployments/new/")
        assert response.status_code == 403
        assert "It takes: Admin or Developer." in words(response)


class TestAudit:
    """``/audit/``"""

    def test_search_and_facets(self, browser, admin, story):
        story("failed")
        client = browser(admin)
        assert "Step failed" in words(client.get("/audit/?q=range_threshold")).split("Time Who")[-1]
        only = words(client.get("/audit/?action=deployment.step_failed")).split("Outcome From")[-1]
        assert "Step failed" in only and "Step done" not in only
        assert "No record matches" in words(client.get("/audit/?q=nothing-like-this"))
        assert "There is no outcome “odd”." in words(client.get("/audit/?outcome=odd"))

    def test_pages_by_id_lose_and_repeat_nothing(self, browser, admin, story):
        deployment = story("failed")
        for number in range(120):
            stories.event(deployment, "deployment.held", f"number {number}")
        client = browser(admin)

        def walk(address: str, rel: str) -> list[list[int]]:
            pages = []
            while address:
                visited.append(address)
                html = client.get(f"/audit/{address}").content.decode()
                pages.append([int(n) for n in re.findall(r'href="/audit/(\d+)/"', html)])
                found = re.search(rf'rel="{rel}" href="([^"]+)"', html)
                address = found.group(1).replace("&amp;", "&") if found else ""
            return pages

        visited: list[str] = []
        older = walk("?action=deployment.held", "next")
        assert [len(page) for page in older] == [50, 50, 20]
        assert [pk for page in older for pk in page] == list(
            Record.objects.filter(action="deployment.held").order_by("-id").values_list("pk", flat=True)
        )
        newer = walk(visited[-1], "prev")
        assert newer == older[::-1]

    def test_a_record_shows_before_and_after(self, browser, admin, story, production):
        from django.db import transaction

        from audit.actions import record
        from audit.actors import system

        with transaction.atomic():
            made = record(
                system("engine"),
                "traffic.shift",
                story("watching"),
                environment="production",
                before={"weights": {"blue": 100}, "epoch": 16},
                after={"weights": {"blue": 0}, "epoch": 17},
            )
        html = browser(admin).get(f"/audit/{made.pk}/").content.decode()
        assert html.count('class="row-changed"') == 2
        assert str(made.uuid) in html

    def test_a_record_of_another_environment_is_not_found(self, browser, person, story):
        story("failed")
        made = Record.objects.filter(environment="production").first()
        assert browser(person("eve", None)).get(f"/audit/{made.pk}/").status_code == 404
