"""The live topics draw the same partials as the pages, for everybody alike."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from accounts.topics import Reload, UnknownTopic, draw, find
from deployments import live as deployment_live
from environments import live as environment_live

assert deployment_live and environment_live, "importing registers the topics"


@pytest.mark.parametrize("state", ["running", "held", "watching", "recommended", "failed", "rolled_back", "succeeded"])
def test_each_region_has_its_place_on_the_page(state, browser, admin, story):
    deployment = story(state)
    html = browser(admin).get(f"/deployments/{deployment.pk}/").content.decode()
    view = draw(f"deployment.{deployment.pk}")
    for region, content in view.regions.items():
        assert f'id="{region}"' in html, region
        if isinstance(content, str):
            assert "<form" not in content and "csrf" not in content, f"{region} depends on who looks"
    for chart in view.charts:
        assert f'data-chart="{chart}"' in html
    assert deployment.get_status_display() in view.say


def test_a_region_equals_the_page(browser, admin, story):
    deployment = story("watching")
    html = browser(admin).get(f"/deployments/{deployment.pk}/").content.decode()
    squeezed = re.sub(r"\s+", "", html)
    content = draw(f"deployment.{deployment.pk}").regions["alerts-body"]
    assert isinstance(content, str) and re.sub(r"\s+", "", content) in squeezed


def test_the_acts_are_fetched_again_when_the_state_changes(story):
    deployment = story("running")
    before = draw(f"deployment.{deployment.pk}").regions["actions"]
    assert isinstance(before, Reload) and before.url == f"/deployments/{deployment.pk}/actions/"
    assert draw(f"deployment.{deployment.pk}").regions["actions"] == before
    deployment.handover_at = timezone.now()  # the status stays, but abort gives way to roll back
    deployment.save()
    assert draw(f"deployment.{deployment.pk}").regions["actions"] != before


@pytest.mark.parametrize("topic", ["overview", "environments"])
def test_topics_that_show_every_environment(topic, browser, admin, person, story, staging):
    from guardian.shortcuts import assign_perm

    story("recommended")
    html = browser(admin).get("/" if topic == "overview" else "/environments/").content.decode()
    assert topic in re.findall(r"\w+", re.search(r'data-topics="([^"]*)"', html).group(1))
    for region in draw(topic).regions:
        assert f'id="{region}"' in html, region
    visitor = person("vic", None)
    assign_perm("view_environment", visitor, staging)
    registered, key = find(topic)
    assert registered.may_see(admin, key) and not registered.may_see(visitor, key)


def test_an_environment_is_followed_by_those_who_see_it(browser, admin, person, story, production):
    story("watching")
    html = browser(admin).get("/environments/production/").content.decode()
    for region in draw(f"environment.{production.pk}").regions:
        assert f'id="{region}"' in html, region
    registered, key = find(f"environment.{production.pk}")
    assert registered.may_see(admin, key) and not registered.may_see(person("eve", None), key)


def test_a_deployment_is_followed_by_those_who_see_it(admin, person, story):
    registered, key = find(f"deployment.{story('watching').pk}")
    assert registered.may_see(admin, key)
    assert not registered.may_see(person("eve", None), key)
    assert not registered.may_see(admin, "999999") and not registered.may_see(admin, "x")
    with pytest.raises(UnknownTopic):
        find("secrets.1")
