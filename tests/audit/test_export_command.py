"""An export of a protected trail that the real sequencer chained, checked by the command of the guide."""

from __future__ import annotations

from tests.audit.conftest import add_records

EXPORT = """
import sys
from audit import export
from audit.actors import system
from audit.filters import read
from audit.queries import Reader, Search
wanted, problems = read({"object": "deployment:7"})
sys.stdout.write(b"".join(export.begin(system("tests"), Search.of(Reader(None), wanted), export.Form.JSONL)).decode())
"""


def test_the_command_verifies_an_export_and_finds_a_change(chain, tmp_path):
    chained = chain(60)
    with chained.database.console(autocommit=True) as database:
        add_records(database, 8)
    written = chained.database.manage("shell", "--verbosity", "0", "-c", EXPORT)
    assert written.returncode == 0 and written.stdout.count('"type":"record"') == 3, written.stderr
    assert written.stdout.count('"type":"omitted"') == 60 - 7 - 3 and written.stdout.count('"type":"pending"') == 1

    file, key = tmp_path / "export.jsonl", str(chained.key)
    for content, status in ((written.stdout, 0), (written.stdout.replace("Because", "Because of", 1), 1)):
        file.write_text(content)
        done = chained.database.manage("audit_verify", "--export", str(file), OPSC_AUDIT_SIGNING_KEY=key)
        assert done.returncode == status, done.stdout + done.stderr
