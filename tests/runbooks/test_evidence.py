"""The registries of evidence and remedies: complete, honest when nothing answers, bounded when something hangs."""

from __future__ import annotations

import socket
import time

import pytest
from django.urls import Resolver404, resolve

from environments import evidence, remedies
from environments.evidence import Reading, Subject, Verdict, provider
from environments.models import Slot
from environments.remedies import Remedy, register

OF_ENVIRONMENTS = ("health", "components", "error_rate", "latency", "resources", "log", "versions")
OF_TRADING = (
    *("reconciliation", "positions", "orders", "trades_yesterday", "win_rate", "capital", "breakers", "kill_switch"),
    *("halted", "exchange", "backup"),
)
OF_DEPLOYMENTS = (
    *("recent", "running", "start_failure", "rollback_ready", "baseline", "tests", "review", "staging", "benchmarks"),
    *("rollback_plan", "reports_owed"),
)
NAMES = [
    *(f"environments.{name}" for name in OF_ENVIRONMENTS),
    *(f"trading.{name}" for name in OF_TRADING),
    *(f"deployments.{name}" for name in OF_DEPLOYMENTS),
    *("alerts.open", "alerts.critical", "audit.chain", "accounts.keys_due", "accounts.second_factors"),
]
RUN = {"deployments.roll_back", "deployments.abort", "trading.reconcile", "trading.backup"}
LEAD = {
    *("trading.close_position", "trading.reset_breaker", "trading.resume", "trading.release"),
    *("trading.emergency_stop", "trading.restore"),
}


@pytest.fixture
def named():
    """Register providers for one test only."""
    before = dict(evidence._providers)
    yield provider
    evidence._providers.clear()
    evidence._providers.update(before)


@pytest.fixture
def hanging(production, tmp_path):
    """Production is live on blue, whose port and whose exchange take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        blue = production.slots.get(name="blue")
        Slot.objects.filter(pk=blue.pk).update(role="live", version="v1.2.4")
        blue.instances.update(base_url=url)
        production.live_slot = production.writer_slot = blue
        secret = tmp_path / "exchange-key"
        secret.write_text("0x" + "1" * 64)
        production.exchange = {"kind": "hyperliquid", "url": url, "account": "0x" + "2" * 40, "key": f"file:{secret}"}
        production.save()
        yield production


def test_every_name_is_there_and_no_other():
    assert sorted(evidence.providers()) == sorted(NAMES)
    assert all(found.title and not found.title.endswith(".") for found in evidence.providers().values())
    found = remedies.remedies()
    assert {name for name, one in found.items() if one.run} == RUN and {n for n, o in found.items() if o.page} == LEAD


def test_a_name_is_given_once(named):
    with pytest.raises(ValueError, match="registered twice"):
        named("alerts.open", "Again")(lambda subject: Reading("", Verdict.PASS))
    with pytest.raises(ValueError, match="either run or page"):
        register(Remedy("tests.neither", "Neither", "view_environment", lambda subject: ""))
    with pytest.raises(ValueError, match="registered twice"):
        register(remedies.remedy("trading.backup"))


def test_what_cannot_be_read_is_no_data_with_the_reason(named, production):
    @named("tests.broken", "Broken")
    def broken(subject):
        raise RuntimeError("the disk is gone")

    found = evidence.read("tests.broken", Subject(production))
    assert found.reading == Reading("Could not be read: the disk is gone", Verdict.NO_DATA)
    kept = found.as_json()
    assert (kept["name"], kept["verdict"], kept["at"]) == ("tests.broken", "no_data", found.at.isoformat())
    with pytest.raises(KeyError):
        evidence.read("tests.unknown", Subject(production))


def test_before_the_first_deployment_nothing_is_called_good(production, admin):
    """Nothing runs and nothing was deployed: no reading breaks, what could not be read says so, and each link leads."""
    for name in NAMES:
        reading = evidence.read(name, Subject(production)).reading
        assert not reading.value.startswith("Could not be read"), name
        if name.startswith(("environments.", "trading.")) and name != "trading.kill_switch":
            assert reading.verdict in (Verdict.NO_DATA, Verdict.FAIL), f"{name}: {reading}"
        _leads(reading.link)
    subject = Subject(production)
    for name, one in remedies.remedies().items():
        assert one.effect(subject), name
        if one.page:
            _leads(one.page(subject))


def _leads(link: str) -> None:
    try:
        assert not link or resolve(link.partition("?")[0])
    except Resolver404:
        pytest.fail(f"{link} leads nowhere")


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("environments.health", Verdict.FAIL),
        ("trading.reconciliation", Verdict.NO_DATA),
        ("trading.trades_yesterday", Verdict.NO_DATA),
        ("trading.exchange", Verdict.FAIL),
    ],
)
def test_each_reading_ends_in_time_when_everything_hangs(hanging, name, verdict):
    began = time.monotonic()
    reading = evidence.read(name, Subject(hanging)).reading
    assert time.monotonic() - began < 4.0  # three seconds, and one for a busy machine
    assert reading.verdict == verdict and "answer" in reading.value and "Could not be read" not in reading.value


def test_a_reading_over_the_api(client_of, operator, developer, person, production):
    api = client_of(operator)
    names = {one["name"]: one["title"] for one in api.get("/api/v1/evidence/").json()}
    assert sorted(names) == sorted(NAMES) and names["alerts.open"] == "Open alerts"
    url = "/api/v1/evidence/alerts.open/"
    found = api.get(url, {"environment": "production"}).json()
    assert (found["value"], found["verdict"], found["environment"]) == ("None is open", "pass", "production")
    assert api.get(url).status_code == 400 and "environment" in api.get(url).json()["errors"]
    assert api.get(url, {"environment": "pro\x00duction"}).status_code == 400
    assert api.get(url, {"environment": "moon"}).status_code == 404
    assert api.get("/api/v1/evidence/tests.none/", {"environment": "production"}).status_code == 404
    release = api.get("/api/v1/evidence/deployments.tests/", {"environment": "production", "release": "v9.9.9"}).json()
    assert release["verdict"] == "no_data" and "v9.9.9" in release["value"]
    assert client_of(person("nemo", None)).get(url, {"environment": "production"}).status_code == 404


@pytest.fixture
def client_of(db):
    """A client with the key of a person."""
    from django.test import Client

    from tests.accounts.factors import make_key

    return lambda user: Client(headers={"Authorization": f"Bearer {make_key(user)}"})
