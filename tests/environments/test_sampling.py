"""Samples: kept as they were, taken on time, and nothing that one instance says spoils those of the others."""

from __future__ import annotations

import json
import math
import threading
import time
from dataclasses import asdict
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.db import DataError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from environments import sampling
from environments.models import Environment, Instance, SampleRow, Slot
from environments.probe import ProbeSpec
from environments.sample import Component, Sample
from environments.sampling import Plan, Sampler, clean, from_row, keep_rows, plans, to_row
from environments.tasks import prune_samples
from opsconsole.local.ports import free_ports
from tests.deployments.world import until

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
COUNT = st.integers(min_value=0, max_value=2**53)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
MOMENT = st.floats(min_value=0, max_value=4e9)
SAMPLES = st.builds(
    Sample,
    at=MOMENT,
    ok=st.booleans(),
    error=TEXT,
    version=TEXT,
    components=st.lists(st.builds(Component, TEXT, st.sampled_from(["pass", "warn", "fail"]), TEXT), max_size=4).map(
        tuple
    ),
    requests_ok=COUNT,
    requests_error=COUNT,
    latency_buckets=st.lists(st.tuples(st.one_of(NUMBER, st.just(math.inf)), COUNT), max_size=5).map(tuple),
    trades_win=COUNT,
    trades_loss=COUNT,
    trades_failed=COUNT,
    mismatches=st.none() | COUNT,
    breaker_open=st.none() | st.booleans(),
    role=st.sampled_from(["ACTIVE", "STANDBY", ""]),
    epoch=st.none() | COUNT,
    started_at=st.none() | MOMENT,
    open_positions=st.none() | COUNT,
    open_orders=st.none() | COUNT,
    extra=st.dictionaries(TEXT, NUMBER, max_size=3),
)


@pytest.fixture
def instances(system) -> list[Instance]:
    Slot.objects.update(role="standby")
    return list(Instance.objects.order_by("pk"))


@given(SAMPLES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_sample_comes_back_as_it_was(sample):
    data = to_row(1, sample).data
    assert from_row(data) == sample
    assert from_row(json.loads(json.dumps(data, allow_nan=False))) == sample


def test_it_does_so_through_the_database(instances):
    sample = Sample(
        at=1.7e9 + 0.123456789, ok=True, latency_buckets=((0.001, 3), (math.inf, 4)), extra={"probe_seconds": 1 / 3}
    )
    keep_rows([(instances[0].pk, sample)])
    assert from_row(SampleRow.objects.get().data) == sample


@pytest.mark.parametrize(
    "bad",
    [
        {"components": (Component("a", "fail", "text with \x00 in it"),)},
        {"components": (Component("a", "fail", "half a \ud800 character"),)},
        {"version": "v1\x00"},
        {"error": "\x00"},
        {"extra": {"gauge": math.nan}},
        {"extra": {"gauge": math.inf}},
        {"started_at": math.inf},
        {"started_at": math.nan},
    ],
)
def test_whatever_an_instance_says_can_be_kept(instances, bad):
    """Postgres takes neither NUL nor half characters nor NaN in JSON; a batch is one statement."""
    sample = Sample(at=time.time(), ok=True, **bad)
    with pytest.raises(DataError), transaction.atomic():
        keep_rows([(instances[0].pk, sample)])
    keep_rows([(instances[0].pk, clean(sample))])
    kept = from_row(SampleRow.objects.get().data)
    assert kept.ok and [part.status for part in kept.components] == [part.status for part in sample.components]


@given(SAMPLES)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_good_sample_is_kept_as_it_is(sample):
    assert clean(sample) == sample


class Nonsense(BaseHTTPRequestHandler):
    """An instance whose health answer holds what Postgres refuses."""

    def do_GET(self) -> None:
        """Every read of a probe."""
        check = {"status": "fail", "output": "disk \x00 and \ud800"}
        answers = {
            "/healthz": json.dumps({"status": "fail", "version": "v1\x00", "checks": {"database:responseTime": check}}),
            "/metrics": "trading_open_orders 1\nprocess_start_time_seconds NaN\n",
            "/v1/state": json.dumps({"role": "ACTIVE", "epoch": 1}),
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answers[self.path].encode())

    def log_message(self, *_) -> None:
        """Says nothing."""


@pytest.mark.django_db(transaction=True)
def test_an_instance_that_talks_nonsense_does_not_lose_the_samples_of_the_others(instances):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Nonsense)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    good, bad = instances[:2]
    found = {
        good.pk: Plan(ProbeSpec(good.pk, f"http://127.0.0.1:{free_ports(1)[0]}", "token", 0.5), 0.1),
        bad.pk: Plan(ProbeSpec(bad.pk, f"http://127.0.0.1:{server.server_port}", "token", 0.5), 0.1),
    }
    with Running(keep_rows, lambda: found):
        for one in (good, bad):
            until(lambda one=one: SampleRow.objects.filter(instance=one).exists(), f"{one} is kept", seconds=10)
    server.shutdown()
    kept = from_row(SampleRow.objects.filter(instance=bad).first().data)
    assert kept.components[0].status == "fail" and "disk" in kept.components[0].detail, kept.error


def test_an_instance_that_was_removed_meanwhile_is_left_out(instances):
    batch = [(one.pk, Sample(at=time.time(), ok=True)) for one in instances]
    gone = instances[0].pk
    instances[0].delete()
    keep_rows(batch)
    assert set(SampleRow.objects.values_list("instance", flat=True)) == {one.pk for one in instances[1:]} - {gone}


def test_plans_follow_the_policy_and_whether_something_is_going_on(instances, production):
    found = plans(lambda environment: environment == production)
    assert set(found) == {one.pk for one in instances}
    policy = production.policy
    for one in instances:
        busy = one.slot.environment_id == production.pk
        assert found[one.pk].interval == (policy.watch_probe_seconds if busy else policy.probe_seconds)
        assert found[one.pk].spec == ProbeSpec(one.pk, one.base_url, "test-token", policy.probe_timeout_seconds)
    Slot.objects.filter(pk=instances[0].slot_id).update(role="stopped")
    assert set(plans(lambda _: False)) == {one.pk for one in instances[1:]}


@pytest.mark.parametrize("reference", ["env:NOT_SET_ANYWHERE", "file:/nowhere", "file:/bin/sh", "what"])
def test_an_instance_without_token_does_not_keep_others_from_being_sampled(instances, reference):
    Instance.objects.filter(pk=instances[0].pk).update(token_ref=reference)
    assert set(plans(lambda _: False)) == {one.pk for one in instances[1:]}


def test_one_wrong_policy_does_not_keep_other_environments_from_being_sampled(instances, production):
    Environment.objects.filter(pk=production.pk).update(policy_data={"watch_seconds": "soon"})
    others = {one.pk for one in instances if one.slot.environment_id != production.pk}
    assert set(plans(lambda _: False)) == others


@pytest.fixture(autouse=True)
def _plans_are_read_often(monkeypatch):
    monkeypatch.setattr(sampling, "REFRESH_SECONDS", 0.1)


class Running:
    """A Sampler over an address where nobody listens."""

    def __init__(self, keep=None, make_plans=None) -> None:
        self.samples: list[Sample] = []
        spec = ProbeSpec(1, f"http://127.0.0.1:{free_ports(1)[0]}", "token", 0.5)
        self.sampler = Sampler(make_plans or (lambda: {1: Plan(spec, 30.0)}), keep or self.keep)
        self.thread = threading.Thread(target=self.sampler.run)

    def keep(self, batch) -> None:
        self.samples += [sample for _, sample in batch]

    def __enter__(self) -> Running:
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.sampler.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_who_does_not_answer_is_asked_again_at_once():
    with Running() as running:
        until(lambda: len(running.samples) >= 2, "two samples, although the interval is 30 s", seconds=10)
    first, second = running.samples
    assert (first.ok, first.error, second.ok) == (False, "refused", False) and second.at - first.at < 5


@pytest.mark.django_db(transaction=True)
def test_neither_a_failing_keeper_nor_failing_plans_end_the_sampling():
    batches, looks = [], []

    def keep(batch):
        batches.append(batch)
        raise ValueError("cannot be judged")

    spec = ProbeSpec(1, f"http://127.0.0.1:{free_ports(1)[0]}", "token", 0.5)

    def make_plans():
        looks.append(1)
        if len(looks) == 2:
            raise ValueError("the inventory makes no sense")
        return {1: Plan(spec, 0.2)}

    with Running(keep, make_plans) as running:
        until(lambda: len(looks) >= 3 and len(batches) >= 3, "it goes on", seconds=15)
        assert running.thread.is_alive()


def test_old_samples_are_pruned(instances):
    now = time.time()
    for age in (timedelta(minutes=1), timedelta(hours=3)):
        keep_rows([(instances[0].pk, Sample(at=now - age.total_seconds(), ok=True))])
    assert prune_samples() == 1 and SampleRow.objects.count() == 1


def test_every_field_of_a_sample_is_kept():
    sample = Sample(at=1.0, ok=True)
    assert to_row(1, sample).data.keys() == asdict(sample).keys()
