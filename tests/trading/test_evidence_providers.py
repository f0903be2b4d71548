"""What trading and its environment tell a runbook, against a real supervisor, trading system and exchange."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.errors import Forbidden
from environments import adapters, evidence, logs, remedies
from environments.evidence import Subject, Verdict
from environments.models import SampleRow
from environments.target import Trade
from tests.demo.processes import call
from tests.deployments.world import until
from tests.trading import breaker_world
from trading import breakers, evidence_account
from trading.errors import WrongState
from trading.models import BreakerTrip, Comparison, DatabaseRun, EmergencyStop

pytestmark = pytest.mark.django_db
outside, stops, scene, system = (
    breaker_world.outside,
    breaker_world.stops,
    breaker_world.scene,
    breaker_world.system,
)
BLUE = breaker_world.BLUE


@pytest.fixture
def read(scene):
    """One reading about production, as it is now."""

    def now(name: str):
        scene.environment.refresh_from_db()
        found = evidence.read(name, Subject(scene.environment)).reading
        assert not found.value.startswith("Could not be read"), found.value
        return found

    return now


@pytest.fixture
def market(outside, scene):
    """Changes the exchange; healed at the end."""
    url = scene.environment.exchange["url"]

    def change(**faults):
        reply = call("POST", f"{url}/faults", faults)
        assert reply.status == 200, reply.body

    yield change
    call("DELETE", f"{url}/faults")


@pytest.fixture
def position(scene, market):
    """A position behind the system's back: ``position("0.02")``; gone at the end."""
    sizes = []

    def inject(size: str, coin: str = "BTC"):
        sizes.append((coin, size))
        market(position={"account": "production", "coin": coin, "size": size})

    yield inject
    for coin, size in sizes:
        market(position={"account": "production", "coin": coin, "size": size[1:] if size[0] == "-" else f"-{size}"})
    scene.client().reconcile("tests", "End of a test")


def test_a_system_that_is_well(read):
    found = read("environments.health")
    assert found.verdict == Verdict.PASS and found.value.startswith("1 of 1 live instance healthy, v1.2.4 on blue")
    assert found.link == "/environments/production/" and BLUE in found.detail
    found = read("environments.components")
    assert (
        found.verdict == Verdict.PASS and found.value == "5 of 5 checks pass" and "Database connection" in found.detail
    )
    found = read("environments.versions")
    assert found.verdict == Verdict.PASS and found.value == "v1.2.4 on blue (live)"
    found = read("trading.halted")
    assert found.verdict == Verdict.PASS and found.value.startswith(f"{BLUE} is ACTIVE since ")
    assert read("trading.breakers").value == "1 breaker closed"
    found = read("trading.reconciliation")
    assert (found.verdict, found.value) == (Verdict.PASS, "System and exchange agree: 0 positions")
    found = read("trading.exchange")
    assert found.verdict == Verdict.PASS and "0 of 5 lost" in found.value and found.detail.count("Answered in") == 5
    found = read("trading.capital")
    assert found.verdict == Verdict.PASS and "0.0 % of it backs positions worth 0.00 USD" in found.value
    assert not Comparison.objects.exists(), "evidence reads; it keeps nothing"


def test_processor_memory_and_the_log_of_the_real_process(scene, read):
    found = read("environments.resources")
    assert found.verdict in (Verdict.PASS, Verdict.WARN) and f"{BLUE}: processor" in found.value
    assert "host: load" in found.value and f"process {scene.pid()}, restarts 0" in found.detail
    usage = adapters.driver(scene.environment).usage(adapters.instance_spec(scene.instance()))
    assert usage.pid == scene.pid() and usage.memory > 10_000_000 and usage.threads >= 1
    found = read("environments.log")
    assert f"== {BLUE} ==" in found.detail and " on port " in found.detail, found


def test_another_version_than_the_slot_s_fails(scene, read):
    scene.environment.slots.filter(name="blue").update(version="v9.9.9")
    found = read("environments.versions")
    assert found.verdict == Verdict.FAIL and f"{BLUE} says v1.2.4 instead of v9.9.9" in found.value


def test_a_mismatch_is_told_and_taken_over(scene, read, position, admin, operator, actor_of):
    position("0.02")
    found = read("trading.reconciliation")
    assert found.verdict == Verdict.FAIL and found.value == "1 symbol differs from the exchange: BTC"
    assert "BTC: the system keeps 0, the exchange says 0.02" in found.detail and "  none" in found.detail
    found = read("trading.positions")
    assert found.verdict == Verdict.WARN and found.value.startswith("1 position at the exchange, worth ")
    assert "0 in the system" in found.value and "BTC 0.02, entry" in found.detail
    assert "backs positions worth 0.00" not in read("trading.capital").value
    remedy, subject = remedies.remedy("trading.reconcile"), Subject(scene.environment)
    assert "BTC: the system keeps 0, the exchange says 0.02" in remedy.effect(subject)
    assert "1 position (BTC)" in remedies.remedy("trading.close_position").effect(subject)
    with pytest.raises(Forbidden):
        remedy.run(actor_of(operator), subject, "Not mine to do")
    done = remedy.run(actor_of(admin), subject, "Missed fill")
    assert done.startswith("Taken over: BTC. Read back at ") and read("trading.reconciliation").verdict == Verdict.PASS
    assert remedy.effect(subject).startswith("Nothing: system and exchange agree")
    with pytest.raises(WrongState):
        remedy.run(actor_of(admin), subject, "Again")


def test_an_open_breaker_says_why_and_leads_to_its_page(scene, read, admin, actor_of):
    breakers.trip(actor_of(admin), scene.environment, "Odd fills")
    trip = BreakerTrip.objects.get()
    found = read("trading.breakers")
    assert found.verdict == Verdict.FAIL and f"{BLUE} is open: Opened by hand" in found.value
    assert "Odd fills" in found.detail and found.link == f"/breakers/{trip.pk}/"
    found = read("trading.halted")
    assert found.verdict == Verdict.FAIL and f"{BLUE} is HALTED" in found.value
    assert read("environments.components").verdict == Verdict.FAIL
    remedy, subject = remedies.remedy("trading.reset_breaker"), Subject(scene.environment)
    assert remedy.page(subject) == f"/breakers/{trip.pk}/" and "1 breaker open" in remedy.effect(subject)


def test_a_system_and_an_exchange_that_are_gone(scene, read, market):
    # A stopped process keeps its port open: nothing refuses, nothing answers.
    os.kill(scene.pid(), signal.SIGSTOP)
    try:
        assert read("environments.health").verdict == Verdict.FAIL
        for name in ("environments.components", "environments.versions", "trading.halted", "trading.breakers"):
            assert read(name).verdict == Verdict.NO_DATA, name
    finally:
        os.kill(scene.pid(), signal.SIGCONT)
    scene.environment.exchange = scene.environment.exchange | {"url": "http://127.0.0.1:1"}
    scene.environment.save()
    for name in ("trading.positions", "trading.orders", "trading.capital", "trading.reconciliation"):
        found = read(name)
        assert found.verdict == Verdict.NO_DATA and "nobody listens" in found.value, found
    assert read("trading.exchange").verdict == Verdict.FAIL


def test_a_process_that_does_not_run_fails(scene, read):
    scene.stop()
    try:
        found = read("environments.resources")
        assert found.verdict == Verdict.FAIL and f"{BLUE} does not run (stopped)" in found.value
        assert "nobody listens" in read("environments.health").value
    finally:
        scene.start()


def test_secrets_never_leave_the_log(scene, read, outside):
    log = adapters.driver(scene.environment).client.info(BLUE).log
    key = "0x" + "ab" * 32
    with log.open("a") as file:
        file.write("connected with Bearer test-token and password=hunter2hunter2\n")
        file.write(f"signing with {key}\n\x1b[31m2026-11-23 10:00:00,000 ERROR odd\x00 colour\x1b[0m\n")
    found = read("environments.log")
    assert (
        found.verdict == Verdict.WARN
        and " tell of an error" in found.value
        and found.value.endswith("ERROR odd colour")
    )
    for secret in ("test-token", "hunter2", key, "\x1b", "\x00"):
        assert secret not in found.detail + found.value, secret
    assert "connected with" in found.detail, "the rest of the line stays"
    assert logs.clean([]) == [] and logs.clean(["a" * 900])[0] == "a" * logs.LINE_LIMIT


def sampled(scene, age, **data):
    counters = {"requests_ok": 0, "requests_error": 0, "trades_win": 0, "trades_loss": 0, "latency_buckets": [], **data}
    at = timezone.now() - timedelta(seconds=age)
    SampleRow.objects.create(instance=scene.instance(), at=at, ok=True, data={"components": [], **counters})


@pytest.mark.parametrize(
    ("errors", "slow", "wanted"),
    [(0, 0, ("pass", "pass")), (20, 0, ("fail", "pass")), (0, 50, ("pass", "fail"))],
)
def test_the_last_minute_against_its_limits(scene, read, errors, slow, wanted):
    SampleRow.objects.all().delete()
    sampled(scene, 10, latency_buckets=[[0.01, 0], [0.1, 0], ["+Inf", 0]])
    buckets = [[0.01, 1000 - slow], [0.1, 1000], ["+Inf", 1000]]
    sampled(scene, 0, requests_ok=1000 - errors, requests_error=errors, latency_buckets=buckets)
    found = [read("environments.error_rate"), read("environments.latency")]
    assert tuple(one.verdict for one in found) == wanted, found
    assert "of 1,000 requests in the last minute" in found[0].value and "p99 " in found[1].value
    assert all("no baseline" in one.value for one in found)


def test_what_the_monitor_has_not_sampled_lately_is_no_data(scene, read):
    SampleRow.objects.all().delete()
    sampled(scene, 30)
    for name in ("environments.error_rate", "environments.latency", "deployments.baseline"):
        found = read(name)
        assert found.verdict == Verdict.NO_DATA and "no reading for 3" in found.value, found


class Book:
    """The trades of a trading system, listed as the ops contract does; numbers have gaps."""

    def __init__(self, trades):
        self.rows, self.asked = trades, 0

    def trades(self, after=0, limit=100):
        self.asked += 1
        return [one for one in self.rows if one.id > after][:limit]


def trade(number, at, outcome="win", pnl="1"):
    return Trade(number, at, "momentum", "BTC", "buy", Decimal("0.1"), Decimal(100), Decimal(pnl), outcome)


def test_the_trades_of_a_day_are_found_by_halving():
    begin = datetime(2026, 11, 22, tzinfo=UTC)
    rows = [trade(3 * n + 1, begin + timedelta(minutes=10 * (n - 300))) for n in range(1000)]
    book = Book(rows)
    found = evidence_account._day(book, begin, begin + timedelta(days=1))
    assert [one.id for one in found] == [one.id for one in rows if begin <= one.at < begin + timedelta(days=1)]
    assert len(found) == 144 and book.asked < 30
    assert evidence_account._day(Book([]), begin, begin + timedelta(days=1)) == []
    last = evidence_account._last(Book(rows), 400)
    assert last[-1] is rows[-1] and len(last) >= 100


def test_a_win_rate_that_fell_is_told(scene, read, monkeypatch):
    now = timezone.now()
    good = [trade(n, now - timedelta(hours=2), "win" if n % 2 else "loss") for n in range(1, 201)]
    bad = [trade(n, now, "win" if n % 3 == 0 else "loss", "-1") for n in range(201, 401)]
    monkeypatch.setattr(evidence_account, "_ask_writers", lambda environment, question: ([*good, *bad], ""))
    found = read("trading.win_rate")
    assert found.verdict == Verdict.FAIL and "33." in found.value and "the trades before 50.0 %" in found.value
    monkeypatch.setattr(evidence_account, "_ask_writers", lambda environment, question: (good, ""))
    assert read("trading.win_rate").verdict == Verdict.PASS
    monkeypatch.setattr(evidence_account, "_ask_writers", lambda environment, question: (good[:5], ""))
    assert read("trading.win_rate").verdict == Verdict.NO_DATA
    monkeypatch.setattr(evidence_account, "_ask_writers", lambda environment, question: ([trade(1, now, "failed")], ""))
    found = read("trading.trades_yesterday")
    assert found.verdict == Verdict.WARN and "0 closed, 0 won, +0.00 USD, 1 order failed" in found.value


def test_the_age_of_the_backup_that_was_verified(scene, read, tmp_path, admin, actor_of):
    scene.environment.database = {"url": "env:NONE", "folder": str(tmp_path), "schema_name": "public"}
    scene.environment.save()
    assert read("trading.backup").value == "There is no backup"
    file = tmp_path / "one.dump"
    file.write_bytes(b"x")
    made = {"environment": scene.environment, "actor_name": "ada", "reason": "Daily", "status": "succeeded"}
    ago = timezone.now() - timedelta(hours=3)
    run = DatabaseRun.objects.create(
        **made, kind="backup", path=str(file), size=1_200_000, finished_at=ago, facts={"rows": {"trades": 12}}
    )
    found = read("trading.backup")
    assert found.verdict == Verdict.WARN and "3 h old" in found.value and "none was verified" in found.value
    DatabaseRun.objects.create(**made, kind="verify", backup=run, finished_at=timezone.now())
    assert read("trading.backup").verdict == Verdict.PASS and "verified" in read("trading.backup").detail
    file.unlink()
    assert (
        read("trading.backup").verdict == Verdict.FAIL
        and "1 file of them cannot be found" in read("trading.backup").value
    )
    remedy, subject = remedies.remedy("trading.backup"), Subject(scene.environment)
    assert "Another backup is made" in remedy.effect(subject)
    assert "Asked for at" in remedy.run(actor_of(admin), subject, "Before the repair")
    assert DatabaseRun.objects.filter(status="waiting").count() == 1 and "under way" in remedy.effect(subject)


def test_the_kill_switch_and_its_last_use(scene, read, stops):
    assert read("trading.kill_switch").value == "Not engaged; never pressed, not even in a drill"
    now = timezone.now()
    stop = EmergencyStop.objects.create(
        environment=scene.environment,
        drill=True,
        actor_name="ada",
        via="page",
        pressed_at=now,
        flat_at=now + timedelta(seconds=1.5),
        outcome="FLAT",
        released_at=now,
    )
    found = read("trading.kill_switch")
    assert found.verdict == Verdict.PASS and "FLAT in 1.5 s" in found.detail
    EmergencyStop.objects.update(released_at=None)
    type(scene.environment).objects.update(latched_at=now)
    found = read("trading.kill_switch")
    assert found.verdict == Verdict.FAIL and found.link == f"/kill-switch/stops/{stop.pk}/"
    subject = Subject(scene.environment)
    assert remedies.remedy("trading.release").page(subject) == f"/kill-switch/stops/{stop.pk}/release/"
    assert "engaged already" in remedies.remedy("trading.emergency_stop").effect(subject)
    assert remedies.remedy("trading.resume").page(subject) == "/clearances/resume/production/"


def test_the_effect_of_the_emergency_stop_counts_what_is_open(scene, position):
    position("0.02")
    until(lambda: "1 position" in remedies.remedy("trading.emergency_stop").effect(Subject(scene.environment)), "seen")
