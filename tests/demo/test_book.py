"""The book in PostgreSQL: what it keeps, what a restore and an outage do to it, and that trading never waits for it."""

import asyncio
import itertools
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from demo.trading_system import records
from demo.trading_system.book import Book, BookUnavailable, HeldPosition, Trade, UsedConfig
from demo.trading_system.desk import Execution
from demo.trading_system.exchange import Fill
from demo.trading_system.metrics import Metrics
from demo.trading_system.records import Records
from demo.trading_system.settings import Release
from opsconsole.local.paths import write_private
from opsconsole.local.ports import free_ports
from opsconsole.local.postgres_home import settle
from opsconsole.local.trading_database import SCRATCH, book_name, ensure_book
from tests.demo.processes import Exchange, Stack, wait_for
from tests.services import services

NAME = "paper_book_tests"
_names = itertools.count(1)


@dataclass
class Place:
    """One book on the PostgreSQL of the test run, empty at the start of each test."""

    url: str
    url_file: Path

    def book(self, instance: str = "production-blue-1") -> Book:
        book = Book(self.url_file, instance)
        book.open(0)
        return book

    def rows(self, query: str, *parameters: object) -> list[tuple]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def admin(self, query: str) -> None:
        with psycopg.connect(services.postgres.url(NAME), autocommit=True) as connection:
            connection.execute(sql.SQL(query))


@pytest.fixture(scope="module")
def url() -> str:
    return ensure_book(services.postgres, NAME)


@pytest.fixture
def place(url: str, tmp_path: Path) -> Iterator[Place]:
    place = Place(url, tmp_path / "book.url")
    place.admin(f'ALTER ROLE "{NAME}" LOGIN')
    write_private(place.url_file, url)
    place.rows(f"DROP SCHEMA {NAME} CASCADE")
    place.rows(f"CREATE SCHEMA {NAME}")
    yield place


def trade(**fields: object) -> Trade:
    base = Trade(uuid.uuid4(), time.time(), "geometry", "BTC", "win", "buy", Decimal("0.01"), Decimal("95000.1"))
    return replace(base, pnl=Decimal("1.5"), **fields)


def test_trades_come_back_as_they_were_and_a_repetition_stores_nothing(place: Place) -> None:
    book = place.book()
    full, empty = trade(), Trade(uuid.uuid4(), 1_700_000_000.25, "kinematics", "ETH", "failed")
    book.add([full, empty])
    book.add([full])
    first, second = book.after(0, 10)
    assert (first["size"], first["price"], first["pnl"], first["side"]) == ("0.01", "95000.1", "1.5", "buy")
    assert (second["at"], second["size"], second["outcome"]) == (1_700_000_000.25, None, "failed")
    assert [row["id"] for row in book.after(first["id"], 10)] == [second["id"]] and len(book.after(0, 1)) == 1
    kinds = place.rows(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'trades'"
        " AND column_name IN ('at', 'price', 'pnl', 'size')"
    )
    assert dict(kinds) == {"at": "timestamp with time zone"} | dict.fromkeys(("price", "pnl", "size"), "numeric")
    book.close()


def test_both_slots_count_on_together_and_each_reads_its_own(place: Place) -> None:
    # Both start at once on an empty schema: the tables are made once.
    with ThreadPoolExecutor(2) as hands:
        blue, green = hands.map(place.book, ["production-blue-1", "production-green-1"])
    for _ in range(3):
        blue.add([trade()])
        green.add([trade()])
    ids = [row["id"] for row in blue.after(0, 10)], [row["id"] for row in green.after(0, 10)]
    assert len(ids[0]) == len(ids[1]) == 3 and len({*ids[0], *ids[1]}) == 6
    assert place.rows("SELECT version FROM schema_migrations") == [(1,)]
    blue.close(), green.close()


def _tool(name: str, *arguments: str) -> None:
    tool = settle(services.postgres.data_dir).binaries / name
    subprocess.run([str(tool), *arguments], check=True, capture_output=True, timeout=60)


def test_the_role_can_save_and_restore_its_book_and_the_system_goes_on(place: Place, tmp_path: Path) -> None:
    book, file = place.book(), str(tmp_path / "book.dump")
    book.add([trade(), trade()])
    _tool("pg_dump", "-Fc", "--schema", NAME, "-f", file, place.url)
    book.add([trade(), trade(), trade()])
    last = book.after(0, 10)[-1]["id"]
    _tool("pg_restore", "--clean", "--if-exists", "--single-transaction", "--no-owner", "-d", place.url, file)
    assert len(book.after(0, 10)) == 2
    book.add([trade()])
    # Whoever read up to the last trade before the restore must be told of the next one.
    assert [row["id"] for row in book.after(last, 10)] == [last + 1]
    assert book.response_time() < 1
    # As pg_restore is used to try a backup out: into the scratch database, schema and all.
    scratch = place.url + SCRATCH
    _tool("pg_restore", "--single-transaction", "--no-owner", "-d", scratch, file)
    with psycopg.connect(scratch, autocommit=True) as connection:
        assert connection.execute(f"SELECT count(*) FROM {NAME}.trades").fetchone() == (2,)
        connection.execute(f"DROP SCHEMA {NAME} CASCADE")
    book.close()


def test_the_role_owns_nothing_but_its_schema(place: Place) -> None:
    other = ensure_book(services.postgres, f"paper_other_{next(_names)}", scratch=False)
    name = other.rsplit("/", 1)[1]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(place.url.rsplit("/", 1)[0] + f"/{name}")
    for forbidden in ("CREATE DATABASE x", "CREATE ROLE x", "CREATE TABLE public.x (a int)", f"DROP DATABASE {name}"):
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidCatalogName)):
            place.rows(forbidden)


def test_a_start_waits_a_while_for_the_database(place: Place) -> None:
    place.url_file.unlink()
    with ThreadPoolExecutor(1) as hands:
        opening = hands.submit(Book(place.url_file, "production-blue-1").open, 10)
        with pytest.raises(TimeoutError):
            opening.result(0.3)
        write_private(place.url_file, place.url)
        opening.result(5)


def test_a_snapshot_keeps_positions_and_the_configuration(place: Place) -> None:
    book = place.book()
    held = [HeldPosition("AVAX", Decimal("-10.5"), Decimal("36.2"), None)]
    for _ in range(2):
        book.snapshot(time.time(), held, UsedConfig("cfg-1", "v1.2.4", {"trading": {"enabled": True}}))
    assert place.rows("SELECT symbol, size, entry_price FROM positions")[0] == (
        "AVAX",
        Decimal("-10.5"),
        Decimal("36.2"),
    )
    assert place.rows("SELECT revision, content FROM config_revisions") == [("cfg-1", {"trading": {"enabled": True}})]
    book.check_writable()
    assert place.rows("SELECT count(*) FROM trades") == [(0,)]
    book.close()


def test_a_start_without_database_names_host_and_file_and_no_password(tmp_path: Path) -> None:
    file = tmp_path / "book.url"
    for address, words in (
        (f"postgresql://u:secret@127.0.0.1:{free_ports(1)[0]}/paper", "Connection refused"),
        (services.postgres.url(NAME).replace("postgres:", "nobody-known:"), "authentication failed"),
        ("not an address", "holds no address"),
    ):
        file.write_text(address)
        began = time.monotonic()
        with pytest.raises(BookUnavailable) as refused:
            Book(file, "x").open(0.6)
        assert words in str(refused.value) and str(file) in str(refused.value) and "secret" not in str(refused.value)
        assert time.monotonic() - began < 3
    file.unlink()
    with pytest.raises(BookUnavailable, match="cannot be read"):
        Book(file, "x").open(0)


def _records(place: Place, directory: Path) -> Records:
    release = Release("v1.2.4", "c" * 40, "2026-02-03T09:20:00Z")
    return Records(place.book(), Metrics(release, "production-blue-1", 0.0), directory)


def _execution(profit: str) -> Execution:
    return Execution(Fill("BTC", "sell", Decimal("0.01"), Decimal("95000")), Decimal(profit))


async def _until(condition, what: str) -> None:  # type: ignore[no-untyped-def]
    await asyncio.to_thread(wait_for, condition, 10.0, what)


def test_trades_of_an_outage_are_stored_once_it_is_over(place: Place, tmp_path: Path) -> None:
    async def work() -> None:
        kept = _records(place, tmp_path)
        task = asyncio.create_task(kept.keep(lambda: None))
        kept.closed("geometry", _execution("2"))
        await _until(lambda: place.rows("SELECT count(*) FROM trades") == [(1,)], "first trade")
        place.admin(f'ALTER ROLE "{NAME}" NOLOGIN')
        place.admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{NAME}'")
        began = time.perf_counter()
        kept.closed("geometry", _execution("-1"))
        kept.failed("kinematics", "ETH", "no liquidity")
        assert time.perf_counter() - began < 0.3
        await _until(lambda: "not permitted to log in" in kept.condition()[1], "outage noticed")
        assert kept.condition()[0] > 200 and "2 trades wait" in kept.condition()[1]
        with pytest.raises(BookUnavailable):
            await kept.after(0, 10)
        place.admin(f'ALTER ROLE "{NAME}" LOGIN')
        await _until(lambda: kept.condition()[0] < 100, "over")
        rows = await kept.after(0, 10)
        assert [row["outcome"] for row in rows] == ["win", "loss", "failed"]
        task.cancel()
        await kept.close()

    asyncio.run(work())


def test_a_database_that_hangs_holds_nothing_up(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "CALL_SECONDS", 0.3)

    async def work() -> None:
        kept = _records(place, tmp_path)
        with psycopg.connect(place.url) as holder:
            # Longer than the caller's patience, shorter than the server's: the connection is broken from here.
            holder.execute("LOCK TABLE trades IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            with pytest.raises(BookUnavailable, match=r"within 0\.3 s"):
                await kept.after(0, 10)
            assert 0.25 < time.monotonic() - began < 0.8
            # The thread is free again, though the server still waits for the lock.
            assert await kept._call(lambda: "free") == "free"
            holder.rollback()
        assert await kept.after(0, 10) == []
        await kept.close()

    asyncio.run(work())


def test_what_could_not_be_stored_waits_for_the_next_start(place: Place, tmp_path: Path) -> None:
    async def end_without_database() -> None:
        kept = _records(place, tmp_path)
        place.url_file.unlink()
        kept._book.interrupt()
        kept.closed("geometry", _execution("2.25"))
        await kept.close()

    async def start_again() -> None:
        write_private(place.url_file, place.url)
        kept = _records(place, tmp_path)
        task = asyncio.create_task(kept.keep(lambda: None))
        await _until(lambda: place.rows("SELECT pnl FROM trades") == [(Decimal("2.25"),)], "stored")
        task.cancel()
        await kept.close()

    asyncio.run(end_without_database())
    assert place.rows("SELECT count(*) FROM trades") == [(0,)] and (tmp_path / "unwritten-trades.json").exists()
    asyncio.run(start_again())
    assert not (tmp_path / "unwritten-trades.json").exists()


def test_an_instance_trades_on_without_its_database(stack: Stack, exchange: Exchange) -> None:
    instance = stack.instance(exchange).ready()
    instance.role("ACTIVE", 1)
    wait_for(lambda: instance.get("/v1/trades").json["trades"], what="a trade")
    name = book_name(stack.environment)
    with psycopg.connect(services.postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(name)))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
        before = instance.metric("trading_trades_total")
        wait_for(lambda: instance.metric("trading_trades_total") >= before + 2, what="trades without database")
        answer = instance.get("/healthz")
        check = answer.json["checks"]["database:responseTime"][0]
        # Two seconds and more are no reason yet to roll a release back.
        assert (answer.status, check["status"]) == (200, "warn") and "trades wait to be stored" in check["output"]
        assert instance.get("/v1/trades").status == 503
        assert {r["name"] for r in instance.post("/v1/smoke-test").json["results"] if r["status"] == "fail"} == {
            "database"
        }
        # One that starts now says at once what is wrong, and that trying again may help (status 1).
        late = stack.instance(exchange, name="production-green-1")
        assert late.process is not None and late.process.wait(10) == 1
        assert f"cannot start: database {name} at 127.0.0.1:" in late.output and "Traceback" not in late.output
        admin.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(name)))
    wait_for(lambda: instance.get("/healthz").json["status"] == "pass", what="healthy")
    stored = wait_for(lambda: len(rows := instance.get("/v1/trades").json["trades"]) >= before + 2 and rows, what="all")
    assert len({row["id"] for row in stored}) == len(stored)
