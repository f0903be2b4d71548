"""Both slots of production as real processes under a real supervisor, ACTIVE without sending an order by themselves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audit.actors import system as system_actor
from demo.releases import PLANS, BuiltRelease, build_release
from environments.drivers.base import ArtifactSpec
from environments.drivers.program import Program
from opsconsole.local.paths import write_private
from opsconsole.local.trading_database import book_name, ensure_book
from tests.deployments.world import ROOT, World, until
from tests.services import services

BLUE, GREEN = "production-blue-1", "production-green-1"


class BreakerWorld(World):
    """Instances that hold still, each with its book."""

    def _instance(self, name: str) -> Program:
        program, environment = super()._instance(name), name.split("-")[0]
        url, quiet = self.directory / f"{environment}.url", self.directory / "quiet.yaml"
        if not url.exists():
            write_private(url, ensure_book(services.postgres, book_name(environment), scratch=False))
        quiet.write_text("trading: {enabled: false}\n")
        more = {"OPSC_DATABASE_URL_FILE": str(url), "OPSC_CONFIG": str(quiet)}
        return replace(program, env={**program.env, **more})

    def prepare(self) -> BuiltRelease:
        """The exchange answers, and the release is there; its processes start when a test wants them."""
        self.trade()
        return build_release(PLANS[0], self.directory)


@pytest.fixture(scope="module")
def outside() -> Iterator[tuple[BreakerWorld, BuiltRelease]]:
    """The processes, once for a module."""
    with tempfile.TemporaryDirectory(prefix="opsc-") as folder:
        world = BreakerWorld(Path(os.path.realpath(folder)))
        try:
            world.start()
            yield world, world.prepare()
        finally:
            world.supervisor.shutdown()


def apply(world: BreakerWorld) -> Any:
    """The inventory of demo/system.yaml, led to the processes."""
    from environments.actions import apply_definition
    from environments.definition import load

    return apply_definition(system_actor("tests"), load(ROOT / "demo/system.yaml", {"127.0.0.1"}, world.variables))


class Scene:
    """Production with blue live and trading; green in STANDBY when a test starts it."""

    def __init__(self, environment: Any, built: BuiltRelease) -> None:
        self.environment, self.built = environment, built

    def instance(self, name: str = BLUE) -> Any:
        """The row of an instance."""
        from environments.models import Instance

        return Instance.objects.select_related("slot__environment").get(name=name)

    def client(self, name: str = BLUE) -> Any:
        """Its ops contract."""
        from environments import adapters

        return adapters.client(self.instance(name))

    def role(self, name: str = BLUE) -> str:
        """Its role; ``gone`` when it does not answer."""
        from environments.target import TargetError

        try:
            return str(self.client(name).state().role)
        except TargetError:
            return "gone"

    def start(self, name: str = BLUE) -> None:
        """Start a process, or leave the one that runs."""
        from environments import adapters

        driver, spec = adapters.driver(self.environment), adapters.instance_spec(self.instance(name))
        built = self.built
        driver.install(spec, ArtifactSpec(built.version, built.digest, built.path, built.service))
        driver.start(spec)
        until(lambda: self.role(name) != "gone", f"{name} answers", 20)

    def stop(self, name: str = BLUE) -> None:
        """End a process."""
        from environments import adapters

        adapters.driver(self.environment).stop(adapters.instance_spec(self.instance(name)), force=True)

    def pid(self, name: str = BLUE) -> int | None:
        """Of the process that runs."""
        from environments import adapters

        return adapters.driver(self.environment).status(adapters.instance_spec(self.instance(name))).pid

    def trade(self) -> None:
        """Blue is live and trades under a new epoch, whatever a test before has left."""
        from deployments.actions import next_epoch
        from environments.models import Slot

        self.start()
        blue, epoch = self.environment.slots.get(name="blue"), next_epoch()
        Slot.objects.filter(pk=blue.pk).update(role="live", version=self.built.version, digest=self.built.digest)
        self.environment.live_slot = self.environment.writer_slot = self.environment.slots.get(pk=blue.pk)
        self.environment.desired_weights, self.environment.writer_epoch = {"blue": 100, "green": 0}, epoch
        self.environment.save()
        self.free()
        until(lambda: self._is_healthy(), "blue is ready", 20)
        self.client().set_role("ACTIVE", epoch, actor="tests", reason="Begins", timeout=5)
        assert self.role() == "ACTIVE"

    def free(self, name: str = BLUE) -> None:
        """Out of whatever halt a test before has left."""
        client = self.client(name)
        if client.state().latched:
            client.release_stop(actor="tests", reason="Begins")
        if client.state().restart_required:
            self.stop(name)
            self.start(name)
        if client.circuit_breaker().is_open:
            client.reset_breaker(actor="tests", reason="Begins")
        if client.state().role == "HALTED":
            client.resume(actor="tests", reason="Begins")

    def _is_healthy(self) -> bool:
        found = self.client().health().components
        return not [one for one in found if one.status == "fail"]

    def press(self, name: str = BLUE) -> None:
        """What channel A of an emergency stop does to one instance."""
        document = self.client(name)._json("POST", "/v1/emergency-stop", 3.0, {"actor": "ada", "reason": "Drill"})
        until(lambda: self._operation(name, document["id"]) != "running", "the stop ends", 20)

    def _operation(self, name: str, operation: str) -> str:
        return str(self.client(name)._json("GET", f"/v1/operations/{operation}", 2.0)["status"])

    def sample(self, *, breaker_open: bool | None = False, mismatches: int | None = 0, name: str = BLUE) -> None:
        """What the monitor's sampler would have kept just now."""
        from django.utils import timezone

        from environments.models import SampleRow

        data = {"breaker_open": breaker_open, "mismatches": mismatches, "role": self.role(name), "components": []}
        SampleRow.objects.create(instance=self.instance(name), at=timezone.now(), ok=True, data=data)


@pytest.fixture
def stops(tmp_path: Path, settings: Any) -> Path:
    """An empty folder of stops."""
    settings.OPSC_STOPS = tmp_path / "stops"
    return tmp_path / "stops"


@pytest.fixture
def scene(db: Any, outside: Any, stops: Path) -> Scene:
    """Production trades on blue, and was sampled just now."""
    world, built = outside
    scene = Scene(apply(world).environments.get(name="production"), built)
    scene.trade()
    scene.sample()
    return scene


@pytest.fixture
def system(scene: Scene) -> Any:
    """The service of the scene, for the cast of every test."""
    return scene.environment.service
