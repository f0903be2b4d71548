"""The whole way of a damaged database with a real trading system: backup while it trades, halt, verify, restore."""

from __future__ import annotations

import psycopg
import pytest

from opsconsole.local.trading_database import book_name, ensure_book
from tests.deployments.world import until
from tests.services import services
from tests.trading import breaker_world
from trading import breakers, database_runs, databases
from trading.errors import WrongState

pytestmark = pytest.mark.django_db(transaction=True)
outside, stops, scene, system = (
    breaker_world.outside,
    breaker_world.stops,
    breaker_world.scene,
    breaker_world.system,
)
TRADES = """INSERT INTO trades (key, instance, at, strategy, symbol, side, size, price, pnl, outcome)
    SELECT gen_random_uuid(), 'production-blue-1', now(), 'geometry', 'BTC', 'buy', 1, 2, 3, 'win'
    FROM generate_series(1, 120)"""


def run_as_system(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(query)
        return found.fetchall() if found.description else []


def done(run):
    database_runs.work(run.pk)
    run.refresh_from_db()
    return run


def database_check(scene) -> str:
    return {check.name: check.status for check in scene.client().health().components}["database:responseTime"]


def test_from_damage_to_data(scene, admin, actor_of, tmp_path):
    name = book_name("production")
    url = ensure_book(services.postgres, name)  # with the database for trials
    secret, ada, place = tmp_path / "url", actor_of(admin), scene.environment
    secret.write_text(url)
    place.database = {"url": f"file:{secret}", "schema_name": name, "folder": str(tmp_path / "backups"), "keep": 5}
    place.save()
    run_as_system(url, "DELETE FROM trades")
    run_as_system(url, TRADES)
    assert scene.role() == "ACTIVE"
    backup = done(databases.back_up(ada, place, "Odd numbers"))
    assert backup.status == "succeeded" and backup.facts["rows"]["trades"] == 120, backup.detail
    with pytest.raises(WrongState, match="production-blue-1 is ACTIVE"):
        databases.restore(ada, place, backup, "Damage")
    breakers.trip(ada, place, "database: damage")
    pid, (last,) = scene.pid(), run_as_system(url, "SELECT max(id) FROM trades")[0]
    run_as_system(url, "DROP TABLE trades")
    damaged = done(databases.verify(ada, place, "Odd numbers"))
    assert damaged.status == "failed" and "the table trades is missing" in damaged.detail
    proved = done(databases.verify(ada, place, "Can it be used?", backup))
    assert proved.status == "succeeded", proved.detail
    restored = done(databases.restore(ada, place, backup, "Damage"))
    assert restored.status == "succeeded", restored.detail
    assert len(scene.client().trades(limit=200)) == 120
    until(lambda: database_check(scene) == "pass", "the trading system finds its database well", 20)
    assert scene.role() == "HALTED" and scene.pid() == pid, "it goes on with the tables that were made anew"
    run_as_system(url, TRADES)
    assert run_as_system(url, f"SELECT count(*) FROM trades WHERE id > {last}") == [(120,)], (
        "numbers are not used twice"
    )
