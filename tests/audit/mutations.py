"""Ways to change the trail past the console, in SQL, as a superuser with all triggers off. Seeded, so repeatable."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit import trail
from audit.chain import FIELDS, digest, link
from audit.checkpoints import Signer
from tests.audit.conftest import INSERT

Database = psycopg.Connection[Any]
Mutation = Callable[[random.Random, Database], str]
"""Changes something and says what."""
LAST = 100
STRANGER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
EDITS = {
    "uuid": "gen_random_uuid()",
    "at": "at + (%s || ' microseconds')::interval",
    "actor_id": "coalesce(actor_id, 0) + %s",
    "before": "coalesce(before, '{}') || jsonb_build_object('x', %s::text)",
}
JSON_EDITS = (
    "jsonb_set(after, '{weight}', to_jsonb((after->>'weight')::numeric + 1e-17))",
    "jsonb_set(after, '{status}', '\"succeeded\"')",
    "jsonb_set(after, '{steps,2,done}', 'false')",
    "jsonb_set(after, '{steps}', '[1, {\"done\": null}, 2]')",
    "after - 'n'",
    "jsonb_set(after, '{n}', to_jsonb(after->>'n'))",
    "NULL",
)


def edit_a_field(rng: random.Random, database: Database) -> str:
    name, record = rng.choice(FIELDS), _record(rng, database)
    if name == "after":
        new, values = rng.choice(JSON_EDITS), ()
    elif name == "id":
        new, values = "id + 1000000", ()
    elif name in EDITS:
        new = EDITS[name]
        values = (rng.randint(1, 10**6),) if "%s" in new else ()
    else:
        new, values = (
            rng.choice([f"{name} || 'x'", f"' ' || {name}", f"upper({name}) || '.'", f"reverse({name}) || '-'"]),
            (),
        )
    database.execute(f"UPDATE audit_record SET {name} = {new} WHERE id = %s", (*values, record))
    return f"record {record}: {name} = {new} {values}"


def delete_a_record(rng: random.Random, database: Database, how: str = "") -> str:
    record = _record(rng, database)
    how = how or rng.choice(["record", "link", "both", "both and renumber", "both, renumber and rehash"])
    if how != "link":
        database.execute("DELETE FROM audit_record WHERE id = %s", (record,))
    if how != "record":
        row = database.execute("DELETE FROM audit_chain WHERE record_id = %s RETURNING seq", (record,)).fetchone()
        if "renumber" in how:
            _move(database, row[0], -1)
    if "rehash" in how:
        _rehash(database)
    return f"delete {record}: {how}"


def insert_a_record(rng: random.Random, database: Database) -> str:
    values = (uuid.uuid4(), "Eve", "access.denied", 1, "x", "", None, '{"a": 1}', "r")
    record = database.execute(INSERT, values).fetchone()[0]
    how = rng.choice(["record only", "in between", "in between and rehash"])
    if how == "record only":
        database.execute("DELETE FROM audit_pending WHERE record_id = %s", (record,))
    else:
        seq = rng.randint(1, LAST)
        _move(database, seq - 1, 1)
        columns = (seq, record, rng.randbytes(32), rng.randbytes(32))
        database.execute("INSERT INTO audit_chain (seq, record_id, digest, hash) VALUES (%s, %s, %s, %s)", columns)
    if "rehash" in how:
        _rehash(database)
    return f"insert: {how}"


def reorder(rng: random.Random, database: Database) -> str:
    first, second = rng.sample(range(1, LAST + 1), 2)
    how = rng.choice(["record_id", "record_id, digest", "record_id, digest, hash", "ids of the records", "rehash"])
    if how == "ids of the records":
        ids = [
            database.execute("SELECT record_id FROM audit_chain WHERE seq = %s", (n,)).fetchone()[0]
            for n in (first, second)
        ]
        for old, new in ((ids[0], -1), (ids[1], ids[0]), (-1, ids[1])):
            database.execute("UPDATE audit_record SET id = %s WHERE id = %s", (new, old))
        return f"swap the ids of records {ids}"
    columns = "record_id, digest" if how == "rehash" else how
    rows = {
        n: database.execute(f"SELECT {columns} FROM audit_chain WHERE seq = %s", (n,)).fetchone()
        for n in (first, second)
    }
    database.execute("UPDATE audit_chain SET record_id = -1 WHERE seq = %s", (first,))
    for target, source in ((second, first), (first, second)):
        marks = ", ".join(["%s"] * len(rows[source]))
        database.execute(f"UPDATE audit_chain SET ({columns}) = ROW({marks}) WHERE seq = %s", (*rows[source], target))
    if how == "rehash":
        _rehash(database)
    return f"swap entries {first} and {second}: {how}"


def cut_the_end(rng: random.Random, database: Database) -> str:
    keep = rng.randint(0, LAST - 1)
    how = rng.choice(["links", "links and records", "and checkpoints", "and all checkpoints", "and sign anew"])
    rows = database.execute("DELETE FROM audit_chain WHERE seq > %s RETURNING record_id", (keep,)).fetchall()
    if how != "links":
        database.execute("DELETE FROM audit_record WHERE id = ANY(%s)", ([row[0] for row in rows],))
    if how in ("and checkpoints", "and sign anew"):
        database.execute("DELETE FROM audit_checkpoint WHERE seq > %s", (keep,))
    if how == "and all checkpoints":
        database.execute("DELETE FROM audit_checkpoint")
    if how == "and sign anew":
        _sign(database, keep)
    return f"cut behind {keep}: {how}"


def edit_the_chain(rng: random.Random, database: Database) -> str:
    seq = rng.randint(1, LAST)
    new = rng.choice(
        ["seq = seq + 1000", "seq = -seq", "record_id = record_id + 1000000", "digest = sha256(digest)",
         "hash = sha256(hash)", "hash = digest", "digest = ''", "hash = hash || '\\x00'::bytea"]
    )  # fmt: skip
    database.execute(f"UPDATE audit_chain SET {new} WHERE seq = %s", (seq,))
    return f"entry {seq}: {new}"


def edit_a_checkpoint(rng: random.Random, database: Database) -> str:
    row = rng.choice(database.execute("SELECT id FROM audit_checkpoint").fetchall())[0]
    new = rng.choice(
        ["at = at + interval '1 microsecond'", "seq = seq + 1", "seq = seq - 1", "seq = 100000", "head = sha256(head)",
         "key_id = 'ffffffffffffffff'", "signature = sha512(signature)", "signature = ''", "at = 'infinity'", "delete"]
    )  # fmt: skip
    if new == "delete":
        database.execute("DELETE FROM audit_checkpoint WHERE id = %s", (row,))
    else:
        database.execute(f"UPDATE audit_checkpoint SET {new} WHERE id = %s", (row,))
    return f"checkpoint {row}: {new}"


def rebuild(rng: random.Random, database: Database) -> str:
    """Change one record and make the whole chain anew, with right digests and hashes, but without the key."""
    what = edit_a_field(rng, database) if rng.random() < 0.5 else delete_a_record(rng, database, "both")
    how = rng.choice(["keep the checkpoints", "no checkpoints", "heads without signature", "signed by a stranger"])
    kept = database.execute("SELECT r.id FROM audit_record r ORDER BY r.id").fetchall()
    database.execute("DELETE FROM audit_chain")
    for number, (record,) in enumerate(kept, 1):
        database.execute(
            "INSERT INTO audit_chain (seq, record_id, digest, hash) VALUES (%s, %s, '', '')", (number, record)
        )
    _rehash(database)
    if how == "heads without signature":
        database.execute("UPDATE audit_checkpoint k SET head = c.hash FROM audit_chain c WHERE c.seq = k.seq")
    if how in ("no checkpoints", "signed by a stranger"):
        database.execute("DELETE FROM audit_checkpoint")
    if how == "signed by a stranger":
        _sign(database, len(kept))
    return f"{what}, then rebuild: {how}"


MUTATIONS: dict[Mutation, int] = {
    edit_a_field: 300,
    delete_a_record: 120,
    insert_a_record: 80,
    reorder: 120,
    cut_the_end: 120,
    edit_the_chain: 100,
    edit_a_checkpoint: 100,
    rebuild: 60,
}
"""How many of each are made."""


def _record(rng: random.Random, database: Database) -> int:
    rows = database.execute("SELECT record_id FROM audit_chain WHERE seq = %s", (rng.randint(1, LAST),)).fetchall()
    return int(rows[0][0])


def _move(database: Database, behind: int, by: int) -> None:
    """Renumber the entries behind one; in two steps, as the number is a key."""
    database.execute("UPDATE audit_chain SET seq = -(seq + %s) WHERE seq > %s", (by, behind))
    database.execute("UPDATE audit_chain SET seq = -seq WHERE seq < 0")


def _rehash(database: Database) -> None:
    """Right digests and hashes for what stands there now."""
    head = bytes(32)
    with database.cursor() as cursor:
        rows = cursor.execute(trail.ENTRIES, (0, trail.END)).fetchall()
        made = []
        for row in rows:
            kept = digest(trail.fields_of(row[4:])) if row[4] is not None else hashlib.sha256(bytes(row[2])).digest()
            head = link(head, kept)
            made.append((kept, head, row[0]))
        cursor.executemany("UPDATE audit_chain SET digest = %s, hash = %s WHERE seq = %s", made)


def _sign(database: Database, seq: int) -> None:
    row = database.execute("SELECT hash, now() FROM audit_chain WHERE seq = %s", (seq,)).fetchone()
    head, at = row if row else (bytes(32), database.execute("SELECT now()").fetchone()[0])
    made = STRANGER.sign(at, seq, bytes(head))
    values = (at, seq, head, made.key_id, made.signature)
    database.execute(
        "INSERT INTO audit_checkpoint (at, seq, head, key_id, signature) VALUES (%s, %s, %s, %s, %s)", values
    )
