"""The metrics of the ops contract: read right, or refused with the line that is wrong."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from environments.metrics import MetricsError, parse_metrics

FULL = """\
# HELP trading_build_info Always 1
# TYPE trading_build_info gauge
trading_build_info{version="v1.2.5",release_id="sha256:ab"} 1.0
trading_deploy_timestamp_seconds 1.7672256e+09
trading_component_up{component="exchange"} 1.0
trading_requests_total{op="quote",outcome="ok"} 120.0
trading_requests_total{op="quote",outcome="error"} 3.0
trading_requests_total{op="signal",outcome="ok"} 30.0 1767225600000
trading_requests_created{op="quote",outcome="ok"} 1.76e+09
trading_order_latency_seconds_bucket{le="0.01",op="quote"} 90.0
trading_order_latency_seconds_bucket{op="signal",le="0.01"} 10.0
trading_order_latency_seconds_bucket{le="+Inf",op="quote"} 123.0
trading_order_latency_seconds_bucket{op="signal",le="+Inf"} 30.0
trading_order_latency_seconds_count 153.0
trading_trades_total{strategy="geo\\"metry } x",outcome="win"} 4.0
trading_trades_total{outcome="loss",strategy="b"} 2.0
trading_trades_total{outcome="failed",strategy="b"} 1.0
trading_position_mismatches 0.0
trading_open_positions 2
trading_open_orders 5
trading_circuit_breaker_open{reason_code="daily_loss"} 0.0
trading_circuit_breaker_open{reason_code="rejected_orders"} 1.0
trading_last_heartbeat_timestamp_seconds{strategy="a"} 1767225700
trading_last_heartbeat_timestamp_seconds{strategy="b"} 1767225690
process_start_time_seconds 1767225600.5
some_other_metric{le="broken} not a number
"""


def test_every_number_of_the_contract():
    found = parse_metrics(FULL)
    assert found.version == "v1.2.5"
    assert (found.requests_ok, found.requests_error) == (150, 3)
    assert found.latency_buckets == ((0.01, 100), (math.inf, 153))
    assert (found.trades_win, found.trades_loss, found.trades_failed) == (4, 2, 1)
    assert (found.mismatches, found.open_positions, found.open_orders) == (0, 2, 5)
    assert found.breaker_open is True
    assert found.started_at == 1767225600.5
    assert found.deployed_at == 1767225600
    assert found.last_heartbeat_at == 1767225690


def test_what_is_not_reported_is_none():
    found = parse_metrics('trading_build_info{version="v1"} 1\ntrading_position_mismatches NaN\n')
    assert (found.mismatches, found.breaker_open, found.started_at, found.open_orders) == (None, None, None, None)
    assert (found.latency_buckets, found.requests_ok) == ((), 0)


def test_a_breaker_without_a_series_is_closed():
    text = 'trading_build_info{version="v1"} 1\n# TYPE trading_circuit_breaker_open gauge\n'
    assert parse_metrics(text).breaker_open is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no metric of the ops contract"),
        ("<html><body>trading_position_mismatches 0</body></html>", "no metric of the ops contract"),
        ("trading_open_orders 1\ntrading_position_mismatches zero", "line 2 .*zero"),
        ("trading_position_mismatches -1", "position_mismatches must be a number from 0 up"),
        ("trading_position_mismatches +Inf", "position_mismatches must be a number from 0 up"),
        ('trading_requests_total{outcome="ok"} -4', "a count must be"),
        ('trading_requests_total{outcome="ok"} NaN', "a count must be"),
        ('trading_requests_total{outcome="perhaps"} 4', "one of ok, error, not 'perhaps'"),
        ('trading_requests_total{op="quote"} 4', "one of ok, error, not None"),
        ("trading_requests_total 4", "one of ok, error, not None"),
        ('trading_order_latency_seconds_bucket{le="0.1"} 4', "no le"),
        ('trading_order_latency_seconds_bucket{le="fast"} 4', "line 1"),
        ("trading_order_latency_seconds_bucket 4", "needs the label le"),
        (
            'trading_order_latency_seconds_bucket{le="0.1"} 4\ntrading_order_latency_seconds_bucket{le="+Inf"} 3',
            "shrinks",
        ),
    ],
)
def test_wrong_answers_are_refused_with_the_reason(text, words):
    with pytest.raises(MetricsError, match=words):
        parse_metrics(text)


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse_metrics("trading_open_orders 1\n" + text)
    except MetricsError as refused:
        assert str(refused)
    else:
        assert found.open_orders is not None


@given(
    labels=st.lists(st.text(max_size=12), min_size=1, max_size=4, unique=True),
    counts=st.lists(st.integers(0, 10**9), min_size=3, max_size=3),
    times=st.lists(st.floats(0, 3), max_size=30),
)
def test_reads_what_the_reference_library_writes_and_reads(labels, counts, times):
    registry = CollectorRegistry()
    trades = Counter("trading_trades_total", "t", ("strategy", "outcome"), registry=registry)
    for label in labels:
        for outcome, count in zip(("win", "loss", "failed"), counts, strict=True):
            trades.labels(label, outcome).inc(count)
    latency = Histogram("trading_order_latency_seconds", "l", buckets=(0.1, 0.5, 1), registry=registry)
    for seconds in times:
        latency.observe(seconds)
    Gauge("trading_position_mismatches", "m", registry=registry).set(len(times))
    text = generate_latest(registry).decode()
    found = parse_metrics(text)
    assert [found.trades_win, found.trades_loss, found.trades_failed] == [count * len(labels) for count in counts]
    assert found.mismatches == len(times)
    reference = [
        (float(s.labels["le"]), int(s.value))
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.name == "trading_order_latency_seconds_bucket"
    ]
    assert list(found.latency_buckets) == reference
