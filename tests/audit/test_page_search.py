"""The search finds exactly the records that a plain comparison of each finds, page by page, in both directions."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.limits import Limits
from audit import queries
from audit.filters import Filter
from audit.models import Record
from audit.queries import Edge, Reader, Search
from tests.audit.records import NOON, make

PLACES = ("production", "staging", "")
NAMES = ("engine", "Ada Admin", "Otto Operator", "100% Odd_Name")
ACTIONS = ("traffic.shift", "deployment.held", "user.created")
OUTCOMES = ("intent", "done", "failed", "denied")
REASONS = ("", "Latency p99 is high", "order book slippage, OPS-4711", "50% of \\ all_things")


@pytest.fixture
def records(db, admin):
    """Some three hundred of them, several at the same moment."""
    rng = random.Random(7)
    for number in range(300):
        make(
            number // 3 * 10,
            actor_name=rng.choice(NAMES),
            actor=admin if rng.random() < 0.2 else None,
            action=rng.choice(ACTIONS),
            environment=rng.choice(PLACES),
            outcome=rng.choice(OUTCOMES),
            reason=rng.choice(REASONS),
            object_type=rng.choice(["deployment", "environment", ""]),
            object_id=str(rng.randint(1, 4)),
            object_name=rng.choice(["#1 v1.2.4 to v1.2.5", "production", ""]),
            request_id=rng.choice(["", "request-a", "request-b"]),
        )
    return list(Record.objects.order_by("-at", "-id"))


def matches(record: Record, wanted: Filter, reader: Reader, who_id: int | None) -> bool:
    """The same as the search, said plainly."""
    text, label = wanted.q.lower(), record.label
    return all(
        (
            reader.places is None or record.environment in reader.places or record.actor_id == (reader.own or -1),
            not wanted.who or record.actor_name == wanted.who or record.actor_id == (who_id or -1),
            wanted.action in ("", record.action),
            wanted.environment in ("", record.environment),
            wanted.outcome in ("", record.outcome),
            wanted.request in ("", record.request_id),
            wanted.object_type in ("", record.object_type),
            wanted.object_id in ("", record.object_id),
            wanted.since is None or record.at >= wanted.since,
            wanted.until is None or record.at < wanted.until,
            not text
            or record.request_id == wanted.q
            or any(text in part.lower() for part in (record.actor_name, f"{record.action} {label}"))
            or text in f"{record.object_name} {record.reason}".lower(),
        )
    )


def random_filter(rng: random.Random) -> Filter:
    """One to four conditions."""
    since = NOON + timedelta(seconds=rng.randint(0, 900))
    possible = {
        "q": rng.choice(
            ["latency", "OPS-4711", "v1.2.5", "engine", "traffic shift", "50% of \\", "e_o", "zeppelin", "request-a"]
        ),
        "who": rng.choice([*NAMES, "ada", "nobody"]),
        "action": rng.choice([*ACTIONS, "user.created"]),
        "object": rng.choice(["deployment:2", "environment", "deployment:99"]),
        "environment": rng.choice(["production", "staging", "nowhere"]),
        "outcome": rng.choice(OUTCOMES),
        "request": "request-b",
        "since": since,
        "until": since + timedelta(seconds=rng.randint(1, 500)),
    }
    return replace(Filter(), **{name: possible[name] for name in rng.sample([*possible], rng.randint(0, 3))})


@pytest.mark.parametrize("newest", [5, 10_000], ids=["by index", "among the newest"])
def test_every_filter_finds_what_a_plain_comparison_finds(records, admin, monkeypatch, newest):
    monkeypatch.setattr(queries, "NEWEST", newest)
    rng = random.Random(newest)
    readers = [Reader(None), Reader(("production",)), Reader(("production", "staging"), admin.pk), Reader((), admin.pk)]
    found_some = 0
    for _ in range(120):
        wanted, reader = random_filter(rng), rng.choice([*readers, Reader(())])
        search = Search.of(reader, wanted)
        who_id = admin.pk if wanted.who == "ada" else None
        expected = [record.pk for record in records if matches(record, wanted, reader, who_id)]
        assert [record.pk for record in search.page(400)] == expected, (wanted, reader)
        assert sorted(search.records().values_list("pk", flat=True)) == sorted(expected), (wanted, reader)
        assert walked(search, 7) == expected, (wanted, reader)
        found_some += bool(expected)
    assert found_some > 50


def walked(search: Search, size: int) -> list[int]:
    """All pages to the end; on the way back each page shows the same records."""
    pages: list[list[Record]] = []
    at = None
    while page := search.page(size, at):
        pages.append(page)
        at = Edge(page[-1].at, page[-1].pk)
    for before, page in zip(pages, pages[1:], strict=False):
        assert search.page(size, Edge(page[0].at, page[0].pk), newer=True) == before
    return [record.pk for page in pages for record in page]


def test_who_may_read_what(records, admin, operator, person):
    assert queries.reader(admin) == Reader(None)
    assert queries.reader(operator) == Reader(("production", "staging"), operator.pk)
    assert queries.reader(person("nemo", None)).places == ()
    admin.limits = Limits(frozenset(), frozenset({"staging"}))
    assert queries.reader(admin) == Reader(("staging",))
    operator.is_active = False
    assert not queries.visible_to(operator).exists()


def test_a_person_reads_their_own_acts_and_no_account_records_of_others(operator, admin):
    mine = make(actor=operator, actor_name="Otto Operator", action="user.created")
    make(actor=admin, actor_name="Ada Admin", action="user.created")
    assert [record.pk for record in Search.of(queries.reader(operator), Filter()).page(9)] == [mine.pk]


def test_a_page_takes_few_queries_however_many_records(records, admin, django_assert_max_num_queries):
    for wanted, most in ((Filter(), 2), (Filter(q="latency"), 5), (Filter(who="ada", outcome="failed"), 5)):
        with django_assert_max_num_queries(most):
            Search.of(Reader(None), wanted).page(51)


RARE = """
INSERT INTO audit_record (uuid, at, actor_name, via, role, action, object_type, object_id, object_name, environment,
                          outcome, reason, request_id, address)
SELECT gen_random_uuid(), timestamptz '2026-01-21 12:00Z' + number * interval '1 s',
       'Person ' || number % 20, 'session', 'Admin', 'action.' || number % 15, 'deployment', number / 100, '',
       (ARRAY['production', 'staging', ''])[1 + number % 3], CASE WHEN number % 50 = 0 THEN 'failed' ELSE 'done' END,
       'Because of ' || md5(number::text), 'request-' || number, ''
  FROM generate_series(1, 20000) AS number
"""
PLANS = [
    (Filter(who="Nobody"), "audit_who"),
    (Filter(environment="staging", since=NOON), "audit_place"),
    (Filter(outcome="denied"), "audit_odd"),
    (Filter(who="Person 3", action="action.4"), "audit_facets"),
    (Filter(q="zeppelin"), "audit_text"),
    (Filter(request="request-z"), "audit_request"),
    (Filter(object="deployment:777"), "audit_object"),
]


def test_each_filter_has_its_index(db, monkeypatch):
    monkeypatch.setattr(queries, "NEWEST", 10)
    with connection.cursor() as cursor:
        cursor.execute(RARE)
        cursor.execute("ANALYZE audit_record")
        for wanted, index in PLANS:
            with CaptureQueriesContext(connection) as asked:
                Search.of(Reader(None), wanted).page(51)
            plans = []
            for query in asked.captured_queries:
                cursor.execute("EXPLAIN " + query["sql"])
                plans.append("\n".join(row[0] for row in cursor.fetchall()))
            assert any(index in plan for plan in plans), "\n\n".join(plans)
            assert not any("Seq Scan on audit_record" in plan for plan in plans), "\n\n".join(plans)


def test_the_place_in_a_list_is_written_and_read(db):
    record = make(0.123456)
    written = Edge(record.at, record.pk)
    assert queries.edge(str(written)) == written
    for made_up in ("", "1", "a-b", "-1-2", "9" * 30 + "-1", "1-2-3"):
        assert queries.edge(made_up) is None


def test_a_text_that_takes_too_long_is_said_to_and_not_called_absent(records, monkeypatch):
    monkeypatch.setattr(queries, "NEWEST", 5)
    long_ago = make(-1, reason="zeppelin " + "a" * 8_000_000)
    search = Search.of(Reader(None), Filter(q="zeppelin"))
    with pytest.raises(queries.TakesLonger) as raised:
        search.page(51, milliseconds=1)
    assert raised.value.found == []
    assert [record.pk for record in search.page(51)] == [long_ago.pk], "without a limit everything is searched"
    assert [record.pk for record in search.page(51, milliseconds=60_000)] == [long_ago.pk]


def test_the_time_limit_ends_with_the_search(records):
    def limit() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            return cursor.fetchone()[0]

    before = limit()
    Search.of(Reader(None), Filter(q="nothing of this kind")).page(51, milliseconds=5_000)
    assert limit() == before != "5s", "the transaction around it goes on as it was"
