"""The change log: entries in words, one order over all sources, periods, files, and who sees what."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.models import Alert
from audit import registry
from audit.actions import record
from audit.models import Record
from deployments.models import Deployment
from opsconsole.changelog import filters, sources
from opsconsole.changelog.collect import collect, scope
from opsconsole.changelog.entries import Entry, Kind, Period, Place, grouped, place
from opsconsole.changelog.filters import Wanted, read
from opsconsole.changelog.markdown import to_markdown
from tests.accounts.factors import give_second_factor, make_key
from tests.audit import records
from tests.pages import stories
from tests.pages.conftest import browser  # noqa: F401  signed in, without a script
from trading.models import BreakerTrip, EmergencyStop

ATOM = "{http://www.w3.org/2005/Atom}"
QUERIES = 6


def entry(at: datetime, kind: Kind = Kind.DEPLOYMENT, **fields: Any) -> Entry:
    return Entry(Place(at, 0, "1"), (kind,), fields.pop("title", "Deployment: v1"), ("", ""), **fields)


def acted(actor: Any, action: str, subject: Any = None, **fields: Any) -> Record:
    with transaction.atomic():
        return record(actor, action, subject, **fields)


@pytest.fixture
def happened(production, staging, release, admin, operator, actor_of) -> dict[str, Any]:
    """One of everything."""
    old, new = release("v1.2.4", config_revision="r11"), release("v1.2.5", config_revision="r12")
    failed = stories.failed(staging, old, new)
    back = stories.rolled_back(production, old, new)
    now, ada = timezone.now(), actor_of(admin)
    stop = EmergencyStop.objects.create(
        environment=production,
        actor_name="Otto Operator",
        via="page",
        reason="Prices froze",
        pressed_at=now - timedelta(minutes=9),
        finished_at=now,
        outcome="FLAT",
    )
    trip = BreakerTrip.objects.create(
        environment=staging,
        instance_name="staging-blue-1",
        reason_code="rapid_loss",
        tripped_at=now - timedelta(minutes=8),
    )
    alerts = [
        Alert.objects.create(environment=environment, kind=kind, key=str(number), severity=severity, title=title, **at)
        for at in [{"raised_at": now - timedelta(minutes=7), "seen_at": now}]
        for number, (environment, kind, severity, title) in enumerate(
            [
                (production, "mismatch", "warning", "BTC differs"),
                (production, "contact", "warning", "No contact for a moment"),
                (production, "breaker", "critical", "told by the trip"),
                (None, "delivery", "critical", "No channel answers"),
            ]
        )
    ]
    changed = acted(ada, "user.role_changed", operator, before={"role": "Developer"}, after={"role": "Operator"})
    restore = {"environment": "production", "after": {"kind": "restore"}}
    acted(ada, "database.finished", production, **restore, outcome="failed", reason="The file is gone")
    acted(ada, "database.finished", production, **restore | {"after": {"kind": "backup"}})
    acted(ada, "user.role_changed", operator, outcome="denied")
    return {"failed": failed, "back": back, "stop": stop, "trip": trip, "alerts": alerts, "changed": changed}


def titles(user: Any, **wanted: Any) -> list[str]:
    return [one.title for one in collect(scope(user), Wanted(**wanted), 100).entries]


def test_everything_that_happened_is_told_once_newest_first(happened, admin):
    found = collect(scope(admin), Wanted(), 100).entries
    assert [one.at for one in found] == sorted((one.at for one in found), reverse=True)
    bad = happened["back"][0]
    assert sorted((one.title, one.environment) for one in found) == sorted(
        [
            ("Deployment: v1.2.4 to v1.2.5", "staging"),
            ("Deployment: v1.2.4 to v1.2.5", "production"),
            (f"Rollback of deployment {bad.pk}: v1.2.5 to v1.2.4", "production"),
            ("Emergency stop: kill switch engaged", "production"),
            ("Circuit breaker of staging-blue-1: Rapid unexpected losses", "staging"),
            ("Positions differ: BTC differs", "production"),
            ("Alerts not sent: No channel answers", ""),
            ("Role changed: otto", ""),
            ("System definition applied: paper-trader", ""),
            ("Restore of the database ended", "production"),
        ]
    )
    told = {one.title: one for one in found}
    assert told["Role changed: otto"].details == ("", "role: Developer → Operator.")
    assert told["Restore of the database ended"].details[0] == "The file is gone."
    failed = next(one for one in found if one.environment == "staging" and one.kind == Kind.DEPLOYMENT)
    assert "smoke tests failed" in failed.details[0] and failed.status == ("deployment", "failed")


def test_a_filter_by_kind_finds_what_belongs_to_two(happened, admin):
    bad, back = happened["back"]
    for kind in Kind:
        found = collect(scope(admin), Wanted(kind=kind), 100).entries
        assert found and all(kind in one.kinds for one in found), kind
    changing = collect(scope(admin), Wanted(kind="configuration"), 100).entries
    assert [one.links[0][1] for one in changing if one.kind == Kind.DEPLOYMENT] == [
        f"/deployments/{back.pk}/",
        f"/deployments/{bad.pk}/",
    ]
    assert "Configuration revision: r11 → r12." in changing[-1].details
    assert f"Rollback of deployment {bad.pk}: v1.2.5 to v1.2.4" not in titles(admin, kind="incident")
    every = {one.id for one in collect(scope(admin), Wanted(), 100).entries}
    by_kind = {one.id for kind in Kind for one in collect(scope(admin), Wanted(kind=kind), 100).entries}
    assert by_kind == every


def test_pages_are_complete_whatever_has_the_same_moment(production, admin, release, actor_of, settings):
    at = datetime(2026, 1, 21, 12, tzinfo=UTC)
    old, new = release("v1.2.4"), release("v1.2.5")
    for _ in range(3):
        made = stories.deployment(production, old, new, 0, "failed")
        Deployment.objects.filter(pk=made.pk).update(started_at=at)
        records.make(at, action="system.applied", environment="production")
        EmergencyStop.objects.create(environment=production, actor_name="a", via="api", pressed_at=at)
    seen, found, after = scope(admin), [], None
    for _ in range(20):
        page = collect(seen, Wanted(), 2, after)
        found += page.entries
        if page.older is None:
            break
        after = place(str(page.older))
        assert after == page.older
    assert [one.title for one in found if one.at != at] == ["System definition applied: paper-trader"]
    assert len(found) == 1 + 9 == len({one.id for one in found})
    assert all(one.place.order > other.place.order for one, other in pairwise(found))


def test_one_sees_what_one_may_see(happened, person, admin, operator, actor_of):
    nobody = person("nina", None)
    assert titles(nobody) == []
    seen = titles(operator)
    assert "Role changed: otto" not in seen and "Emergency stop: kill switch engaged" in seen
    assert "Alerts not sent: No channel answers" in seen
    acted(actor_of(operator), "api_key.created", operator)
    assert "API key created: otto" in titles(operator)
    assert "API key created: otto" not in titles(operator, environment="production")
    assert {one.environment for one in collect(scope(admin), Wanted(environment="staging"), 9).entries} == {"staging"}
    assert titles(admin, environment="elsewhere") == []


def test_a_key_for_one_environment_reads_that_one(happened, admin):
    give_second_factor(admin)
    key = make_key(admin, environments=["staging"])
    found = Client(headers={"Authorization": f"Bearer {key}"}).get("/api/v1/changelog/").json()["results"]
    assert found and {one["environment"] for one in found} == {"staging", None}
    assert [one["title"] for one in found if not one["environment"]] == ["Alerts not sent: No channel answers"]


@pytest.mark.parametrize("who", ["admin", "operator"])
def test_a_page_takes_few_queries(who, happened, request):
    user = request.getfixturevalue(who)
    user = type(user).objects.prefetch_related("groups").get(pk=user.pk)  # the frame of a page has asked for the role
    with CaptureQueriesContext(connection) as asked:
        assert collect(scope(user), Wanted(), 50).entries
    assert len(asked) <= QUERIES, [query["sql"][:120] for query in asked]


def test_actions_are_registered_and_decided():
    known = set(registry.actions())
    assert {*sources.CONFIGURATION, *sources.INCIDENTS} <= known
    assert {"environment.frozen", "environment.freeze_lifted"} <= set(sources.actions("configuration"))
    assert set(sources.actions()) == set(sources.actions("configuration")) | set(sources.actions("incident"))
    assert sources.actions("deployment") == []


def test_entries_stand_under_their_day_week_and_month():
    days = [datetime(2026, 11, 23, 0, 0, 1, tzinfo=UTC), datetime(2026, 11, 22, 23, tzinfo=UTC)]
    days += [datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 10, 31, 23, 59, tzinfo=UTC)]
    listed = [entry(day) for day in days]
    assert [(one.title, one.first, one.last, len(one.entries)) for one in grouped(listed, Period.WEEK)] == [
        ("Week 48 of 2026, from 23 November", date(2026, 11, 23), date(2026, 11, 29), 1),
        ("Week 47 of 2026, from 16 November", date(2026, 11, 16), date(2026, 11, 22), 2),
        ("Week 44 of 2026, from 26 October", date(2026, 10, 26), date(2026, 11, 1), 1),
    ]
    assert [(one.title, one.last, len(one.entries)) for one in grouped(listed, Period.MONTH)] == [
        ("November 2026", date(2026, 11, 30), 3),
        ("October 2026", date(2026, 10, 31), 1),
    ]
    assert grouped(listed, Period.DAY)[0].title == "Monday 23 November 2026"


@pytest.mark.parametrize(
    "text", ["", "x", "1-0-x", "1-9-5-", "99999999999999999-0-1\n", "1-1-5", f"1-0-{UUID(int=1)}", "1-1-" + "-" * 36]
)
def test_a_made_up_place_is_none(text):
    assert place(text) is None


def test_filters_say_what_is_wrong():
    wanted, problems = read({"kind": "party", "period": "year", "since": "soon", "environment": "a\x00"})
    assert set(problems) == {"kind", "period", "since", "environment"} and wanted == Wanted()
    assert "Known: deployment" in problems["kind"]
    wanted, problems = read({"since": "2026-02-01", "until": "2026-01-31"})
    assert set(problems) == {"until"} and wanted.until is None
    offered = {word: href for word, href, _ in filters.ranges({"kind": "incident"}, date(2026, 3, 1))}
    assert offered["Last month"] == "?kind=incident&since=2026-02-01&until=2026-02-28"
    assert offered["This week"] == "?kind=incident&since=2026-02-23"


def test_markdown_is_in_the_manner_of_a_change_log():
    at = datetime(2026, 11, 23, 14, 2, tzinfo=UTC)
    odd = entry(at, Kind.INCIDENT, title="Alert: *x* <b>\n# no", environment="production", who="Ada",
                details=("Because.", "", "[y](z)"), links=(("Alert", "/alerts/1/"),))  # fmt: skip
    text = to_markdown(grouped([odd, entry(at)], Period.MONTH), "https://ops.example.com", "Cut.")
    assert text.startswith("# Change log\n") and "\nCut.\n" in text
    assert re.findall(r"^#+ .*$", text, re.MULTILINE) == [
        "# Change log", "## November 2026", "### Deployments", "### Incidents",
    ]  # fmt: skip
    assert (
        "- 2026-11-23 14:02 **Alert: \\*x\\* \\<b\\> \\# no**, production, Ada. Because. \\[y\\](z) "
        "([Alert](https://ops.example.com/alerts/1/))\n"
    ) in text


def test_the_page_and_its_files(happened, admin, browser):  # noqa: F811
    client = browser(admin)
    page = client.get("/changelog/?period=month").content.decode()
    assert f'href="/kill-switch/stops/{happened["stop"].pk}/"' in page and "Prices froze." in page
    assert page.count('<section class="panel"') == len(set(re.findall(r'id="g-(\S+?)"', page)))
    assert 'href="/changelog.md?period=month"' in page and 'href="/api/v1/changelog/"' in page
    markdown = client.get("/changelog.md?period=month&kind=incident")
    assert markdown["Content-Type"].startswith("text/markdown") and "Prices froze" in markdown.content.decode()
    assert client.get("/changelog/?kind=party").status_code == 200
    assert (
        client.get("/changelog.md?kind=party").status_code == client.get("/changelog/atom/?since=x").status_code == 400
    )
    assert "No entry matches" in client.get("/changelog/?since=2001-01-01&until=2001-01-02").content.decode()
    end = client.get(f"/changelog/?before={Place(datetime(2001, 1, 1, tzinfo=UTC), 0, '1')}").content.decode()
    assert "No older entry" in end


def test_the_feed_is_atom(happened, admin, api_client):
    root = ElementTree.fromstring(api_client(admin).get("/changelog/atom/?kind=incident").content)
    assert root.tag == f"{ATOM}feed" and root.findtext(f"{ATOM}id") and root.findtext(f"{ATOM}updated")
    entries = root.findall(f"{ATOM}entry")
    assert len({one.findtext(f"{ATOM}id") for one in entries}) == len(entries) == len(titles(admin, kind="incident"))
    for one in entries:
        assert one.findtext(f"{ATOM}updated") >= one.findtext(f"{ATOM}published")
        assert one.find(f"{ATOM}link").get("href").startswith("http://testserver/")
    stop = next(one for one in entries if "Emergency stop" in one.findtext(f"{ATOM}title"))
    assert stop.findtext(f"{ATOM}summary") == "Prices froze."


def test_an_empty_feed_and_odd_characters_are_fine(person, system, actor_of, api_client):
    ada = person("ada", "Admin")
    acted(actor_of(ada), "user.deactivated", ada, reason="Bell \x07 & <b>")
    client = api_client(ada)
    root = ElementTree.fromstring(client.get("/changelog/atom/?kind=configuration").content)
    told = [one for one in root.findall(f"{ATOM}entry") if "deactivated" in one.findtext(f"{ATOM}title")]
    assert told[0].findtext(f"{ATOM}summary") == "Bell  &amp; &lt;b&gt;."
    empty = ElementTree.fromstring(client.get("/changelog/atom/?until=2001-01-01").content)
    assert empty.findtext(f"{ATOM}updated") == "1970-01-01T00:00:00+00:00"


def test_the_api_pages_through_the_same_entries(happened, admin, api_client):
    client = api_client(admin)
    found, address = [], "/api/v1/changelog/?page_size=2"
    while address:
        answer = client.get(address).json()
        found += answer["results"]
        address = answer["next"]
    assert [one["title"] for one in found] == titles(admin)
    stop = next(one for one in found if one["title"].startswith("Emergency stop"))
    assert stop["status"] == "Confirmed flat" and stop["kinds"] == ["incident"] and stop["details"] == ["Prices froze."]
    assert client.get("/api/v1/changelog/?before=xyz").status_code == 404
    assert client.get("/api/v1/changelog/?kind=party").status_code == 400
    assert client.get("/api/v1/changelog/?since=%00").status_code == 400


@pytest.fixture
def api_client(db):
    """A client that sends the key of a person."""

    def make(user: Any) -> Client:
        if user.role == "Admin":
            give_second_factor(user)
        return Client(headers={"Authorization": f"Bearer {make_key(user)}"})

    return make
