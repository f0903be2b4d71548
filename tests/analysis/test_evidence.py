"""Where evidence is counted from: starting points, the moment of the fault, and the cost of a look."""

import math
import time

from hypothesis import given
from hypothesis import strategies as st

from deployments.analysis.assess import assess
from deployments.analysis.context import START_SECONDS, InstanceView, Watch, starting_points
from deployments.analysis.evidence import gather_evidence
from deployments.analysis.rates import slower_than
from environments.policy import default_rules
from tests.analysis.build import START, Story, sample


def watch(samples, promoted=0.0):
    return Watch.of(
        {"green-1": samples}, baseline=None, promoted_at=START + promoted, confirmations=2, now=samples[-1].at
    )


def failed(part):
    return part.errors, part.requests


@given(st.integers(0, 20_000))
def test_starting_points_are_few_recent_ones_are_dense_and_the_first_is_always_there(newest):
    kept = starting_points(newest)
    assert kept[0] == 0
    assert kept == sorted(set(kept))
    assert max(kept) <= newest
    assert set(range(max(0, newest - 30), newest + 1)) <= set(kept)
    assert len(kept) <= 32 + 17 * max(1, math.ceil(math.log2(newest / 32 + 2)))


def test_what_is_known_at_a_moment_counts_for_the_starting_points_before_it():
    samples = [sample(0)]
    for step in range(1, 13):  # all errors arrive in the answer at 5.0
        samples.append(sample(step * 0.5, requests_ok=100 * step, requests_error=40 * (step >= 10)))
    found = gather_evidence(watch(samples), failed, 0.01)
    assert found.since == START + 4.5
    assert found.fault_after == START + 4.5
    assert (found.bad, found.count) == (40, 340)


def test_the_fault_lies_after_the_beginning_of_the_last_good_probe_of_every_instance():
    slow = {"probe_seconds": 0.3}
    one = [sample(i * 0.5, requests_ok=100 * i, requests_error=30 * (i >= 10), extra=slow) for i in range(12)]
    other = [sample(i * 0.5 + 0.4, requests_ok=100 * i) for i in range(12)]
    both = Watch.of({"a": one, "b": other}, baseline=None, promoted_at=START, confirmations=2, now=START + 6)
    found = gather_evidence(both, failed, 0.01)
    assert abs(found.fault_after - (START + 4.5 - 0.3)) < 1e-3


def test_nothing_counted_is_no_evidence():
    assert gather_evidence(watch([sample(1)]), failed, 0.01).log_evidence <= 0
    assert gather_evidence(watch([sample(1), sample(2)]), slower_than(0.05), 0.01).log_evidence <= 0


def test_more_and_later_samples_do_not_make_a_look_dear():
    """An hour at two samples a second, one instance: a look must leave room for the next one."""
    story = Story(1, at=-1).run(3600, rate=2, trades=0)
    started = time.process_time()
    verdicts = assess(
        default_rules(),
        baseline=None,
        samples={"green-1": story.samples},
        promoted_at=START,
        confirmations=2,
        now=story.samples[-1].at,
    )
    took = time.process_time() - started
    print(f"\none look at {len(story.samples)} samples: {took * 1000:.0f} ms of CPU")
    assert len(verdicts) == len(default_rules())
    assert took < 0.3
    assert len(starting_points(round(3600 / START_SECONDS))) < 200


def test_leaving_out_answers_between_starting_points_changes_nothing(monkeypatch):
    story = Story(2, at=-1, interval=0.3).run(400, rate=40, errors=0.004).run(20, rate=40, errors=0.05)
    fewer = watch(story.samples)
    thin = gather_evidence(fewer, failed, 0.01)
    monkeypatch.setattr(InstanceView, "answers_at", lambda view, moments: [view.anchor, *view.answers])
    every = watch(story.samples)
    full = gather_evidence(every, failed, 0.01)
    assert len(fewer.growths) < 200 < 1000 < len(every.growths)
    assert thin == full
    assert fewer.summary == every.summary
