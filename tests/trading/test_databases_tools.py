"""Backup, verification and restore with the real tools against a real Postgres, and everything that can be damaged."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from opsconsole.local.postgres_home import settle
from tests.services import services
from tests.trading.database_world import PASSWORD, QUOTED, ROWS, Book, as_admin, folder_of, kept, making, reset, silent
from trading import database_book, database_copies, database_files
from trading.database_tools import Place, Running, ToolError, own_command, programs


@pytest.fixture(scope="module")
def made():
    with making() as book:
        yield book


@pytest.fixture
def book(made):
    reset(made)
    return made


@pytest.fixture
def copy(book, tmp_path):
    path = database_files.new_path(folder_of(tmp_path), "production")
    return database_copies.back_up(book.place, path, silent)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_is_complete_and_says_what_is_in_it(book, tmp_path):
    told: list[tuple[int, str]] = []
    path = database_files.new_path(folder_of(tmp_path), "production")
    made = database_copies.back_up(book.place, path, lambda percent, text: told.append((percent, text)))
    assert made.rows == ROWS and made.path.stat().st_size == made.size
    assert made.sha256 == database_files.sha256(path) and oct(path.stat().st_mode)[-3:] == "600"
    assert [percent for percent, _ in told] == sorted(percent for percent, _ in told)
    assert "Counting the rows of trades" in {text for _, text in told}
    assert names(path.parent) == [path.name], "nothing half written is left"
    database_copies.verify(book.place, kept(made), silent)
    left = as_admin(f"SELECT datname FROM pg_database WHERE datname LIKE '{book.name}\\_%'")
    assert left == [], "the database of the trial is gone"


def test_the_counts_are_of_the_snapshot_that_is_written(book, tmp_path):
    """Rows that come while it is counted are neither in the manifest nor in the backup."""
    path = database_files.new_path(folder_of(tmp_path), "production")
    wrote = threading.Event()

    def report(percent: int, text: str) -> None:
        if text.startswith("Counting") and not wrote.is_set():
            book.run("INSERT INTO book.trades (at, symbol, pnl) SELECT now(), 'ETH', 1 FROM generate_series(1, 50)")
            wrote.set()

    made = database_copies.back_up(book.place, path, report)
    assert wrote.is_set() and made.rows == ROWS and book.rows()["trades"] == ROWS["trades"] + 50
    database_copies.verify(book.place, kept(made), silent)


def test_a_restore_brings_back_everything_and_nothing_else(book, copy):
    before = book.run("SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM book.trades t")
    book.admin("CREATE ROLE reporting_of_tests")
    try:
        book.run("GRANT SELECT ON book.trades TO reporting_of_tests")
        again = database_copies.back_up(book.place, copy.path.with_name("second.dump"), silent)
        book.run("DELETE FROM book.fills; UPDATE book.trades SET pnl = 0; DROP TABLE book.positions")
        book.run(
            "CREATE TABLE book.later (id int REFERENCES book.trades (id)); CREATE VIEW book.odd AS TABLE book.later"
        )
        database_copies.load(book.place, kept(again), silent, low=0, high=100)
        assert book.rows() == ROWS
        assert book.run("SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM book.trades t") == before
        assert book.run("SELECT count(*) > 0 FROM book.winners") == [(True,)]
        assert book.run("INSERT INTO book.trades (at, symbol, pnl) VALUES (now(), 'X', 1) RETURNING id") == [(5001,)]
        right = book.run("SELECT has_table_privilege('reporting_of_tests', 'book.trades', 'SELECT')")
        assert right == [(True,)], "rights on the tables come back, too"
    finally:
        book.admin("DROP OWNED BY reporting_of_tests; DROP ROLE reporting_of_tests")


def test_what_may_not_be_committed_leaves_everything(book, copy):
    book.run("INSERT INTO book.positions VALUES ('SOL', 1)")

    def no() -> None:
        raise ToolError("Trading was resumed.")

    with pytest.raises(ToolError, match="Trading was resumed"):
        database_copies.load(book.place, kept(copy), silent, low=0, high=100, may_commit=no)
    assert book.rows() == {**ROWS, "positions": 3}


def test_a_restore_that_breaks_off_leaves_everything(book, copy):
    book.run("INSERT INTO book.positions VALUES ('SOL', 1)")
    whole = copy.path.read_bytes()
    copy.path.write_bytes(whole[: len(whole) - len(whole) // 3])
    with pytest.raises(ToolError, match="pg_restore failed|psql failed"):
        database_copies.load(book.place, kept(copy), silent, low=0, high=100)
    assert book.rows() == {**ROWS, "positions": 3} and book.run("SELECT count(*) > 0 FROM book.winners") == [(True,)]


def test_a_restore_with_other_rows_than_the_manifest_leaves_everything(book, copy):
    book.run("INSERT INTO book.positions VALUES ('SOL', 1)")
    with pytest.raises(ToolError, match="restored table positions has 2 rows, not the 9 of the backup"):
        database_copies.load(book.place, kept(copy, rows={**ROWS, "positions": 9}), silent, low=0, high=100)
    assert book.rows() == {**ROWS, "positions": 3}


def test_a_restore_does_not_wait_for_ever_behind_a_lock(book, copy, monkeypatch):
    monkeypatch.setattr("trading.database_tools._SETTINGS", "-c lock_timeout=300ms")
    with psycopg.connect(book.url) as other:
        other.execute("LOCK TABLE book.trades IN ACCESS SHARE MODE")
        with pytest.raises(ToolError, match="canceling statement due to lock timeout"):
            database_copies.load(book.place, kept(copy), silent, low=0, high=100)
    assert book.rows() == ROWS


def test_what_hangs_on_the_schema_from_outside_is_not_taken_along(book):
    book.admin("CREATE SCHEMA reports; CREATE VIEW reports.all_trades AS SELECT id FROM book.trades")
    try:
        with pytest.raises(ToolError, match="view reports.all_trades"):
            database_book.refuse_outside(book.place)
    finally:
        book.admin("DROP SCHEMA reports CASCADE")
    database_book.refuse_outside(book.place)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone"])
def test_a_damaged_file_is_found(book, copy, damage):
    whole = copy.path.read_bytes()
    if damage == "gone":
        copy.path.unlink()
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        copy.path.write_bytes(whole[:-100] if damage == "truncated" else flipped)
    words = {"truncated": "bytes, not the", "flipped": "has the SHA-256", "gone": "No such file"}[damage]
    with pytest.raises(ToolError, match=words):
        database_copies.verify(book.place, kept(copy), silent)


def test_a_table_that_the_backup_lacks_is_found(book, copy):
    with pytest.raises(ToolError, match="no data of these tables of its manifest: orders"):
        database_copies.verify(book.place, kept(copy, rows={**ROWS, "orders": 4}), silent)


def test_a_verification_without_the_right_to_make_a_database(tmp_path):
    with making(may_create=False) as book:
        path = database_files.new_path(folder_of(tmp_path), "production")
        made = database_copies.back_up(book.place, path, silent)
        with pytest.raises(ToolError, match=f'CREATE DATABASE "{book.name}_verify" OWNER "{book.name}"'):
            database_copies.verify(book.place, kept(made), silent)
        as_admin(f"CREATE DATABASE {book.name}_verify OWNER {book.name}")
        database_copies.verify(book.place, kept(made), silent)
        database_copies.verify(book.place, kept(made), silent)
        tables = as_admin("SELECT count(*) FROM pg_tables WHERE schemaname = 'book'", f"{book.name}_verify")
        assert tables == [(0,)], "it is left empty"


def test_reading_everything_finds_what_is_missing_and_unreadable(book):
    book.run("DELETE FROM book.fills WHERE id > 1000; DROP TABLE book.positions")
    book.run(f"REVOKE SELECT ON book.trades FROM {book.name}")
    found = database_book.read_everything(book.place, ROWS, silent)
    assert found.rows == {"fills": 1000} and found.missing == ("positions",)
    assert found.unreadable == {"trades": "permission denied for table trades"}
    assert found.fewer == ("fills has 1,000 rows, 1,200 in the last backup",)


def damaged_database(book: Book) -> Place:
    """The same data in another database, with a page of ``trades`` overwritten on the disk."""
    (path,) = book.admin("SELECT pg_relation_filepath('book.trades'), pg_backend_pid()")[0][:1]
    other = f"{book.name}_damaged"
    # Nothing may write the page again from memory: no late hint bits, no autovacuum.
    book.run("ALTER TABLE book.trades SET (autovacuum_enabled = false)")
    book.run("VACUUM (FREEZE) book.trades")
    book.admin("CHECKPOINT")
    file = settle(services.postgres.data_dir).data / path
    with file.open("r+b") as heap:
        heap.seek(8192 * 2)
        before = heap.read(8192)
        heap.seek(8192 * 2)
        heap.write(b"\xff" * 4096)
    try:
        as_admin(f"CREATE DATABASE {other} TEMPLATE {book.name} STRATEGY file_copy OWNER {book.name}")
    finally:
        with file.open("r+b") as heap:
            heap.seek(8192 * 2)
            heap.write(before)
    return book.place.elsewhere(other)


def test_a_damaged_page_is_found_and_a_restore_mends_it(book, copy, tmp_path):
    place = damaged_database(book)
    found = database_book.read_everything(place, ROWS, silent)
    assert list(found.unreadable) == ["trades"] and "invalid page" in found.unreadable["trades"]
    with pytest.raises(ToolError, match="The table trades cannot be read: invalid page"):
        database_copies.back_up(place, tmp_path / "damaged.dump", silent)
    assert names(tmp_path) == ["backups"], "nothing is kept of a backup that failed"
    database_copies.load(place, kept(copy), silent, low=0, high=100)
    assert database_book.read_everything(place, ROWS, silent).rows == ROWS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((QUOTED, "wrong"), "the password is wrong"),
        (("127.0.0.1:", "127.0.0.1:1"), "cannot be reached"),
        (("postgresql://", "nonsense://"), "The address of the database cannot be read"),
    ],
)
def test_trouble_with_the_address_is_told_without_the_password(book, tmp_path, change, words):
    place = Place(book.url.replace(*change), "book")
    with pytest.raises(ToolError, match=words) as raised:
        database_copies.back_up(place, tmp_path / "x.dump", silent)
    assert PASSWORD not in str(raised.value) and QUOTED not in str(raised.value)


def test_an_unknown_schema_and_an_empty_one(book, tmp_path):
    with pytest.raises(ToolError, match="There is no schema nowhere"):
        database_copies.back_up(Place(book.url, "nowhere"), tmp_path / "x.dump", silent)
    with pytest.raises(ToolError, match="has no table"):
        database_copies.back_up(Place(book.url, "public"), tmp_path / "x.dump", silent)


def test_a_full_disk_is_told_before(book, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(ToolError, match="Make room"):
        database_copies.back_up(book.place, tmp_path / "x.dump", silent)


def test_tools_older_than_the_server_are_named(monkeypatch):
    with pytest.raises(ToolError, match="runs PostgreSQL 99, and pg_dump must not be older"):
        programs(99)
    assert programs(18).major == 18


def test_the_password_is_on_no_command_line(book, tmp_path, monkeypatch):
    """It is in the environment of the tools, which only their own user can read."""
    started: list[tuple[list[str], dict[str, str]]] = []
    begin = subprocess.Popen

    def watched(command, **options):
        started.append((command, options["env"]))
        return begin(command, **options)

    monkeypatch.setattr(subprocess, "Popen", watched)
    made = database_copies.back_up(book.place, tmp_path / "x.dump", silent)
    database_copies.load(book.place, kept(made), silent, low=0, high=100)
    assert {Path(command[0]).name for command, _ in started} >= {"pg_dump", "pg_restore", "psql"}
    assert not any(secret in word for command, _ in started for word in command for secret in (PASSWORD, QUOTED))
    assert all(environ["PGPASSWORD"] == PASSWORD for _, environ in started if "PGAPPNAME" in environ)
    assert not any("OPSC_SECRET_KEY" in environ or "DATABASE_URL" in environ for _, environ in started)


def test_own_commands(book, tmp_path):
    script = 'echo "10 %"; echo "$1 $2 $PGPASSWORD" ; cp /proc/self/environ "$3"; echo "done 100%" >&2'
    command = ("/bin/sh", "-c", script, "own", "{url}", "{schema}", "{file}")
    made = database_copies.back_up_by(command, book.place, tmp_path / "own.dump", silent)
    url = f"postgresql://{book.name}@127.0.0.1:{services.postgres.port}/{book.name}"
    assert f"{url} book [password]" in made.said and PASSWORD not in made.said
    assert made.size == made.path.stat().st_size > 0 and made.rows == {} and made.sha256
    assert PASSWORD in made.path.read_text(errors="replace"), "the command itself is given it, in its environment"
    assert names(tmp_path) == ["own.dump"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("/bin/sh", "-c", "echo broken >&2; exit 3"), r"sh failed \(exit status 3\): broken"),
        (("/bin/sh", "-c", "true"), "its file .* cannot be kept"),
        (("/bin/sh", "-c", 'true > "$0"', "{file}"), "wrote an empty"),
        (("pg_dump",), "must begin with the absolute path"),
        (("/nowhere/tool",), "cannot be started"),
    ],
)
def test_own_commands_that_fail(book, tmp_path, command, words):
    with pytest.raises(ToolError, match=words):
        database_copies.back_up_by(command, book.place, tmp_path / "own.dump", silent)
    assert names(tmp_path) == []


def test_words_of_an_own_command_are_never_read_by_a_shell(book):
    place = Place(book.url, "book")
    assert own_command(("/bin/x", "--to={file}", "{schema};{nothing}"), place, Path("/a b")) == [
        "/bin/x",
        "--to=/a b",
        "book;{nothing}",
    ]


def test_a_tool_that_does_not_end_is_ended(book):
    command = ["/bin/sh", "-c", "sleep 60 & wait"]
    with (
        pytest.raises(ToolError, match="was ended: it had not finished"),
        Running(command, book.place, seconds=0.3) as running,
    ):
        running.finish()
