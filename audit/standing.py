"""How the chain stands, for the page and the API: what was checked and when, what waits, and one record's own proof."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from audit import chain
from audit.export import exact
from audit.models import ChainLink, Checkpoint, Pending, Record, Verification

LATE = timedelta(seconds=60)
"""From here on a check, or a record that waits for the chain, is late."""
MOST_COUNTED = 1000


@dataclass(frozen=True, slots=True)
class ChainState:
    """The chain as the sequencer last saw it."""

    status: str
    """``intact``, ``late`` (nothing wrong was found, but nobody looks any more), ``broken`` or ``unchecked``."""
    entries: int
    """Number of the newest entry."""
    head: str
    """Its hash, in hexadecimal digits; empty when the chain is."""
    verified_to: int
    """Every entry up to this one was verified when it was written."""
    verified_at: datetime | None
    walked_to: int | None
    """The last walk over the whole chain was from entry 1 to this one."""
    walked_at: datetime | None
    checkpoint_seq: int | None
    checkpoint_at: datetime | None
    pending: int
    """Records that are not in the chain yet, counted up to 1,000."""
    pending_since: datetime | None
    """Time of the oldest of them."""
    wrong_seq: int | None
    wrong_what: str
    copy_problem: str

    @property
    def pending_is_late(self) -> bool:
        """Whether a record waits for longer than the sequencer ever takes."""
        return self.pending_since is not None and datetime.now(UTC) - self.pending_since > LATE

    @property
    def pending_is_capped(self) -> bool:
        """Whether there are more than were counted."""
        return self.pending >= MOST_COUNTED


@dataclass(frozen=True, slots=True)
class Proof:
    """The place of one record in the chain, its digest computed anew."""

    seq: int
    digest: str
    hash: str
    is_whole: bool
    """The record has the digest that was written, and the hash follows from the entry before."""
    checkpoint_seq: int | None
    checkpoint_at: datetime | None
    """The first checkpoint that covers it; None when it is not signed yet."""


def chain_state(now: datetime | None = None) -> ChainState:
    """How the chain stands. Three queries."""
    now = now or datetime.now(UTC)
    found = Verification.objects.order_by("pk").first() or Verification()
    newest = ChainLink.objects.order_by("-seq").values_list("seq", "hash").first() or (0, b"")
    waiting = list(Pending.objects.order_by("pk").values_list("record__at", flat=True)[:MOST_COUNTED])
    return ChainState(
        status=_status(found, now),
        entries=newest[0],
        head=bytes(newest[1]).hex(),
        verified_to=found.tail_seq,
        verified_at=found.tail_at,
        walked_to=found.walked_seq,
        walked_at=found.walked_at,
        checkpoint_seq=found.checkpoint_seq,
        checkpoint_at=found.checkpoint_at,
        pending=len(waiting),
        pending_since=waiting[0] if waiting else None,
        wrong_seq=found.wrong_seq,
        wrong_what=found.wrong_what,
        copy_problem=found.copy_problem,
    )


def _status(found: Verification, now: datetime) -> str:
    if found.wrong_what or found.wrong_seq is not None:
        return "broken"
    if found.tail_at is None:
        return "unchecked"
    return "intact" if now - found.tail_at <= LATE else "late"


def proof(record: Record) -> Proof | None:
    """The proof of one record, computed now; None while it is not in the chain. Four queries."""
    link = ChainLink.objects.filter(record=record).first()
    if link is None:
        return None
    before = ChainLink.objects.filter(seq=link.seq - 1).values_list("hash", flat=True).first()
    prev = chain.GENESIS if link.seq == 1 else bytes(before or b"")
    signed = Checkpoint.objects.filter(seq__gte=link.seq).order_by("seq", "id").first()
    return Proof(
        seq=link.seq,
        digest=bytes(link.digest).hex(),
        hash=bytes(link.hash).hex(),
        is_whole=_digest(record) == bytes(link.digest) and chain.link(prev, bytes(link.digest)) == bytes(link.hash),
        checkpoint_seq=signed.seq if signed else None,
        checkpoint_at=signed.at if signed else None,
    )


def _digest(record: Record) -> bytes:
    """The digest of a record as it stands in the database; empty when it holds what no record can."""
    try:
        return chain.digest(chain.record_fields(next(exact(Record.objects.filter(pk=record.pk)))))
    except (ValueError, TypeError, RecursionError):
        return b""
