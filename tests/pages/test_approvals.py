"""The pages of the review: what waits for whom, exactly what will happen, and the forms that decide."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.topics import Reload, draw, find
from audit.models import Record
from deployments import approval_pages
from deployments.models import Approval, Deployment
from environments.models import Environment
from tests.pages import stories
from tests.pages.requests import requested
from tests.pages.test_live_page import words

SENTENCE = "You asked for this; another person must approve."


@pytest.fixture
def ask(production, versions, developer):
    """A request that waits, of Dora for v1.2.5: ``ask()``."""

    def make(version: str = "v1.2.5", user=developer, **fields) -> Approval:
        return requested(production, versions["v1.2.4"], versions[version], user, **fields).approval

    return make


def sections(response) -> dict[str, str]:
    """The text of each list of the page, by its heading."""
    found = re.split(r"(Waiting for you|Waiting for others|Decided) ", words(response).split("before they start.")[-1])
    return dict(zip(found[1::2], found[2::2], strict=True))


def form_of(client, approval: Approval, act: str) -> dict[str, str]:
    """The hidden fields of a form, as the page drew them."""
    page = client.get(f"/approvals/{approval.pk}/").content.decode()
    found = re.search(rf'<form[^>]*action="/approvals/{approval.pk}/{act}/".*?</form>', page, re.S)
    assert found and '<textarea id="reason-' in found.group() and 'name="reason"' in found.group(), act
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', found.group()))


@pytest.mark.parametrize("role", ["admin", "operator", "developer"])
def test_an_empty_page_says_the_next_step(role, request, browser):
    response = browser(request.getfixturevalue(role)).get("/approvals/")
    assert "No approval asked for yet" in words(response) and "waits here until somebody approves" in words(response)
    assert ("Start a deployment" in words(response)) is (role != "operator")


def test_who_sees_what_waits_for_whom(browser, ask, admin, developer, operator, person):
    ask(), ask("v1.2.6", admin)
    seen = {user.username: sections(browser(user).get("/approvals/")) for user in (admin, developer, operator)}
    assert "v1.2.5" in seen["ada"]["Waiting for you"] and "v1.2.6" in seen["ada"]["Waiting for others"]
    for name in ("dora", "otto"):
        assert "Nothing waits for you." in seen[name]["Waiting for you"]
        assert "v1.2.5" in seen[name]["Waiting for others"] and "v1.2.6" in seen[name]["Waiting for others"]
    nobody = words(browser(person("nemo", None)).get("/approvals/"))
    assert "v1.2.5" not in nobody and "No approval asked for yet" in nobody


def test_the_page_says_exactly_what_will_happen(browser, admin, ask):
    approval = ask()
    release = approval.deployment.to_release
    text = words(browser(admin).get(f"/approvals/{approval.pk}/"))
    assert "Deploy v1.2.4 to v1.2.5, production" in text
    assert "It waits for you." in text and "Nothing has started. v1.2.4 serves" in text
    for shown in (release.digest, approval.short_hash, "Blue/green", "4 files", "+120 −37", "Release notes of v1.2.5"):
        assert shown in text, shown
    assert "Kinematics strategy" in text and "Dora Developer" in text and approval.reason in text
    assert "After the smoke tests requests and trading move by themselves. The watch lasts 20 s." in text
    for step in approval.subject["plan"]:
        assert step["title"] in text
    assert "Load balancer as expected" in text and "Start the load balancer" in text, "checks with what to do"
    assert "green (v1.2.5)" not in text and "blue serves; green gets v1.2.5." in text


def test_who_asked_reads_the_sentence_and_may_withdraw(browser, developer, ask):
    approval = ask()
    client = browser(developer)
    response = client.get(f"/approvals/{approval.pk}/")
    assert SENTENCE in words(response)
    assert "/approve/" not in response.content.decode() and "/reject/" not in response.content.decode()
    done = client.post(f"/approvals/{approval.pk}/withdraw/", {**form_of(client, approval, "withdraw"), "reason": ""})
    assert done.status_code == 302 and done["Location"] == f"/approvals/{approval.pk}/"
    text = words(client.get(f"/approvals/{approval.pk}/"))
    assert "Withdrawn by Dora Developer" in text and "Nothing was started." in text and "Ask again" in text


def test_an_admin_who_asked_reads_the_sentence_too(browser, admin, ask):
    approval = ask(user=admin)
    client = browser(admin)
    assert SENTENCE in words(client.get(f"/approvals/{approval.pk}/"))
    body = {"subject_hash": approval.subject_hash, "reason": ""}
    response = client.post(f"/approvals/{approval.pk}/approve/", body)
    assert response.status_code == 403 and SENTENCE in words(response)
    assert Record.objects.filter(action="access.denied", reason=SENTENCE).count() == 1


def test_who_may_not_approve_is_told_who_can(browser, operator, ask):
    approval = ask()
    client = browser(operator)
    response = client.get(f"/approvals/{approval.pk}/")
    assert "Another person decides. It takes: Admin." in words(response)
    assert "<form" not in response.content.decode().split('id="main"')[1].split("</main>")[0]
    for act in ("approve", "reject", "withdraw"):
        body = {"subject_hash": approval.subject_hash, "reason": "I want to"}
        assert client.post(f"/approvals/{approval.pk}/{act}/", body).status_code == 403
    approval.refresh_from_db()
    assert approval.is_waiting


def test_a_rejection_needs_a_reason_and_tells_it(browser, admin, developer, ask):
    approval = ask()
    client = browser(admin)
    assert form_of(client, approval, "reject").keys() == {"csrfmiddlewaretoken", "idempotency_key"}
    response = client.post(f"/approvals/{approval.pk}/reject/", {"reason": " "})
    assert response.status_code == 400 and "Say why: whoever asked reads it" in words(response)
    assert re.search(r'<dialog[^>]*id="confirm-reject"[^>]* open', response.content.decode())
    assert client.post(f"/approvals/{approval.pk}/reject/", {"reason": "Not before <b>the close"}).status_code == 302
    text = html.unescape(browser(developer).get(f"/approvals/{approval.pk}/").content.decode())
    assert "Rejected by Ada Admin" in re.sub(r"<[^>]+>", "", text) and "Not before <b>the close" in text
    deployment = words(browser(developer).get(f"/deployments/{approval.deployment_id}/"))
    assert "Not started" in deployment and "Rejected by Ada Admin: Not before" in deployment


def test_what_blocks_is_beside_the_button_and_nothing_is_done(browser, admin, ask):
    """Neither load balancer nor supervisor runs here."""
    approval = ask()
    client = browser(admin)
    page = client.get(f"/approvals/{approval.pk}/").content.decode()
    assert (
        re.search(r'aria-disabled="true"[^>]*>.*?Approve', page, re.S)
        and "confirm-approve" not in page.split("why-")[0]
    )
    assert "Pre-checks block it: Load balancer as expected, Process supervisor answers." in words(
        client.get(f"/approvals/{approval.pk}/")
    )
    response = client.post(f"/approvals/{approval.pk}/approve/", {"subject_hash": approval.subject_hash})
    assert response.status_code == 422 and "Nothing was done." in words(response)
    approval.refresh_from_db()
    assert approval.is_waiting


@pytest.mark.parametrize("given", ["", "zz", "0" * 63])
def test_a_form_without_what_was_seen_does_nothing(given, browser, admin, ask):
    approval = ask()
    response = browser(admin).post(f"/approvals/{approval.pk}/approve/", {"subject_hash": given})
    assert response.status_code == 400 and "does not say what you saw" in words(response)


def test_a_request_that_fell_says_what_changed(browser, admin, developer, ask, production):
    approval = ask()
    seen = approval.subject_hash
    production.slots.filter(name="blue").update(version="v1.2.3")
    response = browser(admin).post(f"/approvals/{approval.pk}/approve/", {"subject_hash": seen})
    assert response.status_code == 409
    assert "The live release: v1.2.4, now v1.2.3" in words(response) and "Fallen by itself" in words(response)
    assert "/approve/" not in response.content.decode()
    assert "The live release: v1.2.4, now v1.2.3" in words(browser(developer).get(f"/approvals/{approval.pk}/"))


@pytest.mark.parametrize("address", ["/approvals/", "/approvals/{pk}/"])
def test_looking_ends_what_holds_no_longer(address, browser, operator, ask):
    fallen, over = ask(), ask("v1.2.6", expires_at=timezone.now() - timedelta(seconds=1))
    fallen.deployment.to_release.config_revision = "19"
    fallen.deployment.to_release.save()
    for approval in (fallen, over):
        browser(operator).get(address.format(pk=approval.pk))
    states = dict(Approval.objects.values_list("pk", "state"))
    assert states == {fallen.pk: "fallen", over.pk: "expired"}
    decided = sections(browser(operator).get("/approvals/"))["Decided"]
    assert "Fallen" in decided and "Expired" in decided and "by itself" in decided


def test_without_a_script_the_button_leads_to_its_open_dialog(browser, admin, ask):
    page = browser(admin).get(f"/approvals/{ask().pk}/?confirm=confirm-reject").content.decode()
    assert re.search(r'<dialog[^>]*id="confirm-reject"[^>]* open', page)


def test_loading_an_act_again_does_nothing(browser, admin, ask):
    approval = ask()
    response = browser(admin).get(f"/approvals/{approval.pk}/approve/")
    assert response.status_code == 302 and response["Location"] == f"/approvals/{approval.pk}/"
    assert browser(admin).get(f"/approvals/{approval.pk}/explode/").status_code == 404
    assert browser(admin).post("/approvals/999999/approve/", {}).status_code == 404


def test_the_deployment_says_where_its_request_stands(browser, admin, ask):
    approval = ask()
    response = browser(admin).get(f"/deployments/{approval.deployment_id}/")
    text = words(response)
    assert "Waiting for approval" in text and "Dora Developer asked for it. Nothing starts" in text
    assert re.search(r"Step 2 of 14: Approval .* Requested Done Approval Waiting for somebody", text), text[:3000]
    assert f'href="/approvals/{approval.pk}/"' in response.content.decode()
    assert 'data-dialog="confirm-' not in response.content.decode()
    Approval.objects.update(state="approved", decided_by_name="Ada Admin", decided_by=admin, decided_at=timezone.now())
    Deployment.objects.update(status="running")
    text = words(browser(admin).get(f"/deployments/{approval.deployment_id}/"))
    assert "Approved by Ada Admin" in text and "Requested Done Approved Done" in text


def test_the_overview_and_the_navigation_count_what_waits_for_me(browser, admin, developer, ask):
    ask(), ask("v1.2.6")
    for user, count, panel in ((admin, 2, True), (developer, 0, False)):
        response = browser(user).get("/")
        text = words(response)
        assert re.search(rf"\b{count} *approvals? waits? for you", text), text[:600]
        assert ("Waiting for your approval" in text) is panel and ("2 wait for others" in text) is not panel
        assert ("Approvals 2 wait for you" in text) is panel, "the badge of the navigation"
    assert "Approvals 2 wait for you" in words(browser(admin).get("/audit/"))


def test_a_request_that_never_began_is_not_the_last_deployment(browser, admin, ask):
    approval = ask()
    client = browser(admin)
    client.post(f"/approvals/{approval.pk}/reject/", {"reason": "No"})
    text = words(client.get("/"))
    assert "There has been none yet." in text and re.search(r"\b0 *ended in 24 h", text)
    assert "No deployment matches" in words(client.get("/deployments/?state=unfinished"))


def test_a_request_hides_no_deployment_in_trouble(browser, admin, story, ask, staging):
    failed = story("failed", "v1.2.6")
    ask()
    assert "deployment of v1.2.6 failed." in words(browser(admin).get("/audit/"))
    Deployment.objects.filter(pk=failed.pk).update(started_at=timezone.now())
    assert "deployment of v1.2.6 failed." in words(browser(admin).get("/audit/"))


class TestStart:
    def test_a_developer_asks_on_the_same_form(self, browser, developer, versions, production):
        stories.live(production, "blue", "v1.2.4")
        response = browser(developer).get("/deployments/new/?environment=production&release=v1.2.5")
        assert "Request deployment of v1.2.5 to production" in words(response)
        assert "Another person must approve it." in words(response)

    def test_an_admin_deploys_directly_unless_the_policy_asks_for_two(self, browser, admin, versions, production):
        stories.live(production, "blue", "v1.2.4")
        address = "/deployments/new/?environment=production&release=v1.2.5"
        assert "Deploy v1.2.5 to production" in words(browser(admin).get(address))
        production.policy_data["approval"]["second_person"] = True
        production.save()
        assert "Request deployment of v1.2.5 to production" in words(browser(admin).get(address))

    def test_a_release_offers_what_the_person_may(self, browser, developer, versions, staging):
        text = words(browser(developer).get("/releases/v1.2.5/"))
        assert "Request for production" in text and "Deploy to staging" in text


class TestLive:
    def test_each_region_has_its_place_and_its_stamp(self, browser, admin, ask):
        approval = ask()
        pages = {"/approvals/": "approvals", "/": "approvals", f"/approvals/{approval.pk}/": f"approval.{approval.pk}"}
        found = set()
        for address, topic in pages.items():
            page = browser(admin).get(address).content.decode()
            assert topic in re.search(r'data-topics="([^"]*)"', page).group(1).split(",")
            for region, part in draw(topic).regions.items():
                assert isinstance(part, Reload)
                if place := re.search(rf'id="{region}"[^>]*data-stamp="([^"]*)"', page):
                    assert place.group(1) == part.stamp, "or the page would fetch what it has"
                    found.add(region)
                fetched = browser(admin).get(part.url)
                assert fetched.status_code == 200 and "<html" not in fetched.content.decode()
        assert found == {"approvals-list", "approvals-mine", "counter-approvals", "nav-approvals", "decision"}

    def test_a_part_is_what_the_page_has(self, browser, admin, ask):
        ask()
        client = browser(admin)
        squeezed = re.sub(r"\s+", "", client.get("/").content.decode())
        for part in ("mine", "counter", "badge"):
            content = client.get(f"/approvals/parts/?part={part}").content.decode()
            fixed = re.sub(r"<time[^>]*data-(?:until|ago)[^>]*>[^<]*</time>", "", content).strip()
            assert re.sub(r"\s+", "", fixed.split("<time")[0]) in squeezed, part

    def test_the_stamps_change_with_what_is_shown(self, ask, admin, production, versions):
        stamps = [approval_pages.stamp()]
        approval = ask()
        stamps.append(approval_pages.stamp())
        name = f"approval.{approval.pk}"
        waiting = draw(name).regions["decision"]
        running = Deployment.objects.create(
            environment=Environment.objects.get(pk=production.pk), to_release=versions["v1.2.6"], status="running",
            to_slot=production.slots.last(), strategy="blue_green", reason="x", requested_by_name="Ada",
        )  # fmt: skip
        blocked = draw(name).regions["decision"]
        running.delete()
        Approval.objects.update(state="rejected", decided_at=timezone.now())
        stamps.append(approval_pages.stamp())
        assert len(set(stamps)) == 3 and len({waiting, blocked, draw(name).regions["decision"]}) == 3
        assert draw(name).say == f"Request {approval.pk}: Rejected."

    def test_who_may_follow(self, ask, admin, person):
        approval = ask()
        for name in ("approvals", f"approval.{approval.pk}"):
            topic, key = find(name)
            assert topic.may_see(admin, key) and not topic.may_see(person(f"x{key}", None), key)


def queries(act) -> int:
    with CaptureQueriesContext(connection) as captured:
        act()
    return len(captured)


def test_the_lists_take_the_same_few_queries_however_much_there_is(browser, admin, ask):
    def grow():
        for version in ("v1.2.5", "v1.2.6", "v1.3.0"):
            ask(version)
            ended = ask(version)
            Approval.objects.filter(pk=ended.pk).update(state="rejected", decided_at=timezone.now(), decided_by=admin)

    client, found = browser(admin), []
    client.get("/approvals/")
    for _ in range(2):
        grow()
        lists = (
            queries(lambda: approval_pages.waiting(admin, settle=True)),
            queries(lambda: approval_pages.decided(admin)),
        )
        pages = [queries(lambda address=address: client.get(address)) for address in ("/approvals/", "/")]
        found.append((*lists, queries(lambda: approval_pages.waiting(admin)), *pages))
    assert found[0] == found[1] and found[0][:3] == (4, 1, 3)
