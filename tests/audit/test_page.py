"""The pages of the audit trail, as people and their browsers get them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit import pages, queries, standing
from audit.checkpoints import Signer
from audit.models import Pending, Record, Verification
from tests.audit.records import chain_up, make

ADA = {"actor_name": "Ada Admin", "role": "Admin", "via": "session", "address": "10.0.0.9", "request_id": "request-77"}


@pytest.fixture
def visit(admin):
    """The text of a page as somebody sees it, an Admin unless said otherwise."""

    def get(address: str, user=admin) -> str:
        client = Client()
        client.force_login(user)
        answer = client.get(address)
        assert answer.status_code == 200, answer.status_code
        return answer.content.decode()

    return get


def words(html: str) -> str:
    """The words of the main part, white space squeezed."""
    main = html.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<(script|select)\b.*?</\1>|<[^>]+>", " ", main, flags=re.S)).split())


def test_a_row_says_when_who_how_what_where_and_from_where(visit, production):
    make(
        0.204,
        **ADA,
        action="traffic.shift",
        object_type="environment",
        object_id=str(production.pk),
        object_name="production",
        environment="production",
        reason="Because",
        after={"title": "Step 3"},
    )
    html = visit("/audit/?q=because")
    text = words(html)
    assert "2026-01-21 12:00:00.204 UTC" in text and "ago" in text
    assert "Ada Admin Admin, in the browser Traffic shift Step 3 Because production production Done 10.0.0.9" in text
    assert 'href="/environments/production/"' in html and "data-rows" in html


@pytest.mark.parametrize(
    ("via", "said"), [("key", "by API key"), ("cli", "at the server"), ("system", "by itself"), ("login", "by command")]
)
def test_how_an_act_arrived(visit, via, said):
    make(**ADA | {"via": via})
    assert f"Admin, {said}" in words(visit("/audit/?who=Ada+Admin"))


def test_filters_that_are_set_are_chips_that_can_be_taken_off(visit):
    make(**ADA, environment="staging", outcome="failed")
    html = visit("/audit/?who=Ada+Admin&outcome=failed&since=2026-01-21&object=deployment:4&q=")
    chips = dict(re.findall(r'class="chip" href="([^"]*)"><span>([^:]*:)', html))
    assert set(chips.values()) == {"Who:", "Object:", "Outcome:", "From, UTC:"}
    without_who = next(unescape(href) for href, label in chips.items() if label == "Who:")
    assert without_who == "?object=deployment%3A4&outcome=failed&since=2026-01-21"
    # The form keeps what it has no field for.
    assert '<input type="hidden" name="object" value="deployment:4">' in html
    assert "/api/v1/audit/?actor=Ada+Admin&object=deployment%3A4&outcome=failed&since=2026-01-21" in unescape(html)
    assert "/audit/export/?who=Ada+Admin&object=deployment%3A4&outcome=failed&since=2026-01-21&as=csv" in unescape(html)


def test_a_filter_that_cannot_be_used_is_named(visit):
    text = words(visit("/audit/?since=soon&q=ab&outcome=perhaps"))
    assert "“soon” is no time. Write 2026-01-21" in text and "search for 3 or more" in text
    assert "There is no outcome “perhaps”" in text


def test_pages_lead_to_each_other(visit, monkeypatch):
    monkeypatch.setattr(pages, "PAGE_SIZE", 3)
    for number in range(8):
        make(number, **ADA, reason=f"number {number}")
    html, seen = visit("/audit/?who=Ada+Admin"), []
    while True:
        seen.append(re.findall(r"number \d", words(html)))
        older = re.search(r'rel="next" href="([^"]+)"', html)
        if not older:
            break
        html = visit("/audit/" + unescape(older[1]))
    assert seen == [
        ["number 7", "number 6", "number 5"],
        ["number 4", "number 3", "number 2"],
        ["number 1", "number 0"],
    ]
    back = re.search(r'rel="prev" href="([^"]+)"', html)
    assert back and re.findall(r"number \d", words(visit("/audit/" + unescape(back[1])))) == seen[1]


def test_nothing_found_says_the_next_step(visit, person):
    assert "No record matches Widen the search, or clear it. Clear the search" in words(visit("/audit/?who=nobody"))
    assert "No record yet" in words(visit("/audit/", person("nemo", None)))


def verification(**fields) -> Verification:
    Verification.objects.all().delete()
    return Verification.objects.create(**fields)


def test_the_chain_is_not_claimed_to_be_checked_before_it_was(visit):
    assert "Chain not checked yet" in words(visit("/audit/"))


def test_how_the_chain_stands(visit):
    now = timezone.now()
    verification(tail_seq=10482, tail_at=now, walked_seq=10001, walked_at=now)
    text = words(visit("/audit/"))
    assert f"Chain intact to entry 10,482 , checked {now:%H:%M:%S} UTC" in text
    assert "Read whole, to entry 10,001" in text
    verification(tail_seq=10482, tail_at=now - timedelta(minutes=5))
    assert "Chain not checked lately intact to entry 10,482 , but checked" in words(visit("/audit/"))
    verification(tail_seq=9, tail_at=now, wrong_seq=77, wrong_what="its record is not as it was written", wrong_at=now)
    html = visit("/audit/")
    assert "Chain BROKEN at entry 77" in words(html) and "status-crit" in html
    assert "The trail was changed past the console. Entry 77: its record is not as it was written." in words(html)


def test_records_that_wait_too_long_for_the_chain_are_said(visit):
    Pending.objects.all().delete()
    make(datetime.now(UTC) - timedelta(minutes=3))
    verification(tail_seq=9, tail_at=timezone.now())
    assert re.search(r"Waiting \d+ records? not in the chain yet, the oldest since", words(visit("/audit/")))


def test_acts_without_an_end_are_an_alarm_with_a_list(visit, operator):
    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    fields = {"action": "traffic.drift_repaired", "object_type": "environment", "outcome": "intent"}
    make(long_ago, **fields, object_id="1", environment="production", reason="first")
    assert "1 act began and has no recorded end." in words(visit("/audit/"))
    make(long_ago, **fields, object_id="2", environment="development", reason="second")
    assert "2 acts began and have no recorded end." in words(visit("/audit/"))
    assert "1 act began" in words(visit("/audit/", operator)), (
        "the other is in an environment that an Operator does not see"
    )
    listed = words(visit("/audit/?open=1"))
    assert "first" in listed and "second" in listed and "Signed in" not in listed
    found = Record.objects.get(reason="first")
    assert "This act began and has no recorded end." in words(visit(f"/audit/{found.pk}/"))
    make(**fields | {"outcome": "done"}, at=long_ago + timedelta(seconds=1), object_id="1")
    assert "no recorded end" not in words(visit(f"/audit/{found.pk}/"))


def test_without_open_acts_the_list_of_them_says_so(visit):
    assert "Every act has a recorded end" in words(visit("/audit/?open=1"))


def test_the_detail_shows_all_that_was_kept(visit, admin):
    record = make(
        **ADA,
        actor=admin,
        object_type="deployment",
        object_id="4242",
        object_name="#4242 v1.2.4 to v1.2.5",
        environment="production",
        reason="Because",
        before={"weights": {"blue": 100, "green": 0}, "same": 1, "gone": True},
        after={"weights": {"blue": 0, "green": 0}, "same": 1, "come": [1, 2]},
    )
    html = visit(f"/audit/{record.pk}/")
    text = words(html)
    for said in (
        "Ada Admin Admin",
        "In the browser",
        "traffic.shift",
        "#4242 v1.2.4",
        "Because",
        "10.0.0.9",
        "request-77",
    ):
        assert said in text, said
    assert (
        str(record.uuid) in text and "/audit/?object=deployment:4242" in html and "/audit/?request=request-77" in html
    )
    rows = re.findall(r'<th scope="row">([^<]+?)\s*(?:<span class="muted">(\w+)</span>)?</th>', html)
    assert sorted(rows[:3]) + sorted(rows[3:]) == [
        ("come", "added"),
        ("gone", "removed"),
        ("weights.blue", "changed"),
        ("same", ""),
        ("weights.green", ""),
    ]


def test_records_of_the_same_object_lead_to_each_other_past_what_may_not_be_seen(visit, operator):
    same = {"object_type": "deployment", "object_id": "7"}
    first, hidden, last = (make(n, **same, environment=name) for n, name in enumerate(["staging", "", "staging"]))
    html = visit(f"/audit/{first.pk}/", operator)
    assert f'rel="next" href="/audit/{last.pk}/"' in html and 'rel="prev"' not in html
    assert f'rel="prev" href="/audit/{hidden.pk}/"' in visit(f"/audit/{last.pk}/")
    alone = visit(f"/audit/{make().pk}/")
    assert "rel=" not in alone.partition("<main")[2]


def test_the_proof_of_a_record_is_computed_for_the_page(visit, tmp_path):
    record, other = make(0, reason="as it was", after={"a": 0.1}), make(1)
    assert "Not in the chain yet" in words(visit(f"/audit/{record.pk}/"))
    chain_up([record, other])
    text = words(visit(f"/audit/{record.pk}/"))
    assert "This record is as it was written" in text and "Not yet: the next checkpoint covers it" in text
    checkpoint = chain_up([make(2)], Signer.of_file(tmp_path / "key.pem"))
    assert checkpoint and "Checkpoint of" in words(visit(f"/audit/{record.pk}/"))
    found = standing.proof(other)
    assert found and found.is_whole and (found.seq, found.checkpoint_seq) == (2, 3)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_record SET reason = 'another' WHERE id = %s",
        "UPDATE audit_record SET at = at + interval '1 microsecond' WHERE id = %s",
        "UPDATE audit_chain SET digest = sha256('x') WHERE record_id = %s",
        "UPDATE audit_chain SET hash = sha256('x') WHERE record_id = %s",
    ],
)
def test_a_changed_record_is_seen_on_its_page(visit, change):
    record = make(0, reason="as it was")
    chain_up([make(1), record])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("audit_record", "audit_chain"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(change, [record.pk])
    html = visit(f"/audit/{record.pk}/")
    assert "This record is not as it was written." in words(html) and "banner-crit" in html


def test_the_number_of_queries_does_not_grow(visit):
    client_needs = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as asked:
            visit("/audit/?q=because")
        client_needs.append(len([query for query in asked.captured_queries if "audit_" in query["sql"]]))
        for number in range(30):
            make(number, **ADA, reason="because", object_type="deployment", object_id=str(number))
    assert max(client_needs) <= 9, client_needs


def test_a_file_is_not_made_of_a_filter_that_cannot_be_used(visit, admin):
    client = Client()
    client.force_login(admin)
    assert client.get("/audit/export/?since=soon").status_code == 400
    assert client.get("/audit/export/?as=xml").status_code == 400
    assert client.head("/audit/export/").status_code == 405
    assert not Record.objects.filter(action="audit.exported").exists()
    answer = client.get("/audit/export/?as=csv&who=nobody")
    assert answer.status_code == 200 and b"".join(answer.streaming_content).startswith(b"id,time,who")


def test_a_search_that_takes_long_shows_the_newest_and_comes_back_for_the_rest(visit, monkeypatch):
    make(-100, reason="zeppelin " + "a" * 8_000_000)
    make(0, reason="zeppelin of today")
    monkeypatch.setattr(queries, "NEWEST", Record.objects.count() - 1)
    monkeypatch.setattr(pages, "SEARCH_MILLISECONDS", 1)
    html = visit("/audit/?q=zeppelin")
    assert "zeppelin of today" in words(html) and "The newest records are searched" in words(html)
    address = unescape(re.search(r'data-rest="([^"]+)"', html)[1])
    whole = visit(f"/audit/{address}")
    assert whole.count("zeppelin a") == 1 and "data-rest" not in whole
