"""Alerts of this system, and people in browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.receiver import Receiver, start
from tests.pages.conftest import browser  # noqa: F401  signed in, without a script

KEY = "signing-key-of-the-tests"


@pytest.fixture
def trouble(production: Any) -> Callable[..., Any]:
    """Raise an alert: ``trouble("BTC differs", severity="critical")``."""
    from alerts.actions import raise_alert

    def make(title: str = "BTC differs from the exchange", **given: Any) -> Any:
        environment = given.pop("environment", production)
        key = given.pop("key", f"{environment.name}:{title}" if environment else title)
        fields = {"severity": "warning", "title": title, "environment": environment, "link": "/positions/", **given}
        return raise_alert(fields.pop("kind", "mismatch"), key, **fields)

    return make


@pytest.fixture(scope="module")
def listening() -> Iterator[Receiver]:
    """A receiver for the tests of a file."""
    receiver, server = start()
    yield receiver
    receiver.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def receiver(listening: Receiver) -> Receiver:
    """The receiver, which has got nothing yet."""
    listening.clear()
    return listening


@pytest.fixture
def channels(receiver: Receiver, settings: Any, tmp_path: Path, monkeypatch: Any) -> Callable[..., None]:
    """Write the file of channels: ``channels({"name": "on-call"})``; what is left out is a webhook to the receiver."""
    monkeypatch.setenv("A_URL", f"{receiver.url}/hook-Zk3PqvT9")
    monkeypatch.setenv("A_KEY", KEY)
    monkeypatch.setattr("alerts.events.ring_sender", lambda *given, **more: None)
    settings.ALERT_CHANNELS = tmp_path / "channels.yaml"

    def write(*listed: dict[str, Any]) -> None:
        usual = {"name": "on-call", "kind": "webhook", "url": "env:A_URL", "secret": "env:A_KEY"}
        whole = [{**usual, **one} for one in listed or ({},)]
        for one in whole:
            if one["kind"] == "apprise":
                one.pop("secret")
        settings.ALERT_CHANNELS.write_text(yaml.safe_dump({"channels": whole}))

    write()
    return write
