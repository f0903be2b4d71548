"""At least 100 faults on a live stack: every deployment ends, nothing stale is accepted, never two slots trade."""

from __future__ import annotations

import json
import os
import secrets
import time
import uuid
from collections import Counter
from functools import partial
from pathlib import Path

import httpx
import pytest

from demo.exchange.journal import read_log
from demo.exchange.writers import find_writers
from environments.traffic.haproxy import HAProxyRouter
from opsconsole.local.client import TERMINAL, Console, ConsoleError
from opsconsole.local.stack import Stack
from tests.chaos.faults import Faults
from tests.stacks import rows

WANTED = int(os.environ.get("OPSC_CHAOS_FAULTS", "100"))
SEED = int(os.environ.get("OPSC_CHAOS_SEED", str(secrets.randbelow(10**6))))
PER_ROUND = 25
STUCK_SECONDS = 120
ENVIRONMENTS = ("production", "staging")


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_every_deployment_survives_faults(stack: Stack, failpoints: Path) -> None:
    print(f"\nchaos: seed {SEED} (repeat with OPSC_CHAOS_SEED={SEED})")
    faults = Faults(stack, failpoints, SEED)
    console = Console.as_role(stack.url, stack.keys)
    ends, slowest, rounds = [], 0.0, 0
    while sum(faults.counts.values()) < WANTED:
        rounds += 1
        began = time.monotonic()
        deployments = [_start(console, environment, f"chaos round {rounds}") for environment in ENVIRONMENTS]
        for _ in range(PER_ROUND):
            faults.pause()
            faults.inject()
        if rounds % 2 == 0:
            _act(console, deployments[rounds // 2 % 2], faults.random.choice(["abort", "rollback", "hold"]))
        ends += [_end(console, faults, deployment) for deployment in deployments]
        faults.end_round()
        slowest = max(slowest, time.monotonic() - began)
        _check_router_and_database(stack)
    faults.end()
    print(f"chaos: {sum(faults.counts.values())} faults in {rounds} rounds: {dict(faults.counts)}")
    print(f"chaos: {len(ends)} deployments, slowest round {slowest:.1f} s, ends: {dict(Counter(ends))}")
    _check_nothing_stale_was_accepted(stack)
    _check_one_writer(stack)


def _retry(what, seconds: float = 40):
    """Ask again while the console or its database is down, as a person would."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return what()
        except (httpx.HTTPError, ConsoleError) as error:
            refused = isinstance(error, ConsoleError) and not any(
                code in str(error) for code in (" 500 ", " 502 ", " 503 ")
            )
            if refused or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _start(console: Console, environment: str, reason: str) -> int:
    _retry(lambda: console.write_reports(environment))
    live = _retry(lambda: console.get(f"environments/{environment}/"))
    version = next(slot["version"] for slot in live["slots"] if slot["name"] == live["live_slot"])
    release = "v1.2.4" if version == "v1.2.5" else "v1.2.5"
    body = {"environment": environment, "release": release, "strategy": "blue_green", "reason": reason}
    body["override_reason"] = "A rollback that a fault made slow shuts the gate, and this goes on."
    key = str(uuid.uuid4())  # the same for every try: a lost answer must not start a second one
    deadline = time.monotonic() + 40
    while True:
        try:
            return int(_retry(partial(console.post, "deployments/", body, key=key))["id"])
        except ConsoleError as error:
            # The load balancer may be down at this very moment: preflight says so, and we try again.
            if " 422 " not in str(error) or time.monotonic() > deadline:
                raise
            key = str(uuid.uuid4())
            time.sleep(0.2)


def _act(console: Console, deployment: int, act: str) -> None:
    """A person interferes; a refusal because it is too late is fine."""
    try:
        _retry(lambda: console.post(f"deployments/{deployment}/{act}/", {"reason": "chaos"}))
    except ConsoleError as error:
        assert " 409 " in str(error), error


def _end(console: Console, faults: Faults, deployment: int) -> str:
    deadline = time.monotonic() + STUCK_SECONDS
    while True:
        found = _retry(lambda: console.deployment(deployment))
        if found["status"] in TERMINAL:
            return found["status"]
        if found["status"] == "held":
            _act(console, deployment, "resume")
        if any(step["status"] == "running" and "Waiting for a decision" in step["detail"] for step in found["steps"]):
            _act(console, deployment, "promote")  # the monitor was dead when the baseline was taken: a person decides
        assert time.monotonic() < deadline, f"deployment {deployment} is stuck: {json.dumps(found, indent=1)}"
        time.sleep(0.2)


def _check_router_and_database(stack: Stack) -> None:
    """When nothing runs, the load balancer has exactly what the database wants, under the same epoch."""
    deadline = time.monotonic() + 15
    while True:
        wanted = rows(stack, "SELECT name, desired_weights, traffic_epoch FROM environments_environment")
        found = {name: HAProxyRouter(f"unix:{stack.haproxy_socket}", name) for name, _, _ in wanted}
        try:
            states = {name: router.read() for name, router in found.items()}
            different = [
                (name, weights, epoch, states[name])
                for name, weights, epoch in wanted
                if states[name].epoch != epoch
                or states[name].weights != {f"{name}-{slot}-1": weight for slot, weight in weights.items()}
            ]
        except Exception as error:  # the load balancer is just coming back
            different = [error]
        if not different:
            return
        assert time.monotonic() < deadline, different
        time.sleep(0.1)


def _check_nothing_stale_was_accepted(stack: Stack) -> None:
    """The load balancer's own journal: epochs never fall, and each accepted shift has its intent in the audit trail."""
    journal = [line.split() for line in (stack.run / "haproxy" / "fence.journal").read_text().splitlines()]
    audited = {
        (after["epoch"], tuple(sorted(weight for weight in after["weights"].values())), environment)
        for environment, after in rows(
            stack,
            "SELECT environment, after FROM audit_record"
            " WHERE action IN ('traffic.shift', 'traffic.drift_repaired') AND outcome = 'intent'",
        )
    }
    highest: dict[str, int] = {}
    accepted = 0
    for _, verb, backend, epoch, *weights in journal:
        if verb != "shift":
            continue
        accepted += 1
        assert int(epoch) >= highest.get(backend, 0), (
            f"stale shift accepted: {backend} {epoch} after {highest[backend]}"
        )
        highest[backend] = int(epoch)
        numbers = tuple(sorted(int(weight.partition("=")[2]) for weight in weights))
        assert (int(epoch), numbers, backend) in audited, f"no audit record for the shift {backend} {epoch} {weights}"
    print(f"chaos: {accepted} shifts accepted, all audited, none stale")
    assert accepted >= 10


def _check_one_writer(stack: Stack) -> None:
    entries = read_log(stack.exchange_log)
    for environment in ENVIRONMENTS:
        writers = find_writers(entries, environment)
        seen = f"{writers.orders} orders, {len(writers.changes)} hand-overs, {writers.overlaps} overlaps"
        print(f"chaos: {environment}: {seen}")
        assert writers.overlaps == 0, writers.violations
