"""The canonical form, digests and hashes: fixed for ever, the same from every side, and as the module says."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import chain, trail
from audit.models import Record

FIELDS = {
    "id": 7,
    "uuid": "6f1c2a1e-0f1c-4b63-9a38-0f3f0c9b7c11",
    "at": "2026-01-21T03:04:05.120000Z",
    "actor_id": None,
    "actor_name": "Ada “A” Lovelace",
    "via": "session",
    "role": "Admin",
    "action": "deployment.started",
    "object_type": "deployment",
    "object_id": "42",
    "object_name": "v1.2.4 → v1.2.5",
    "environment": "production",
    "outcome": "done",
    "reason": 'Line 1\nLine 2\t"quoted" \\ \x1f \x7f 😀',
    "before": None,
    "after": {"b": [1, 2.50, -0.0, 1e-7, 12345678901234567890, True, None], "B": {}, "é": [], "a": "/"},
    "request_id": "",
    "address": "127.0.0.1",
}
CANONICAL = (
    '{"action":"deployment.started","actor_id":null,"actor_name":"Ada “A” Lovelace","address":"127.0.0.1",'
    '"after":{"B":{},"a":"/","b":[1,2.5,0,0.0000001,12345678901234567890,true,null],"é":[]},'
    '"at":"2026-01-21T03:04:05.120000Z","before":null,"environment":"production","id":7,"object_id":"42",'
    '"object_name":"v1.2.4 → v1.2.5","object_type":"deployment","outcome":"done",'
    '"reason":"Line 1\\nLine 2\\t\\"quoted\\" \\\\ \\u001f \x7f 😀","request_id":"","role":"Admin",'
    '"uuid":"6f1c2a1e-0f1c-4b63-9a38-0f3f0c9b7c11","via":"session"}'
)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=8)
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def test_the_form_is_the_one_that_is_documented():
    assert chain.canonical(FIELDS).decode() == CANONICAL
    assert chain.digest(FIELDS).hex() == hashlib.sha256(CANONICAL.encode()).hexdigest()
    assert set(FIELDS) == set(chain.FIELDS) == {field.attname for field in Record._meta.concrete_fields}


def test_hashes_never_change():
    """A chain of years must verify with the program of tomorrow."""
    digest = chain.digest(FIELDS)
    assert digest.hex() == "b6e6ac46474c7ab4e69ebbb1c13cc11c674e1249e044650d907d57be97e9a507"
    assert chain.link(chain.GENESIS, digest).hex() == "6cdcd8f6a954fd62118be28d0107a7fc626a616b03e7a374ad99abe8b8be65bd"
    assert chain.link(chain.GENESIS, digest) == hashlib.sha256(bytes(32) + digest).digest()


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("100", "100"),
        ("1E-7", "0.0000001"),
        ("0.10000000000000000000001", "0.10000000000000000000001"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_numbers_keep_all_their_digits(written, form):
    assert chain.canonical({"n": chain.loads(written)}) == f'{{"n":{form}}}'.encode()


@pytest.mark.parametrize(
    "value", ["\x00", "a\\\x00", "\ud800", float("nan"), float("inf"), Decimal("NaN"), {1}, b"x", {"deep": "\x00"}]
)
def test_what_no_record_can_hold_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        chain.canonical({"reason": value})


def test_a_backslash_before_u0000_is_no_nul():
    assert chain.canonical({"a": "\\u0000"}) == b'{"a":"\\\\u0000"}'


@given(JSON, JSON)
def test_different_values_have_different_forms(one, other):
    # Python's own comparison takes True for 1.
    same = chain.canonical({"v": one}) == chain.canonical({"v": other})
    assert same == (_exact(one) == _exact(other))


def _exact(value):
    if isinstance(value, dict):
        return {key: _exact(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_exact(one) for one in value]
    return (isinstance(value, bool), Decimal(repr(value)) if isinstance(value, float) else value)


@given(JSON)
def test_an_export_has_the_same_digest(value):
    fields = {**FIELDS, "after": value}
    assert chain.digest(json.loads(json.dumps(fields))) == chain.digest(chain.loads(json.dumps(fields)))
    assert chain.digest(json.loads(json.dumps(fields))) == chain.digest(fields)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=JSON, after=JSON, reason=TEXT)
def test_the_database_the_model_and_the_writer_agree(db, before, after, reason):
    made = Record.objects.create(
        actor_name="Ada", via="session", action="x", reason=reason, before=before, after=after, address="::1"
    )
    kept = Record.objects.get(pk=made.pk)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {trail.RECORD} FROM audit_record r WHERE id = %s", [made.pk])
        row = cursor.fetchone()
    assert trail.fields_of(row)["at"] == chain.record_fields(kept)["at"]
    assert chain.digest(trail.fields_of(row)) == chain.digest(chain.record_fields(kept))
    written = {**chain.record_fields(kept), "before": before, "after": after, "reason": reason}
    assert chain.digest(written) == chain.digest(chain.record_fields(kept))
