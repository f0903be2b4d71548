"""Audit records for tests of the page, the API and exports, and a chain over them without a sequencer."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from audit import chain, trail
from audit.checkpoints import Signer
from audit.models import ChainLink, Checkpoint, Pending, Record

NOON = datetime(2026, 1, 21, 12, 0, tzinfo=UTC)


def make(at: datetime | float = 0, **fields: Any) -> Record:
    """One record; ``at`` is a moment, or seconds after noon of 2026-01-21."""
    moment = at if isinstance(at, datetime) else NOON + timedelta(seconds=at)
    values = {"actor_name": "engine", "via": "system", "role": "System", "action": "traffic.shift", "outcome": "done"}
    return Record.objects.create(**{**values, "at": moment, "uuid": uuid.uuid4(), **fields})


def chain_up(records: list[Record], signer: Signer | None = None) -> Checkpoint | None:
    """Put records into the chain in this order, and sign it when there is a signer."""
    newest = ChainLink.objects.order_by("-seq").first()
    seq, head = (newest.seq, bytes(newest.hash)) if newest else (0, chain.GENESIS)
    for record in records:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {trail.RECORD} FROM audit_record r WHERE r.id = %s", [record.pk])
            digest = chain.digest(trail.fields_of(cursor.fetchone()))
        seq, head = seq + 1, chain.link(head, digest)
        ChainLink.objects.create(seq=seq, record=record, digest=digest, hash=head)
        Pending.objects.filter(pk=record.pk).delete()
    if signer is None:
        return None
    said = signer.sign(datetime.now(UTC), seq, head)
    at = datetime.fromisoformat(said.at)
    return Checkpoint.objects.create(at=at, seq=seq, head=head, key_id=said.key_id, signature=said.signature)
