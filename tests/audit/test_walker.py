"""What the page may say: verified as written, walked again and again, and an alarm when something is wrong."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.utils import timezone

from audit import trail, walker
from audit.actions import record
from audit.actors import system
from audit.checkpoints import Signer
from audit.copies import CopyFile
from audit.models import Record, Verification
from audit.sequencer import Sequencer
from audit.standing import chain_state
from audit.walker import Walker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _any_id(monkeypatch):
    """Ids go on over the whole test run; a walk here shall not need the more ticks for it."""
    monkeypatch.setattr(walker, "LOST_SLICE", 100_000_000)


@pytest.fixture
def sequencer(settings, tmp_path):
    settings.AUDIT_SIGNING_KEY = tmp_path / "audit" / "signing_key.pem"
    settings.AUDIT_CHECKPOINTS = tmp_path / "audit" / "checkpoints.jsonl"
    return Sequencer(Signer.of_file(settings.AUDIT_SIGNING_KEY), CopyFile(settings.AUDIT_CHECKPOINTS))


@pytest.fixture
def database():
    with trail.connect("tests") as opened:
        yield opened


@pytest.fixture
def add(sequencer, database):
    def make(count):
        for number in range(count):
            with transaction.atomic():
                record(system("tests"), "system.applied", reason=f"Number {number}")
        sequencer.step(database)
        sequencer.checkpoint(database)

    return make


def tick(walking, database, times=1):
    for _ in range(times):
        walking._rest_until = 0.0
        walking.tick(database)


def tamper(statement):
    """As the owner of the tables, whom the console of an installation is not."""
    with connection.cursor() as cursor:
        tables = statement.split()[1] if statement.startswith("UPDATE") else statement.split()[2]
        cursor.execute(f"ALTER TABLE {tables} DISABLE TRIGGER USER")
        cursor.execute(statement)
        cursor.execute(f"ALTER TABLE {tables} ENABLE TRIGGER USER")


def test_without_a_sequencer_nothing_is_claimed():
    with transaction.atomic():
        record(system("tests"), "system.applied")
    state = chain_state()
    assert (state.status, state.entries, state.pending, state.verified_to) == ("unchecked", 0, 1, 0)
    assert state.checkpoint_at is None and state.pending_since <= timezone.now()


def test_new_entries_are_verified_and_all_of_them_walked(add, database):
    add(5)
    walking = Walker()
    tick(walking, database)
    assert (chain_state().verified_to, chain_state().walked_to) == (5, None)
    tick(walking, database)
    add(3)
    tick(walking, database)
    state = chain_state()
    assert (state.status, state.entries, state.verified_to, state.walked_to) == ("intact", 8, 8, 5)
    assert (state.wrong_what, state.pending, state.checkpoint_seq, state.copy_problem) == ("", 0, 8, "")
    assert state.head == trail.head(database)[1].hex() and state.walked_at <= timezone.now()


TAMPERINGS = {
    "UPDATE audit_record SET reason = 'x' WHERE reason = 'Number 2'": "entry 3: its record",
    "UPDATE audit_chain SET digest = '' WHERE seq = 3": "entry 3: its record",
    "DELETE FROM audit_chain WHERE seq = 5": "entry 5: is not what it was when it was verified last",
    "DELETE FROM audit_chain WHERE seq = 2": "entry 2: is gone",
    "DELETE FROM audit_pending WHERE true": "is not in the chain and does not wait for it",
    "UPDATE audit_checkpoint SET seq = 77": "entry 6: and those up to 77 are gone",
    "UPDATE audit_checkpoint SET head = ''": "entry 5: the checkpoint of",
}


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found_and_recorded_once(add, database, tampering):
    add(5)
    walking = Walker()
    tick(walking, database, 2)
    with transaction.atomic():
        record(system("tests"), "system.applied")
    tamper(tampering)
    tick(walking, database, 4)
    state = chain_state()
    assert state.status == "broken" and (
        TAMPERINGS[tampering] in state.wrong_what or "wrong signature" in state.wrong_what
    )
    told = Record.objects.filter(action="audit.chain_wrong")
    assert [row.after["what"] for row in told] == [state.wrong_what]


def test_it_is_right_again_only_after_a_whole_walk(add, database):
    add(5)
    walking = Walker()
    tick(walking, database, 2)
    tamper("UPDATE audit_record SET reason = 'x' WHERE reason = 'Number 2'")
    tick(walking, database, 3)
    assert chain_state().status == "broken"
    tamper("UPDATE audit_record SET reason = 'Number 2' WHERE reason = 'x'")
    walking.tick(database)
    assert chain_state().status == "broken"
    tick(walking, database, 3)
    assert chain_state().status == "intact"
    assert [*Record.objects.filter(action__startswith="audit.").order_by("id").values_list("action", flat=True)] == [
        "audit.chain_wrong",
        "audit.chain_right",
    ]


def test_a_chain_that_was_cut_is_found_by_the_copy(add, database):
    add(5)
    add(5)
    for statement in ("DELETE FROM audit_chain WHERE seq > 5", "DELETE FROM audit_checkpoint WHERE seq > 5"):
        tamper(statement)
    tick(Walker(), database)
    assert "entry 10: is not what was signed" in chain_state().wrong_what


def test_a_walk_goes_on_over_many_slices(add, database, monkeypatch):
    monkeypatch.setattr(walker, "SLICE", 3)
    add(10)
    walking = Walker()
    tick(walking, database, 2)
    assert Verification.objects.get().walk_seq == 6 and chain_state().walked_to is None
    tick(walking, database, 3)
    assert Verification.objects.get().walked_seq == 10 and chain_state().status == "intact"


def test_a_new_process_goes_on_where_the_last_one_was(add, database):
    add(5)
    tick(Walker(), database, 2)
    add(5)
    tick(Walker(), database)
    assert chain_state().verified_to == 10 and chain_state().status == "intact"


def test_the_metrics_tell_of_the_chain(add, database, client):
    add(5)
    tick(Walker(), database, 2)
    with transaction.atomic():
        record(system("tests"), "system.applied")
    lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").content.decode().splitlines() if line[0] != "#")
    assert float(lines["opsconsole_audit_chain_intact"]) == 1
    assert float(lines["opsconsole_audit_chain_entries"]) == 5
    assert float(lines["opsconsole_audit_waiting_records"]) == 1
    assert 0 <= float(lines["opsconsole_audit_checkpoint_age_seconds"]) < 60
