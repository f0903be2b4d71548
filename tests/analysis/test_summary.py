"""Counters to sums: resets, gaps, several instances, keeping."""

import json
import math

import pytest

from deployments.analysis.summary import Summary, growths, since_promotion, summarise, summarise_many
from tests.analysis.build import START, Story, sample, silent


def test_sums_of_one_instance():
    story = Story(1).run(10, rate=100, errors=0.05, trades=2).silence(1).run(5, rate=100, errors=0.05, trades=2)
    found = summarise(story.samples)
    assert found.requests == 1450  # the first sample is where counting begins
    assert found.error_rate == pytest.approx(0.05, abs=0.02)
    assert found.trades == found.wins + found.losses == 29
    assert found.win_rate == found.wins / 29
    assert found.latency_p99_ms == pytest.approx(10, rel=0.25)
    assert found.histogram[-1] == (math.inf, 1450)
    assert (found.answered, found.total, found.restarts) == (30, 31, 0)
    assert (found.from_at, found.to_at) == (START + 0.5, START + 15.5)


def test_a_restart_does_not_subtract():
    story = Story(2).run(5, rate=100).restart().run(2, rate=100)
    found = summarise(story.samples)
    assert found.requests == 450 + 200
    assert found.histogram[-1][1] == 650
    assert found.restarts == 1


def test_a_restart_is_seen_though_the_counters_have_overtaken_the_old_ones():
    before = sample(0, requests_ok=100)
    after = sample(60, requests_ok=5000, started_at=START + 1)
    (growth,) = growths([before, after])
    assert growth.restarted
    assert growth.requests == 5000


def test_a_wavering_start_time_is_no_restart():
    (growth,) = growths([sample(0, requests_ok=5), sample(1, requests_ok=9, started_at=START - 100.2)])
    assert (growth.restarted, growth.requests) == (False, 4)


def test_without_start_time_a_falling_counter_is_the_restart():
    (growth,) = growths([sample(0, requests_ok=50, started_at=None), sample(1, requests_ok=9, started_at=None)])
    assert (growth.restarted, growth.requests) == (True, 9)


def test_instances_add_up_and_do_not_mix():
    one, other = Story(3).run(5, rate=100), Story(4, at=0.1).run(5, rate=40, errors=0.5)
    both = summarise_many({"a": one.samples, "b": other.samples})
    parts = [summarise(one.samples), summarise(other.samples)]
    assert both.requests == sum(part.requests for part in parts)
    assert both.errors == sum(part.errors for part in parts)
    assert [count for _, count in both.histogram] == [
        a + b for (_, a), (_, b) in zip(parts[0].histogram, parts[1].histogram, strict=True)
    ]


def test_shared_samples_of_two_instances_count_twice():
    samples = Story(5).run(5, rate=100).samples
    assert summarise_many({"a": samples, "b": samples}).histogram[-1][1] == 900


def test_different_buckets_are_refused():
    one = [sample(0, latency_buckets=((0.1, 0), (math.inf, 0))), sample(1, latency_buckets=((0.1, 5), (math.inf, 5)))]
    other = [sample(0, latency_buckets=((0.2, 0), (math.inf, 0))), sample(1, latency_buckets=((0.2, 5), (math.inf, 5)))]
    with pytest.raises(ValueError, match="different bucket bounds"):
        summarise_many({"a": one, "b": other})


def test_a_histogram_that_appears_late_is_no_evidence_of_the_time_before():
    late = sample(1, requests_ok=10, latency_buckets=((0.1, 900), (math.inf, 1000)))
    assert summarise([sample(0, requests_ok=5), late]).histogram == ()


def test_nothing_gives_no_shares():
    for samples in ([], [sample(0)], [silent(0), silent(1)]):
        found = summarise(samples)
        assert (found.requests, found.error_rate, found.latency_p99_ms, found.win_rate) == (0, None, None, None)


def test_counting_begins_at_the_last_answer_before_the_promotion():
    samples = [sample(0), sample(1), silent(2), sample(3), sample(4)]
    assert [s.at - START for s in since_promotion(samples, START + 2.5)] == [1, 3, 4]
    assert since_promotion([], START) == []


def test_kept_and_read_again():
    found = summarise(Story(6).run(5, rate=100, trades=2).samples)
    assert Summary.from_data(json.loads(json.dumps(found.to_data(), allow_nan=False))) == found
    assert Summary.from_data({}) == Summary()
    with pytest.raises(ValueError, match="unknown numbers"):
        Summary.from_data({"requests": 1, "hits": 2})
