"""Exports of the audit trail: CSV for a spreadsheet, JSON Lines with the proof of the chain.

Both are written while they are read, a thousand records at a time, each thousand by a query of its own: the trail only
grows, so nothing can change between them, and a slow reader keeps neither memory nor a transaction. Every export is
itself in the trail: its beginning before the first byte is sent, its end after the last.

JSON Lines, in the order of the chain: each record with the fields of ``audit/chain.py``,
``{"type":"record","seq":…,"prev":…,"digest":…,"hash":…,"record":{…}}``; entries in between that the filter, or the
reader's rights, left out, ``{"type":"omitted","seq":…,"digest":…}``; the signed checkpoint that covers them,
``{"type":"checkpoint",…}``; and records that no checkpoint covers yet, ``{"type":"pending","record":{…}}``.
``manage.py audit_verify --export`` checks such a file.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db import connection, transaction
from django.db.models import Max, Min, Q, QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest, StreamingHttpResponse

from audit import chain, filters
from audit.actions import record
from audit.actors import Actor
from audit.audit import EXPORTED
from audit.checkpoints import Statement
from audit.intents import ends
from audit.models import ChainLink, Checkpoint, Outcome, Record
from audit.queries import Search, reader

CHUNK = 1000
COUNT_SECONDS = 120
"""How long the counting before an export may take; a page's query may take 15 s."""
COLUMNS = (
    *("id", "time", "who", "how", "role", "action", "label", "object_type", "object_id", "object", "environment"),
    *("outcome", "reason", "before", "after", "request", "address"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

ends(EXPORTED, lasts=timedelta(minutes=15))


class Form(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSONL = "jsonl"


MEDIA = {Form.CSV: "text/csv; charset=utf-8", Form.JSONL: "application/x-ndjson"}


@dataclass(frozen=True, slots=True)
class Extent:
    """How far an export goes."""

    last_id: int
    """Newest record that it can hold."""
    records: int
    first_seq: int
    """First entry of the chain that is exported; 0 when none is."""
    checkpoint: Checkpoint | None
    """The checkpoint that covers every exported entry, or as many as any does."""


def actor_of(request: Any) -> Actor:
    """Who asks for an export: the person of a session, or of an API key. The views let nobody else through."""
    user = request.user
    return Actor(
        name=user.display_name,
        via=getattr(getattr(request, "auth", None), "kind", None) or "session",
        user=user,
        role=user.role,
        request_id=getattr(request, "request_id", ""),
        address=request.META.get("REMOTE_ADDR", "") or "",
    )


def answer(request: Any, wanted: filters.Filter, form: Form) -> StreamingHttpResponse:
    """The export that a request asks for, its beginning recorded.

    Args:
        request: a Django ``HttpRequest`` or a REST framework ``Request`` of somebody who is signed in.
    """
    search = Search.of(reader(request.user), wanted)
    chunks = begin(actor_of(request), search, form)
    plain: HttpRequest = getattr(request, "_request", request)
    # An asynchronous server would collect a synchronous stream in memory before it sends it.
    content = _from_thread(chunks) if isinstance(plain, ASGIRequest) else chunks
    response = StreamingHttpResponse(content, content_type=MEDIA[form])
    name = f"audit-{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.{form}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    return response


def begin(actor: Actor, search: Search, form: Form) -> Iterator[bytes]:
    """Record that an export begins, and give its content in pieces."""
    with transaction.atomic():
        extent = _extent(search, form)
        kept = {"filter": search.wanted.described(), "as": form.value, "records": extent.records}
        record(actor, EXPORTED, environment=search.wanted.environment, outcome=Outcome.INTENT, after=kept)
    writer = _csv if form == Form.CSV else _jsonl
    return _recorded(actor, search, kept, writer(search.records().filter(pk__lte=extent.last_id), extent))


def _extent(search: Search, form: Form) -> Extent:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{COUNT_SECONDS}s"])
    last_id = Record.objects.aggregate(last=Max("pk"))["last"] or 0
    found = search.records().filter(pk__lte=last_id)
    if form == Form.CSV:
        return Extent(last_id, found.count(), 0, None)
    newest = Checkpoint.objects.order_by("-seq", "-id").first()
    if newest is None:
        return Extent(last_id, found.count(), 0, None)
    covered = Q(link__seq__lte=newest.seq)
    seqs = found.aggregate(first=Min("link__seq", filter=covered), last=Max("link__seq", filter=covered))
    covering = Checkpoint.objects.filter(seq__gte=seqs["last"] or 0).order_by("seq", "id").first() or newest
    return Extent(last_id, found.count(), seqs["first"] or 0, covering)


def _recorded(actor: Actor, search: Search, kept: dict[str, Any], chunks: Iterator[tuple[int, str]]) -> Iterator[bytes]:
    """The chunks; then the record of how it ended, also when nobody wants the rest."""
    written, outcome, reason = 0, Outcome.FAILED, "Broken off by the reader."
    try:
        for count, text in chunks:
            written += count
            yield text.encode()
        outcome, reason = Outcome.DONE, ""
    except Exception as error:
        reason = f"Broken off: {type(error).__name__}."
        raise
    finally:
        with transaction.atomic():
            after = {**kept, "written": written}
            record(actor, EXPORTED, environment=search.wanted.environment, outcome=outcome, reason=reason, after=after)


async def _from_thread(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """A stream that is made in the request's own thread, where its database connection is."""
    step: Callable[[], Any] = sync_to_async(lambda: next(chunks, None), thread_sensitive=True)
    try:
        while (chunk := await step()) is not None:
            yield chunk
    finally:
        await asyncio.shield(sync_to_async(chunks.close, thread_sensitive=True)())  # type: ignore[attr-defined]


def _csv(found: QuerySet[Record], extent: Extent) -> Iterator[tuple[int, str]]:
    yield 0, _csv_lines([list(COLUMNS)])
    for records in _in_time(found):
        yield len(records), _csv_lines([[_cell(value) for value in _columns(one)] for one in records])


def _in_time(found: QuerySet[Record]) -> Iterator[list[Record]]:
    """Records by time, the oldest first, in chunks."""
    after = Q()
    while records := list(exact(found.filter(after).order_by("at", "id")[:CHUNK])):
        yield records
        last = records[-1]
        after = Q(at__gte=last.at) & (Q(at__gt=last.at) | Q(id__gt=last.pk))


def _columns(one: Record) -> tuple[Any, ...]:
    return (
        *(one.pk, chain.moment(one.at), one.actor_name, one.via, one.role, one.action, one.label),
        *(one.object_type, one.object_id, one.object_name, one.environment, one.outcome, one.reason),
        *(_json(one.before), _json(one.after), one.request_id, one.address),
    )


def _cell(value: Any) -> Any:
    """A value that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _csv_lines(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _json(value: Any) -> str:
    return "" if value is None else chain.canonical(value).decode()


def _jsonl(found: QuerySet[Record], extent: Extent) -> Iterator[tuple[int, str]]:
    covered = extent.checkpoint.seq if extent.checkpoint else 0
    if extent.first_seq:
        yield from _proved(found, extent.first_seq, covered)
    if extent.checkpoint:
        yield 0, _checkpoint_line(extent.checkpoint)
    for records in _in_time(found.exclude(link__seq__lte=covered)):
        lines = [f'{{"type":"pending","record":{_canonical(one)}}}\n' for one in records]
        yield len(lines), "".join(lines)


def _proved(found: QuerySet[Record], first: int, last: int) -> Iterator[tuple[int, str]]:
    """The entries of the chain from the first exported one to the checkpoint."""
    prev = ChainLink.objects.filter(seq=first - 1).values_list("hash", flat=True).first() or chain.GENESIS
    for start in range(first, last + 1, CHUNK):
        links = ChainLink.objects.filter(seq__gte=start, seq__lt=min(start + CHUNK, last + 1)).order_by("seq")
        entries = list(links.values_list("seq", "record_id", "digest", "hash"))
        matching = {one.pk: one for one in exact(found.filter(pk__in=[pk for _, pk, _, _ in entries]))}
        lines = []
        for seq, pk, digest, hashed in entries:
            lines.append(_entry_line(matching.get(pk), seq, prev, digest, hashed))
            prev = hashed
        yield len(matching), "".join(lines)


def _entry_line(one: Record | None, seq: int, prev: bytes, digest: bytes, hashed: bytes) -> str:
    if one is None:
        return f'{{"type":"omitted","seq":{seq},"digest":"{bytes(digest).hex()}"}}\n'
    proof = f'"prev":"{bytes(prev).hex()}","digest":"{bytes(digest).hex()}","hash":"{bytes(hashed).hex()}"'
    return f'{{"type":"record","seq":{seq},{proof},"record":{_canonical(one)}}}\n'


def _checkpoint_line(kept: Checkpoint) -> str:
    return json.dumps({"type": "checkpoint", **json.loads(statement_of(kept).line())}) + "\n"


def _canonical(one: Record) -> str:
    return chain.canonical(chain.record_fields(one)).decode()


def statement_of(kept: Checkpoint) -> Statement:
    """A checkpoint of the database as plain values."""
    return Statement(chain.moment(kept.at), kept.seq, bytes(kept.head), kept.key_id, bytes(kept.signature))


def exact(records: QuerySet[Record]) -> Iterator[Record]:
    """Records whose numbers in ``before`` and ``after`` have all the digits that were written."""
    texts = records.defer("before", "after").annotate(
        before_text=Cast("before", TextField()), after_text=Cast("after", TextField())
    )
    for one in texts:
        one.before = chain.loads(one.before_text) if one.before_text is not None else None
        one.after = chain.loads(one.after_text) if one.after_text is not None else None
        yield one
