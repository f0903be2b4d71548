"""Acts by plain forms, as a browser without a script sends them."""

from __future__ import annotations

import re

import pytest

from audit.models import Record
from deployments.acts import panel
from deployments.live_page import build, load
from deployments.models import Deployment


def form_of(client, deployment, act: str) -> dict[str, str]:
    """The hidden fields of an act's form, as the page drew them."""
    html = client.get(f"/deployments/{deployment.pk}/").content.decode()
    found = re.search(rf'<form[^>]*action="/deployments/{deployment.pk}/{act}/".*?</form>', html, re.S)
    assert found, f"no form for {act}"
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', found.group()))


@pytest.mark.parametrize(
    ("state", "act", "status"),
    [("running", "hold", "held"), ("held", "resume", "running"), ("running", "abort", "aborting")],
)
def test_acts_before_the_promotion(state, act, status, browser, admin, story):
    deployment = story(state)
    client = browser(admin)
    response = client.post(
        f"/deployments/{deployment.pk}/{act}/", {**form_of(client, deployment, act), "reason": "Because"}
    )
    assert response.status_code == 302 and response["Location"] == f"/deployments/{deployment.pk}/"
    deployment.refresh_from_db()
    assert deployment.status == status
    kept = Record.objects.filter(object_id=str(deployment.pk), reason="Because").first()
    assert kept and kept.actor == admin and kept.via == "session"


def test_one_click_takes_a_recommended_deployment_back(browser, admin, story):
    deployment = story("recommended", "v1.3.0")
    client = browser(admin)
    form = form_of(client, deployment, "rollback")
    response = client.post(f"/deployments/{deployment.pk}/rollback/", {**form, "reason": "Latency"}, follow=True)
    rollback = Deployment.objects.get(reverts=deployment)
    assert response.redirect_chain[-1][0] == f"/deployments/{rollback.pk}/"
    assert "Roll back" in response.content.decode()
    deployment.refresh_from_db()
    assert deployment.status == "failing"


def test_keeping_a_version_against_the_recommendation(browser, admin, story):
    deployment = story("recommended", "v1.3.0")
    client = browser(admin)
    form = form_of(client, deployment, "promote")
    client.post(f"/deployments/{deployment.pk}/promote/", {**form, "reason": "A backfill runs"})
    deployment.refresh_from_db()
    assert deployment.accepted_at is not None
    assert "Kept despite a recommendation" in client.get(f"/deployments/{deployment.pk}/").content.decode()


def test_a_form_drawn_from_an_older_state_does_nothing(browser, admin, story):
    deployment = story("running")
    client = browser(admin)
    form = form_of(client, deployment, "abort")
    Deployment.objects.filter(pk=deployment.pk).update(status="held")
    response = client.post(f"/deployments/{deployment.pk}/abort/", {**form, "reason": "Wrong release"})
    assert response.status_code == 409
    assert "Nothing was done." in response.content.decode()
    deployment.refresh_from_db()
    assert deployment.status == "held"
    assert form_of(client, deployment, "abort")["token"] != form["token"], "the panel is drawn from the new state"


def test_a_reason_is_needed_and_the_dialog_comes_back_open(browser, admin, story):
    deployment = story("running")
    client = browser(admin)
    response = client.post(
        f"/deployments/{deployment.pk}/abort/", {**form_of(client, deployment, "abort"), "reason": "  "}
    )
    assert response.status_code == 400
    html = response.content.decode()
    assert "Say why: the reason is kept in the audit trail." in html
    assert re.search(r'<dialog[^>]*id="confirm-abort"[^>]* open', html)
    deployment.refresh_from_db()
    assert deployment.status == "running"


def test_without_a_script_the_link_of_a_button_leads_to_its_open_dialog(browser, admin, story):
    deployment = story("running")
    client = browser(admin)
    link = re.search(r'href="(\?confirm=confirm-abort)#', client.get(f"/deployments/{deployment.pk}/").content.decode())
    assert link
    opened = client.get(f"/deployments/{deployment.pk}/{link.group(1)}").content.decode()
    assert re.search(r'<dialog[^>]*id="confirm-abort"[^>]* open', opened)


@pytest.mark.parametrize("role", ["operator", "developer"])
def test_who_may_not_act_is_offered_nothing_and_told_who_can(role, request, browser, story):
    deployment = story("recommended", "v1.3.0")
    user = request.getfixturevalue(role)
    client = browser(user)
    assert panel(user, build(load(user, deployment.pk))).offers == ()
    html = client.get(f"/deployments/{deployment.pk}/").content.decode()
    assert '<form method="post" action="/deployments/' not in html and "confirm-rollback" not in html
    assert "Acting on production takes: Admin." in html
    response = client.post(f"/deployments/{deployment.pk}/rollback/", {"reason": "I want to"})
    assert response.status_code == 403
    assert "Admin" in response.content.decode()
    assert Record.objects.filter(action="access.denied").exists()
    deployment.refresh_from_db()
    assert deployment.status == "watching"


def test_a_developer_may_act_on_staging(browser, developer, story, staging):
    deployment = story("running", environment=staging)
    client = browser(developer)
    client.post(f"/deployments/{deployment.pk}/hold/", {**form_of(client, deployment, "hold"), "reason": "Looking"})
    deployment.refresh_from_db()
    assert deployment.status == "held"


def test_the_panel_is_a_part_of_its_own(browser, admin, story):
    deployment = story("recommended", "v1.3.0")
    client = browser(admin)
    panel = client.get(f"/deployments/{deployment.pk}/actions/").content.decode()
    assert "<html" not in panel and f'action="/deployments/{deployment.pk}/rollback/"' in panel
    bar = client.get(f"/deployments/{deployment.pk}/actions/?part=bar").content.decode()
    assert "<form" not in bar and "Roll back" in bar and "Hold" in bar


def test_an_unknown_act_is_not_found(browser, admin, story):
    assert browser(admin).post(f"/deployments/{story('running').pk}/explode/", {"reason": "x"}).status_code == 404


def test_loading_an_act_again_does_nothing_and_leads_to_the_page(browser, admin, story):
    deployment = story("running")
    response = browser(admin).get(f"/deployments/{deployment.pk}/abort/?confirm=confirm-abort")
    assert response.status_code == 302
    assert response["Location"] == f"/deployments/{deployment.pk}/?confirm=confirm-abort"
    deployment.refresh_from_db()
    assert deployment.status == "running"
