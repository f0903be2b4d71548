"""The frame of every page, and the style guide."""

import time

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import engines
from django.test import RequestFactory

from opsconsole.context import frame
from opsconsole.views import styleguide


def request_of(user, path="/deployments/7/", **cookies):
    request = RequestFactory().get(path)
    request.user, request.session = user, {"methods": ["passkey"], "opened_at": time.time()}
    request.COOKIES.update(cookies)
    return request


def test_a_page_costs_at_most_eight_queries_for_its_frame(operator, django_assert_max_num_queries):
    request = request_of(operator)
    template = engines["django"].from_string('{% extends "base.html" %}{% block content %}<h1>Hello</h1>{% endblock %}')
    with django_assert_max_num_queries(8):
        html = template.render({}, request)
    assert "Otto Operator" in html and "otto, Operator" in html
    assert html.count('aria-current="page"') == 1 and "/deployments/" in html


@pytest.mark.parametrize(
    ("cookie", "theme"), [("dark", "dark"), ("light", "light"), ("'><script>", "auto"), (None, "auto")]
)
def test_the_theme_is_drawn_by_the_server(cookie, theme):
    cookies = {"opsc_theme": cookie} if cookie else {}
    assert frame(request_of(AnonymousUser(), **cookies))["frame"].theme == theme


def test_overview_is_current_only_on_its_own_page():
    def current(path):
        return [item.word for item in frame(request_of(AnonymousUser(), path))["frame"].nav if item.current]

    assert current("/") == ["Overview"] and current("/releases/v1.2.5/") == ["Releases"] and current("/login/") == []


def test_nothing_inline_is_in_the_frame(admin):
    admin.is_staff = True
    html = styleguide(request_of(admin)).content.decode()
    assert "style=" not in html and "onclick" not in html and "<script>" not in html


def test_the_style_guide_is_for_staff(operator, settings):
    from django.core.exceptions import PermissionDenied

    settings.DEBUG = settings.DEMO = False
    with pytest.raises(PermissionDenied):
        styleguide(request_of(operator))
    operator.is_staff = True
    assert styleguide(request_of(operator)).status_code == 200


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [("failing", None, "v1.2.5 failed, going back to v1.2.4."), ("failed", None, "deployment of v1.2.5 failed."),
     ("watching", "fail", "v1.2.5 is beyond a limit."), ("watching", "warn", None), ("rolled_back", None, None)],
)  # fmt: skip
def test_a_deployment_in_trouble_is_on_every_page(operator, production, status, verdict, words):
    from django.utils import timezone

    from deployments.models import Deployment, Release, VerdictRow

    old, new = [
        Release.objects.get_or_create(
            service=production.service, version=version, defaults={"artifact": "x", "digest": "sha256:0"}
        )[0]
        for version in ("v1.2.4", "v1.2.5")
    ]
    deployment = Deployment.objects.create(
        environment=production, from_release=old, to_release=new, to_slot=production.slots.first(),
        strategy="blue_green", status=status, reason="test", requested_by_name="Ada",
    )  # fmt: skip
    if verdict:
        VerdictRow.objects.create(
            deployment=deployment, rule="Latency p99", kind="latency", verdict=verdict, action="recommend",
            since=timezone.now(), at=timezone.now(),
        )  # fmt: skip
    titles = [trouble.title for trouble in frame(request_of(operator))["frame"].troubles]
    assert titles == ([words] if words else [])
    assert frame(request_of(AnonymousUser()))["frame"].troubles == []
