"""The pure parts of ``make bench``: percentiles, what counts as met or wrong, the table, and how logs are read."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from demo.exchange.writers import Change
from opsconsole.bench import faults, gap, kills
from opsconsole.bench.figures import Figure, of_durations, percentile, table


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        (range(1, 101), 0.99, 99),
        (range(1, 101), 0.5, 50),
        (range(1, 101), 0.07, 7),
        (range(1, 101), 1, 100),
        (range(1, 13), 0.99, 12),
        ([3, 1, 2], 0.5, 2),
        ([7.5], 0.99, 7.5),
    ],
)
def test_percentile_is_the_nearest_rank(values, share, expected):
    assert percentile(values, share) == expected


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1], 0), ([1], 1.1)])
def test_percentile_refuses_what_it_cannot_answer(values, share):
    with pytest.raises(ValueError, match="give at least one value"):
        percentile(values, share)


def test_p99_and_max_are_judged_apart():
    slow_once = [10.0] * 99 + [500.0]
    assert of_durations("a", "A", slow_once, 100).met
    assert not of_durations("a", "A", slow_once, 100, judged="max").met
    assert not of_durations("a", "A", [*slow_once[1:], 500.0], 100).met


def test_without_a_value_nothing_is_met():
    figure = of_durations("a", "A", [], 100)
    assert (figure.met, figure.n, figure.p99) == (False, 0, None)


def test_the_table_tells_slow_from_wrong():
    figures = [
        of_durations("a", "Fast", [1.0, 2.0], 100, notes={"requests failed": 0, "latencies": [1.5, 2.0]}),
        of_durations("b", "Slow", [1234.5], 100),
        of_durations("c", "Broken", [1.0], 100, wrong=["3 requests failed"]),
        Figure("d", "Rate", "≥ 1000", "/s", 5, True, max=2500),
    ]
    lines = table(figures).splitlines()
    rows = {line.split()[0]: line for line in lines[2:6]}
    assert rows["Fast"].endswith(" met") and not rows["Fast"].endswith("not met")
    assert rows["Slow"].endswith("not met") and "1,234" in rows["Slow"]
    assert rows["Broken"].endswith("WRONG")
    assert "2,500" in rows["Rate"] and "≥ 1000 /s" in rows["Rate"]
    assert "  latencies: 1.5, 2" in lines
    assert lines[-1] == "WRONG: Broken: 3 requests failed"
    assert json.loads(json.dumps(asdict(figures[0])))["p99"] == 2.0


def stats(failures, *, failed=None, last_at=None, moments=()):
    by_server = {"production-green-1": {"last_at": last_at}} if last_at else {}
    kept = [{"at": at} for at in failures]
    return {
        "failures": kept,
        "failed": len(kept) if failed is None else failed,
        "by_server": by_server,
        "moments": [{"at": at, "failed": count} for at, count in moments],
    }


def test_outside_measure_ends_with_the_last_request_of_the_bad_instance():
    assert faults.outside_ms(stats([10.0, 10.5], last_at=11.2), "production-green-1") == pytest.approx(1200)


def test_outside_measure_ends_with_the_last_failure_when_that_is_later():
    assert faults.outside_ms(stats([10.0, 11.5], last_at=10.0), "production-green-1") == pytest.approx(1500)


def test_outside_measure_finds_the_first_failure_when_it_was_not_kept():
    moments = [(9.8, 0), (9.9, 7), (10.0, 3)]
    found = faults.outside_ms(stats([10.0, 10.5], failed=400, last_at=11.0, moments=moments), "production-green-1")
    assert found == pytest.approx(1100)


def test_outside_measure_without_a_failure_or_an_answer_is_none():
    assert faults.outside_ms(stats([], last_at=11.0), "production-green-1") is None
    assert faults.outside_ms(stats([10.0]), "production-green-1") is None


def row(name, status, finished_at, attempts=1):
    return {"name": name, "status": status, "finished_at": finished_at, "attempts": attempts}


def test_recovery_is_the_success_of_the_interrupted_step_and_not_of_an_earlier_one():
    steps = [
        row("start_slot", "succeeded", "1970-01-01T00:00:10Z"),
        row("wait_healthy", "succeeded", "1970-01-01T00:00:25Z"),
        row("start_slot", "running", None),
    ]
    assert kills.finished_after({"steps": steps}, "start_slot", 20.0) == []
    steps[2] = row("start_slot", "succeeded", "1970-01-01T00:00:24.500000Z")
    assert kills.finished_after({"steps": steps}, "start_slot", 20.0) == [24.5]
    steps[2] = row("start_slot", "failed", "1970-01-01T00:00:24.500000Z")
    assert kills.finished_after({"steps": steps}, "start_slot", 20.0) == []


def test_looks_at_both_watches_are_counted():
    steps = [
        row("watch", "succeeded", None, 9),
        row("watch", "running", None, 4),
        row("start_slot", "pending", None, 2),
    ]
    assert kills.attempts({"steps": steps}, "watch") == 13


def test_gaps_are_those_of_the_given_deployments_only():
    def change(at, gap_ms):
        return Change("blue", "green", at - gap_ms / 1000, at, gap_ms, 1, 2)

    deployments = [
        {"created_at": "1970-01-01T00:00:10Z", "finished_at": "1970-01-01T00:00:20Z"},
        {"created_at": "1970-01-01T00:00:50Z", "finished_at": "1970-01-01T00:01:00Z"},
    ]
    changes = [change(5, 1), change(15, 200), change(30, 3000), change(55, 400)]
    assert gap.gaps_of(changes, deployments) == [200, 400]
