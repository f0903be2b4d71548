"""``manage.py audit_verify``: what it says, its exit status, and exports with their proof."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command

from audit import trail
from audit.chain import moment
from audit.checkpoints import Signer, Statement, trusted_keys
from audit.management.commands import audit_verify
from audit.verify import ExportWalk
from tests.audit.conftest import triggers_off


@pytest.fixture
def run(chained, settings, monkeypatch):
    """The command on the protected database: its exit status and what it printed."""
    settings.AUDIT_SIGNING_KEY, settings.AUDIT_CHECKPOINTS = chained.key, chained.copy.path
    monkeypatch.setattr(trail, "connect", lambda *args, **options: chained.database.console(autocommit=True))

    def call(*arguments):
        out = StringIO()
        with pytest.raises(SystemExit) as status:
            call_command("audit_verify", *arguments, stdout=out, stderr=out, no_color=True)
        return status.value.code, out.getvalue()

    return call


@pytest.fixture
def tamper(chained):
    def change(*statements):
        with chained.database.admin() as database, triggers_off(database):
            for statement in statements:
                database.execute(statement)

    return change


def test_an_intact_trail(chain, run):
    chain(40)
    status, said = run()
    assert status == 0 and said.startswith("Intact: entries 1 to 40, signed to 40 (2 checkpoints, 3 copies).")
    status, said = run("--json", "--from", "31")
    found = json.loads(said)
    assert (status, found["result"], found["first"], found["entries"]) == (0, "intact", 31, 40)


def test_an_empty_trail(chained, run):
    chained.add(0)
    assert run()[0] == 0


def test_the_first_wrong_entry_is_named(chain, run, tamper):
    chain(40)
    tamper(
        "UPDATE audit_record SET reason = 'x' WHERE id = (SELECT record_id FROM audit_chain WHERE seq = 31)",
        "UPDATE audit_record SET outcome = 'denied' WHERE id = (SELECT record_id FROM audit_chain WHERE seq = 12)",
    )
    status, said = run()
    assert (
        status == 1 and "The first that is wrong: entry 12: its record" in said and "is not as it was written" in said
    )
    assert run("--from", "13")[0] == 1 and run("--from", "32")[0] == 0
    assert json.loads(run("--json")[1])["wrong"][0]["entry"] == 12


def test_a_cut_end_is_found_by_the_copy_alone(chain, run, tamper):
    made = chain(40)
    tamper(
        "DELETE FROM audit_chain WHERE seq > 20",
        "DELETE FROM audit_record WHERE id NOT IN (SELECT record_id FROM audit_chain)",
        "DELETE FROM audit_checkpoint WHERE seq > 20",
    )
    status, said = run()
    assert status == 1 and "entry 21: and those up to 40 are gone" in said and "gone from the database" in said
    assert run("--no-copy")[0] == 0
    assert run("--against", str(made.copy.path))[0] == 1
    assert run("--against", str(made.copy.latest))[0] == 1


def test_what_cannot_be_checked_is_neither_intact_nor_tampered(chain, run, settings, tmp_path, monkeypatch):
    made = chain(20)
    missing = tmp_path / "elsewhere.jsonl"
    status, said = run("--against", str(missing))
    assert status == 2 and "elsewhere.jsonl" in said
    made.copy.path.rename(tmp_path / "aside")
    status, said = run()
    assert status == 2 and "--against FILE" in said
    assert json.loads(run("--json")[1])["result"] == "unknown"
    settings.AUDIT_SIGNING_KEY = tmp_path / "no" / "key.pem"
    status, said = run("--no-copy")
    assert status == 2 and "There is no public key" in said

    def no_database(*args, **options):
        raise trail.psycopg.OperationalError("connection refused")

    settings.AUDIT_SIGNING_KEY = made.key
    monkeypatch.setattr(trail, "connect", no_database)
    status, said = run("--no-copy")
    assert status == 2 and "connection refused" in said


def test_a_key_of_somebody_else_proves_nothing(chain, run, tmp_path, settings):
    made = chain(20)
    Signer.of_file(tmp_path / "theirs" / "key.pem")
    public = next((tmp_path / "audit").glob("*.pub.pem"))
    settings.AUDIT_SIGNING_KEY = tmp_path / "theirs" / "key.pem"
    status, said = run("--against", str(made.copy.path))
    assert status == 1 and "is not trusted here" in said
    assert run("--against", str(made.copy.path), "--key", str(public))[0] == 0


def test_progress_on_long_runs(chain, run, monkeypatch):
    chain(40)
    monkeypatch.setattr(trail, "SAY_EVERY", 15)
    assert run()[1].splitlines()[:2] == ["  entry 15 …", "  entry 30 …"]


def export_of(made, wanted):
    """The lines of an export of some entries."""
    lines, prev = [], None
    with made.database.console() as database, database.transaction():
        for seq, _, digest, hashed, fields in trail.entries(database):
            if seq >= min(wanted):
                line = {"type": "omitted", "seq": seq, "digest": digest.hex()}
                if seq in wanted:
                    line |= {"type": "record", "prev": prev.hex(), "hash": hashed.hex(), "record": fields}
                lines.append(line)
            prev = hashed
        signed = trail.statements(database)[-1]
    lines.append({"type": "checkpoint", **json.loads(signed.line()), "public_key": "…"})
    return [json.dumps(line, default=float) for line in lines]


def verdict(made, lines):
    walk = ExportWalk(trusted_keys(made.key))
    for line in lines:
        if wrong := walk.take(line):
            return str(wrong)
    return str(walk.end() or "")


def test_an_export_is_verified_by_the_command(chain, run, tmp_path):
    lines = export_of(chain(20), {5, 6, 9, 17})
    file = tmp_path / "export.jsonl"
    file.write_text("\n".join([*lines, json.dumps({"type": "pending", "record": {}})]) + "\n")
    status, said = run("--export", str(file))
    assert status == 0 and said.startswith(
        "Intact: 4 records up to entry 20, 12 left out, signed with a trusted key. 1 rec"
    )
    file.write_text("\n".join(lines).replace("Because", "Why not", 1))
    status, said = run("--export", str(file))
    assert status == 1 and "entry 5: its record is not as it was written" in said
    file.write_text("")
    assert run("--export", str(file))[0] == 2
    found = json.loads(run("--json", "--export", str(file))[1])
    assert found["result"] == "unknown"


def test_every_change_of_an_export_is_found(chain):
    made = chain(20)
    lines = export_of(made, {5, 6, 9, 17})
    assert verdict(made, lines) == ""
    changed = [json.loads(line) for line in lines]
    for index, line in enumerate(changed):
        for name in line:
            if name not in ("public_key", "record"):
                other = 3 if name == "seq" else "omitted" if line[name] == "record" else "ab" * 32
                assert verdict(made, [*lines[:index], json.dumps({**line, name: other}), *lines[index + 1 :]]), name
        assert verdict(made, lines[:index] + lines[index + 1 :]) or index == 0
        assert verdict(made, [*lines[:index], lines[index], *lines[index:]])
    assert "no checkpoint follows" in verdict(made, lines[:-1])
    assert "unknown type" in verdict(made, ['{"type": "x"}'])
    assert "not as an export has it" in verdict(made, ["[]"])
    stranger = Signer.of_file(made.key.with_name("stranger.pem"))
    last = Statement.parse(lines[-1])
    from datetime import UTC, datetime

    forged = stranger.sign(datetime.now(UTC), last.seq, last.head)
    assert "not trusted" in verdict(
        made, [*lines[:-1], json.dumps({"type": "checkpoint", **json.loads(forged.line())})]
    )
    assert moment(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000000Z" and audit_verify.UNKNOWN == 2
