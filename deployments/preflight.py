"""What can block a deployment before it starts. Each check says what it looked at; a block says why and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from deployments import gate, safety
from deployments.checks import NOTHING, CheckResult, Exceptions
from deployments.models import Release
from environments import adapters
from environments.drivers.artifacts import verify_artifact
from environments.drivers.base import ArtifactSpec, DriverError
from environments.models import Environment
from environments.traffic.base import RouterError
from trading import queries


def artifact_spec(release: Release) -> ArtifactSpec:
    """What a driver needs to know of a release."""
    return ArtifactSpec(
        version=release.version, digest=release.digest, path=Path(release.artifact), service=release.service.name
    )


def live_release(environment: Environment) -> Release | None:
    """The release of the live slot; None before the first deployment."""
    slot = environment.live_slot
    return None if slot is None else Release.objects.filter(service=environment.service, version=slot.version).first()


def _kill_switch(environment: Environment, release: Release, strategy: str) -> CheckResult:
    engaged = safety.kill_switch(environment)
    return CheckResult(
        "kill_switch",
        "Kill switch not engaged",
        not engaged,
        engaged or "It is not engaged.",
        safety.RELEASE if engaged else "",
    )


def _trading(environment: Environment, release: Release, strategy: str) -> CheckResult:
    halted = safety.halt(environment)
    detail = halted or "No instance that is to trade says that it is halted."
    return CheckResult("trading", "Trading not halted", not halted, detail, safety.RESUME if halted else "")


def _positions(environment: Environment, release: Release, strategy: str) -> CheckResult:
    differs = queries.promotion_block(environment)
    detail = differs or "No comparison of the last five minutes found a difference."
    todo = "Take over the exchange's positions or close them: /positions/." if differs else ""
    return CheckResult("positions", "Positions reconciled", differs is None, detail, todo)


def _same_service(environment: Environment, release: Release, strategy: str) -> CheckResult:
    ok = release.service_id == environment.service_id
    detail = f"{release} is a release of {release.service}; {environment} runs {environment.service}."
    return CheckResult(
        "service", "Same service", ok, detail, "" if ok else f"Choose a release of {environment.service}."
    )


def _not_live(environment: Environment, release: Release, strategy: str) -> CheckResult:
    slot = environment.live_slot
    ok = slot is None or (slot.version, slot.digest) != (release.version, release.digest)
    live = f"{slot.version} is live on {slot.name}." if slot else "Nothing is live yet."
    return CheckResult(
        "not_live", "Not live already", ok, live, "" if ok else "Choose another release; this one serves already."
    )


def _artifact(environment: Environment, release: Release, strategy: str) -> CheckResult:
    return _verified(
        "artifact", "Artifact verified", release, "Build the release again and register it under a new version."
    )


def _rollback_ready(environment: Environment, release: Release, strategy: str) -> CheckResult:
    previous = live_release(environment)
    if previous is None:
        return CheckResult("rollback", "Rollback ready", True, "First deployment: there is nothing to go back to.")
    return _verified("rollback", "Rollback ready", previous, "Put the artifact of the live release back where it was.")


def _verified(name: str, title: str, release: Release, todo: str) -> CheckResult:
    try:
        verify_artifact(artifact_spec(release))
    except DriverError as error:
        return CheckResult(name, title, False, str(error), todo)
    return CheckResult(name, title, True, f"{release}: the archive matches {release.digest[:19]}…")


def _router(environment: Environment, release: Release, strategy: str) -> CheckResult:
    title = "Load balancer as expected"
    try:
        state = adapters.router(environment).read()
    except RouterError as error:
        return CheckResult(
            "router", title, False, str(error), "Start the load balancer; the supervisor should do so by itself."
        )
    wanted = adapters.server_weights(environment, environment.desired_weights)
    if environment.live_slot is not None and state.weights != wanted:
        return CheckResult(
            "router",
            title,
            False,
            f"It serves {_words(state.weights)}, but {_words(wanted)} is wanted.",
            "Wait for the repair, which takes two seconds.",
        )
    return CheckResult("router", title, True, f"Epoch {state.epoch}, weights {_words(state.weights)}.")


def _words(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{server} {weight}" for server, weight in weights.items())


def _driver(environment: Environment, release: Release, strategy: str) -> CheckResult:
    title = "Process supervisor answers"
    slot = environment.slots.first()
    instance = slot.instances.first() if slot else None
    if instance is None:
        return CheckResult(
            "driver", title, False, f"{environment} has no instance.", "Add one to the system definition."
        )
    try:
        status = adapters.driver(environment).status(adapters.instance_spec(instance))
    except DriverError as error:
        return CheckResult("driver", title, False, str(error), "Start the supervisor of the trading hosts.")
    return CheckResult("driver", title, True, f"{instance.name}: {status.state}.")


Check = Callable[[Environment, Release, str], CheckResult]
CHECKS: tuple[Check, ...] = (
    _kill_switch,
    _trading,
    _positions,
    _same_service,
    _not_live,
    _artifact,
    _rollback_ready,
    _router,
    _driver,
)


def check(
    environment: Environment, release: Release, strategy: str, exceptions: Exceptions = NOTHING
) -> list[CheckResult]:
    """Every check, in order, the gate's last; reads the archive, the load balancer and the supervisor (each ≤ 2 s)."""
    return [*own(environment, release, strategy), *gate.asked(environment, release, exceptions)]


def own(environment: Environment, release: Release, strategy: str) -> list[CheckResult]:
    """The checks that no policy switches off, and nobody overrides."""
    return [one(environment, release, strategy) for one in CHECKS]
