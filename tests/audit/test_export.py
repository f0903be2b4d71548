"""Exports: what is in them, what proves them, and that they are themselves in the trail."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.db import connection, connections, transaction

from audit import export, verify
from audit.actors import Actor
from audit.checkpoints import Signer, trusted_keys
from audit.export import Form
from audit.filters import Filter
from audit.models import Record
from audit.queries import Reader, Search
from tests.audit.records import chain_up, make

ACTOR = Actor("Ada Admin", "session", None, "Admin", "request-1", "10.0.0.9")
AFTER = {"weights": {"blue": 100}, "share": 0.1, "large": 2**70, "text": "ünï ‹code›", "list": [1, None, True]}


@pytest.fixture
def signer(tmp_path):
    return Signer.of_file(tmp_path / "signing_key.pem")


@pytest.fixture
def keys(signer, tmp_path):
    return trusted_keys(tmp_path / "signing_key.pem")


@pytest.fixture
def trail(db, signer):
    """Twelve records in the chain, the environments in turn, signed after the tenth and the last; one not chained."""
    places = ("production", "staging", "")
    made = [make(n, environment=places[n % 3], object_id=str(n), after=AFTER, reason=f"number {n}") for n in range(13)]
    chain_up(made[:10], signer)
    chain_up(made[10:12], signer)
    return made


def written(wanted: Filter = Filter(), form: Form = Form.JSONL, reader: Reader = Reader(None)) -> str:  # noqa: B008
    return b"".join(export.begin(ACTOR, Search.of(reader, wanted), form)).decode()


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def verified(text: str, keys) -> verify.ExportWalk:
    walk = verify.ExportWalk(keys)
    wrong = [found for line in text.splitlines() if (found := walk.take(line))] + [walk.end()]
    assert not any(wrong), wrong
    return walk


def test_a_proved_export_of_everything(trail, keys):
    text = written()
    walk = verified(text, keys)
    assert (walk.records, walk.omitted, walk.pending) == (12, 0, 1)
    kinds = [line["type"] for line in lines(text)]
    assert kinds == ["record"] * 12 + ["checkpoint", "pending"]
    assert lines(text)[0]["record"]["after"] == AFTER and lines(text)[-1]["record"]["id"] == trail[12].pk


def test_what_the_filter_leaves_out_stands_with_its_digest_only(trail, keys):
    text = written(Filter(environment="staging", until=trail[6].at))
    walk = verified(text, keys)
    found = lines(text)
    assert [line["seq"] for line in found if line["type"] == "record"] == [2, 5]
    assert [line["seq"] for line in found if line["type"] == "omitted"] == [3, 4, 6, 7, 8, 9, 10]
    assert found[-1] == found[-1] | {"type": "checkpoint", "seq": 10} and walk.seq == 10
    assert "number 2" not in text


def test_what_the_reader_may_not_read_is_left_out_too(trail, keys):
    text = written(reader=Reader(("production",)))
    assert verified(text, keys).records == 4
    assert "staging" not in text and {line["record"]["environment"] for line in lines(text) if "record" in line} == {
        "production"
    }


@pytest.mark.parametrize("change", ["reason", "digest", "omit", "cut"])
def test_a_changed_export_is_found_out(trail, keys, change):
    rows = written(Filter(environment="production")).splitlines()
    if change == "reason":
        rows[0] = rows[0].replace("number 0", "number 9")
    elif change == "digest":
        rows[1] = json.dumps(json.loads(rows[1]) | {"digest": "00" * 32})
    elif change == "omit":
        del rows[2]
    else:
        rows = rows[:-2]  # the checkpoint, and what waits for the next one
    walk = verify.ExportWalk(keys)
    assert [found for line in rows if (found := walk.take(line))] or walk.end()


def test_numbers_keep_the_digits_that_were_written(db, signer, keys):
    digits = "0.1234567890123456789012345"
    record = make()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_record (uuid, at, actor_name, via, role, action, object_type, object_id, object_name, "
            "environment, outcome, reason, after, request_id, address) SELECT gen_random_uuid(), at, actor_name, via, "
            "role, action, object_type, object_id, object_name, environment, outcome, reason, %s, request_id, address "
            "FROM audit_record WHERE id = %s",
            [f'{{"price": {digits}, "size": 12345678901234567890}}', record.pk],
        )
    chain_up([record, Record.objects.latest("id")], signer)
    text = written()
    verified(text, keys)
    assert digits in text and "12345678901234567890" in text and digits in written(form=Form.CSV)


def test_without_a_sequencer_records_are_exported_unproved(db):
    make(reason="alone")
    assert [line["type"] for line in lines(written())] == ["pending"]


def test_an_export_of_nothing(trail, keys):
    assert [line["type"] for line in lines(written(Filter(who="nobody")))] == ["checkpoint"]
    assert written(Filter(who="nobody"), Form.CSV).count("\n") == 1


def test_csv_has_every_column_and_no_formula(db):
    make(0, actor_name="=HYPERLINK(1)", reason='+1, "quoted"\nnext line', after={"a": 1.5}, address="@home")
    make(1, reason="-2 is fine", object_name="plain")
    rows = list(csv.DictReader(io.StringIO(written(form=Form.CSV))))
    assert [*rows[0]] == list(export.COLUMNS)
    assert rows[0]["who"] == "'=HYPERLINK(1)" and rows[0]["reason"] == '\'+1, "quoted"\nnext line'
    assert rows[0]["after"] == '{"a":1.5}' and rows[0]["address"] == "'@home"
    assert rows[0]["time"] == "2026-01-21T12:00:00.000000Z" and rows[0]["label"] == "Traffic shift"
    assert rows[1]["reason"] == "'-2 is fine" and rows[1]["object"] == "plain"


@pytest.mark.parametrize("form", [*Form])
def test_it_is_written_in_pieces_of_bounded_size(trail, keys, monkeypatch, form, django_assert_max_num_queries):
    monkeypatch.setattr(export, "CHUNK", 3)
    pieces = list(export.begin(ACTOR, Search.of(Reader(None), Filter()), form))
    text = b"".join(pieces).decode()
    assert len(pieces) > 5 and max(piece.count(b"\n") for piece in pieces) <= 3
    if form == Form.JSONL:
        assert verified(text, keys).records == 12
    else:
        ids = [int(row["id"]) for row in csv.DictReader(io.StringIO(text))]
        assert ids == [record.pk for record in trail]


def test_the_export_is_in_the_trail_before_its_first_byte_and_after_its_last(trail):
    content = export.begin(ACTOR, Search.of(Reader(None), Filter(environment="staging")), Form.CSV)
    begun = Record.objects.get(action="audit.exported")
    assert (begun.outcome, begun.actor_name, begun.environment) == ("intent", "Ada Admin", "staging")
    assert begun.after == {"filter": {"environment": "staging"}, "as": "csv", "records": 4}
    text = b"".join(content).decode()
    ended = Record.objects.filter(action="audit.exported").latest("id")
    assert (ended.outcome, ended.request_id) == ("done", begun.request_id) and ended.after["written"] == 4
    assert "audit.exported" not in text


def test_an_export_that_is_broken_off_says_so(trail, monkeypatch):
    monkeypatch.setattr(export, "CHUNK", 5)
    content = export.begin(ACTOR, Search.of(Reader(None), Filter()), Form.CSV)
    next(content), next(content)
    content.close()
    ended = Record.objects.filter(action="audit.exported").latest("id")
    assert (ended.outcome, ended.reason) == ("failed", "Broken off by the reader.") and ended.after["written"] == 5


def test_nothing_is_exported_that_cannot_be_recorded(trail):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE audit_record ADD CONSTRAINT none CHECK (action <> 'audit.exported') NOT VALID")
        with pytest.raises(Exception, match="none"), transaction.atomic():
            export.begin(ACTOR, Search.of(Reader(None), Filter()), Form.CSV)
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_server_gets_it_piece_by_piece(admin, monkeypatch):
    """Django would collect a synchronous stream in memory before it sends the first byte."""
    monkeypatch.setattr(export, "CHUNK", 2)
    for number in range(7):
        make(number)
    scope = {"type": "http", "method": "GET", "path": "/audit/export/", "query_string": b"", "headers": []}
    request = ASGIRequest(scope, io.BytesIO())
    request.user = admin

    async def first_piece_then_all() -> tuple[int, str]:
        from asgiref.sync import sync_to_async

        response = await sync_to_async(export.answer)(request, Filter(who="engine"), Form.CSV)
        assert response.is_async
        pieces = [piece.decode() async for piece in response]
        await sync_to_async(connections.close_all)()
        return len(pieces), "".join(pieces)

    count, text = asyncio.run(first_piece_then_all())
    assert count == 5 and text.count("traffic.shift") == 7
    assert Record.objects.filter(action="audit.exported", outcome="done").exists()


def test_the_file_has_a_name_with_the_time(admin, rf):
    request = rf.get("/audit/export/")
    request.user = admin
    response = export.answer(request, Filter(), Form.JSONL)
    name = response["Content-Disposition"].partition('filename="')[2].rstrip('"')
    assert datetime.strptime(name, "audit-%Y-%m-%dT%H%M%SZ.jsonl").replace(tzinfo=UTC).year >= 2026
    assert response["Content-Type"] == "application/x-ndjson" and response["Cache-Control"] == "no-store"
    b"".join(response)
