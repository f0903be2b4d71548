"""What the database does for every record: it waits for the chain, and it is never changed."""

from __future__ import annotations

import pytest
from django.db import InternalError, ProgrammingError, connection, transaction

from audit.actions import record
from audit.actors import system
from audit.models import ChainLink, Checkpoint, Pending, Record

SQL = """
    INSERT INTO audit_record (uuid, actor_name, via, role, action, object_type, object_id, object_name, environment,
        outcome, reason, request_id, address)
    SELECT gen_random_uuid(), 'x', 'cli', '', 'x', '', '', '', '', 'done', '', '', ''
"""


def write(**fields) -> Record:
    with transaction.atomic():
        return record(system("tests"), "system.applied", **fields)


def test_every_record_waits_for_the_chain(db):
    made = write()
    assert [*Pending.objects.values_list("record_id", flat=True)] == [made.pk]
    with connection.cursor() as cursor:
        cursor.execute(f"{SQL} FROM generate_series(1, 3)")
    assert Pending.objects.count() == Record.objects.count() == 4


def test_a_record_that_is_rolled_back_does_not_wait(db):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        write()
        1 / 0  # noqa: B018
    assert Pending.objects.count() == Record.objects.count() == 0


def test_an_unregistered_action_is_not_written(db):
    with pytest.raises(KeyError):
        record(system("tests"), "nobody.knows_this")
    assert not Record.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_is_written():
    with pytest.raises(transaction.TransactionManagementError):
        record(system("tests"), "system.applied")
    assert not Record.objects.exists()


@pytest.mark.parametrize("model", [Record, ChainLink, Checkpoint])
@pytest.mark.parametrize("act", ["UPDATE {} SET id = 1", "DELETE FROM {}", "DELETE FROM {} WHERE false"])
def test_changes_are_refused_even_where_no_row_matches(db, model, act):
    act = act.replace("id = 1", "seq = 1") if model is ChainLink else act
    write()
    with pytest.raises((ProgrammingError, InternalError), match="append-only"), transaction.atomic():
        connection.cursor().execute(act.format(model._meta.db_table))
    assert Record.objects.count() == 1


def test_the_model_cannot_change_a_record_either(db):
    made = write(reason="As it was")
    made.reason = "As I would like it"
    Pending.objects.all().delete()
    for act in (made.save, made.delete, lambda: Record.objects.filter(pk=made.pk).update(reason="")):
        with pytest.raises((ProgrammingError, InternalError), match="append-only"), transaction.atomic():
            act()
    assert Record.objects.get().reason == "As it was"


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_text_that_cannot_be_kept_is_refused(db, text):
    for fields in ({"reason": text}, {"after": {"a": text}}):
        with pytest.raises(Exception, match="NUL|null|surrogate|Unicode"), transaction.atomic():
            write(**fields)
    assert not Record.objects.exists()
