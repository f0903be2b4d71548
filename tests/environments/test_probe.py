"""The probe against real servers that answer, hang, refuse, break off, exaggerate or lie."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from environments.probe import Prober, ProbeSpec
from tests.environments.answers import (
    HEALTH,
    METRICS,
    STATE,
    answer,
    endless,
    free_port,
    half,
    hang,
    hang_up,
    serving,
)


async def probe(url, timeout=0.8):
    async with Prober() as prober:
        return await prober.sample(ProbeSpec("one", url, "secret", timeout))


async def test_a_healthy_instance():
    with serving() as server:
        before = time.time()
        sample = await probe(server.url)
    assert sample.ok, sample.error
    assert (sample.version, sample.role, sample.epoch) == ("v1.2.5", "ACTIVE", 12)
    assert (sample.requests_ok, sample.mismatches, sample.breaker_open) == (120, 0, False)
    assert sample.started_at == 1767225600
    assert [(part.name, part.status, part.detail) for part in sample.components] == [
        ("exchange:connection", "pass", "12 ms"),
        ("strategies:running", "pass", ""),
    ]
    assert before <= sample.at <= time.time()
    assert 0 < sample.extra["probe_seconds"] < 0.8
    assert {asked.path for asked in server.asked} == {"/healthz", "/metrics", "/v1/state"}
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer secret"}


async def test_connections_are_kept():
    with serving() as server:
        async with Prober() as prober:
            for _ in range(10):
                assert (await prober.sample(ProbeSpec("one", server.url, "t"))).ok
    assert server.connections == 3


async def test_a_failing_system_answers_503_and_is_read():
    failing = HEALTH | {"status": "fail", "checks": {"a": [{"status": "pass"}, {"status": "fail", "output": "lost"}]}}
    with serving(healthz=answer(failing, 503)) as server:
        sample = await probe(server.url)
    assert sample.ok
    assert [(part.name, part.status, part.detail) for part in sample.components] == [("a", "fail", "lost")]


async def test_a_failure_that_no_check_names_stays_visible():
    with serving(healthz=answer(HEALTH | {"status": "fail", "output": "disk"}, 503)) as server:
        sample = await probe(server.url)
    assert [(part.name, part.status, part.detail) for part in sample.components][-1] == ("health", "fail", "disk")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"healthz": hang}, "timeout"),
        ({"state": hang}, "timeout"),
        ({"metrics": hang_up}, "disconnected"),
        ({"metrics": half}, "disconnected"),
        ({"metrics": endless}, "/metrics answered more than 64 KB"),
        ({"metrics": answer("x" * 65537)}, "/metrics answered more than 64 KB"),
        (
            {"metrics": answer("", 302, headers="location: http://127.0.0.1:1/\r\n")},
            "/metrics answered 302, a redirect",
        ),
        ({"metrics": answer("gone", 404)}, "/metrics answered 404"),
        ({"metrics": answer("<html>hello</html>")}, "no metric of the ops contract"),
        ({"metrics": answer("trading_open_orders many")}, "metrics line 1"),
        ({"state": answer({"title": "No"}, 401)}, "/v1/state answered 401"),
        ({"state": answer(STATE | {"role": "BOSS"})}, "unknown role 'BOSS'"),
        ({"state": answer(STATE | {"epoch": "12"})}, "epoch must be a whole number"),
        ({"state": answer([1])}, "/v1/state must answer a JSON object"),
        ({"healthz": answer("ok")}, "/healthz did not answer JSON"),
        ({"healthz": answer("[" * 60000)}, "/healthz did not answer JSON"),
        ({"healthz": answer({"checks": {}})}, "status has the status None"),
        ({"healthz": answer(HEALTH | {"checks": {"a": []}})}, "check 'a' must hold"),
        ({"healthz": answer(HEALTH | {"checks": {"a": [{"status": "great"}]}})}, "a has the status 'great'"),
        ({"healthz": answer(HEALTH, 404)}, "/healthz answered 404"),
        ({"healthz": b"SSH-2.0-OpenSSH_9\r\n\r\n"}, "not HTTP as expected"),
    ],
)
async def test_what_is_no_answer(changed, words):
    with serving(**changed) as server:
        began = time.monotonic()
        sample = await probe(server.url, 0.4)
        assert time.monotonic() - began < 0.7
    assert not sample.ok
    assert words in sample.error
    assert (sample.requests_ok, sample.role, sample.mismatches, sample.components) == (0, "", None, ())


async def test_nobody_listens():
    sample = await probe(f"http://127.0.0.1:{free_port()}")
    assert (sample.ok, sample.error) == (False, "refused")


async def test_a_slow_answer_within_the_time_is_an_answer():
    def slow(connection):
        time.sleep(0.3)  # the delay itself is what is tested
        connection.sendall(answer(METRICS))

    with serving(metrics=slow) as server:
        assert (await probe(server.url, 0.8)).ok
        assert (await probe(server.url, 0.1)).error == "timeout"


async def test_a_server_that_closed_an_idle_connection_is_asked_again():
    def once(connection):
        connection.sendall(answer(METRICS))  # keep-alive by its headers, but then it closes

    with serving(metrics=once) as server:
        async with Prober() as prober:
            samples = [await prober.sample(ProbeSpec("one", server.url, "t")) for _ in range(20)]
    assert [sample.error for sample in samples] == [""] * 20


async def test_hanging_instances_delay_nobody():
    """A hundred hang, two hundred answer: those are all known long before the hanging ones time out."""
    with serving() as good, serving(healthz=hang) as bad:
        async with Prober() as prober:
            done: list[str] = []
            original = prober.sample

            async def noted(spec):
                sample = await original(spec)
                done.append(spec.key)
                return sample

            prober.sample = noted  # type: ignore[method-assign]
            hanging = {f"bad-{i}" for i in range(100)}
            specs = [ProbeSpec(name, bad.url, "t", 2.0) for name in sorted(hanging)]
            specs += [ProbeSpec(f"good-{i}", good.url, "t", 2.0) for i in range(200)]
            began = time.monotonic()
            samples = await prober.sample_all(specs)
            took = time.monotonic() - began
    assert {key: sample.error for key, sample in samples.items() if not sample.ok} == dict.fromkeys(hanging, "timeout")
    assert hanging.isdisjoint(done[:200])
    assert took < 100, "one after the other they would take two hundred seconds"


async def test_each_has_its_own_timeout():
    with serving(healthz=hang) as server:
        async with Prober() as prober:
            began = time.monotonic()
            quick = asyncio.create_task(prober.sample(ProbeSpec("quick", server.url, "t", 0.1)))
            slow = asyncio.create_task(prober.sample(ProbeSpec("slow", server.url, "t", 0.6)))
            assert (await quick).error == "timeout"
            assert time.monotonic() - began < 0.3
            assert (await slow).error == "timeout"
            assert 0.55 < time.monotonic() - began < 0.9


async def test_a_probe_that_failed_early_leaves_nothing_behind():
    with serving(healthz=hang, metrics=hang_up) as server:
        async with Prober() as prober:
            before = asyncio.all_tasks()
            assert (await prober.sample(ProbeSpec("one", server.url, "t", 5.0))).error == "disconnected"
            await asyncio.sleep(0)  # a cancelled task ends in the next turn of the loop
            await asyncio.sleep(0)
            left = asyncio.all_tasks() - before
    assert not left


async def test_a_shared_key_is_refused():
    async with Prober() as prober:
        with pytest.raises(ValueError, match="key of its own"):
            await prober.sample_all([ProbeSpec("a", "http://x", "t"), ProbeSpec("a", "http://y", "t")])


async def test_a_prober_that_is_not_open_says_so():
    with pytest.raises(RuntimeError, match="async with"):
        await Prober().sample(ProbeSpec("a", "http://127.0.0.1:1", "t"))


PAUSED = """
import asyncio, sys
from environments.probe import Prober, ProbeSpec
async def main():
    async with Prober() as prober:
        print("ready", flush=True)
        sample = await prober.sample(ProbeSpec("one", sys.argv[1], "t", 0.5))
        print(sample.ok, sample.error, flush=True)
asyncio.run(main())
"""


def test_a_pause_of_the_prober_is_not_blamed_on_the_instance():
    """The prober is stopped while it waits and goes on after its deadline: the answer lies ready and is taken."""

    def stops_the_prober(connection):
        os.kill(prober.pid, signal.SIGSTOP)
        connection.sendall(answer(METRICS))
        time.sleep(0.8)  # longer than the prober's time, which runs on
        os.kill(prober.pid, signal.SIGCONT)

    with serving(metrics=stops_the_prober) as server:
        prober = subprocess.Popen([sys.executable, "-c", PAUSED, server.url], stdout=subprocess.PIPE, text=True)
        try:
            out, _ = prober.communicate(timeout=20)
        finally:
            prober.kill()
    assert out.split("\n")[1].split() == ["True"]
