"""The monitor's parts of the kill switch: settings, warm snapshots, the dead man's switch, taking over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from environments.models import Environment
from tests.exchange.processes import until
from tests.trading.stop_world import exchange_world, reached, stop_world
from trading import stop_files, stop_watch
from trading.stop import journal, latch, snapshot
from trading.stop import settings as stop_settings
from trading.stop.latch import Latch
from trading.stop_watch import Post, StopWatch

pytestmark = pytest.mark.django_db
__all__ = ["exchange_world", "stop_world"]
ROOT = Path(__file__).resolve().parents[2]
DIES = """
import os, sys
from pathlib import Path
from trading.stop import engine, runner, settings
kept = settings.read(Path(sys.argv[1]))
pressed = engine.press(kept, engine.Press("root", "opsctl", "It dies"))
print(pressed.id, flush=True)
os._exit(9)
"""


def test_the_settings_file_follows_the_rows(system, production, staging):
    watch = StopWatch()
    watch.settings()
    path = stop_files.folder("production") / stop_settings.NAME
    first = stop_settings.read(path)
    assert (first.environment, first.kind, first.exchange) == ("production", "production", production.exchange)
    assert {(one.name, one.slot) for one in first.instances} == {
        ("production-blue-1", "blue"),
        ("production-green-1", "green"),
    }
    assert path.stat().st_mode & 0o777 == 0o600 and "test-token" not in path.read_text()
    written = path.stat().st_mtime_ns
    watch.settings()
    assert path.stat().st_mtime_ns == written
    Environment.objects.filter(pk=production.pk).update(driver={"socket": "/elsewhere", "root": "/"})
    watch.settings()
    assert stop_settings.read(path).driver["socket"] == "/elsewhere"


def test_one_query_for_settings_that_did_not_change(system, production, django_assert_num_queries):
    watch = StopWatch()
    watch.settings()
    with django_assert_num_queries(3):  # and one for the instances of each environment
        watch.settings()


def test_the_snapshot_is_kept_warm_without_a_database(stop_world, production, django_assert_num_queries):
    stop_world.fill("production", orders=3)
    watch = StopWatch()  # a restart while the database is away: the files say what is tended
    with django_assert_num_queries(0):
        watch.tend()
        found = until(lambda: stop_files.warm("production"), "a snapshot")
    assert (len(found.orders), {one.coin for one in found.positions}) == (3, {"BTC", "ETH"})
    assert found.age(time.time()) < 5


def test_an_exchange_that_hangs_delays_no_other(stop_world, staging):
    broken = stop_files.written("production")
    stop_settings.write(
        broken.folder / stop_settings.NAME,
        stop_settings.StopSettings(
            "production", "production", broken.folder, {**broken.exchange, "url": "http://192.0.2.1:9"}
        ),
    )
    watch = StopWatch()
    watch.tend()
    until(lambda: stop_files.warm("staging"), "the other snapshot", 3)
    assert stop_files.warm("production") is None


def post_of(environment, **more) -> Post:
    kept = stop_files.settings_of(environment)
    kept.exchange.update(more)
    return Post(kept)


def armed(world, account: str) -> list[dict]:
    return [entry for entry in world.exchange.log(account) if "schedule" in json.dumps(entry).lower()]


def test_the_dead_mans_switch_is_kept_armed(stop_world, production):
    watch, post = StopWatch(), post_of(production, dead_man_seconds=60)
    before = len(armed(stop_world, "production"))
    watch.tend_one(post)
    watch.tend_one(post)
    assert len(armed(stop_world, "production")) == before + 1, "not again before a third of its time"
    post.armed_at -= 21
    post.warmed_at = 0.0
    watch.tend_one(post)
    assert len(armed(stop_world, "production")) == before + 2
    post.armed_at -= 21
    post.warmed_at = 0.0
    latch.engage(stop_files.folder("production"), Latch("", "production", 1.0, "Otto"))
    watch.tend_one(post)
    assert len(armed(stop_world, "production")) == before + 2, "while latched there is nothing to renew"


def test_switched_off_it_is_disarmed_once(stop_world, production):
    watch, post = StopWatch(), post_of(production, dead_man_seconds=60)
    watch.tend_one(post)
    before = len(armed(stop_world, "production"))
    off = post_of(production, dead_man_seconds=0)
    for _ in range(2):
        off.warmed_at = 0.0
        watch.tend_one(off)
    assert len(armed(stop_world, "production")) == before + 1
    assert not (stop_files.folder("production") / stop_watch.DEAD_MAN).exists()


def test_a_stop_whose_process_died_is_taken_over(stop_world, production):
    stop_world.fill("production")
    kept = stop_files.written("production")
    command = [sys.executable, "-c", DIES, str(kept.folder / stop_settings.NAME)]
    died = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=30)
    assert died.returncode == 9, died.stderr
    stop = died.stdout.strip()
    assert stop_world.left("production") != (0, 0) and str(stop_files.running("production")) == stop
    StopWatch().tend_one(Post(kept))
    found = reached(production, stop, "FLAT")
    assert stop_world.left("production") == (0, 0) and (found.actor, found.reason) == ("root", "It dies")
    events = [entry["event"] for entry in journal.read(kept.journal_path(stop))]
    assert events.count("taken_over") == 1 and snapshot.read(kept.snapshot_path) is None
