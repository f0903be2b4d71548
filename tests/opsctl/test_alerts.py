"""``opsctl alerts``: look, and say that you know."""

from __future__ import annotations

import pytest

from alerts.actions import raise_alert
from alerts.models import Alert

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trouble(production, staging):
    """One of production, critical; one of staging, a warning."""
    made = [
        raise_alert("stop", "production", severity="critical", title="Stop is not confirmed", environment=production,
                    link="/kill-switch/"),
        raise_alert("mismatch", "staging:BTC", severity="warning", title="BTC\x1b[31m differs", environment=staging),
    ]  # fmt: skip
    return [alert.pk for alert in made]


def test_look_and_acknowledge(shell_of, operator, trouble):
    shell = shell_of(operator)
    listed = shell.run("alerts")
    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.splitlines()
    assert lines[1].split()[:4] == [str(trouble[0]), "✗", "Critical", "…"] and "Stop is not confirmed" in lines[1]
    assert "! Warning" in lines[2] and "\x1b" not in lines[2] and "opsctl alerts ack ID" in listed.stdout
    assert [one["id"] for one in shell.json("alerts", "--env", "staging")["alerts"]] == [trouble[1]]
    done = shell.run("alerts", "ack", str(trouble[0]), "--note", "I look at the exchange")
    assert done.returncode == 0, done.stderr
    assert "Acknowledged by Otto Operator: Stop is not confirmed" in done.stdout
    assert "What to do: " in done.stderr and "/kill-switch/" in done.stderr
    alert = Alert.objects.get(pk=trouble[0])
    assert (alert.acknowledged_by, alert.note) == (operator, "I look at the exchange")
    assert shell.json("alerts", "--open", "--limit", "1")["alerts"][0]["state"] == "acknowledged"
    Alert.objects.all().delete()
    assert "No alert is open." in shell.run("alerts", "--open").stdout


def test_what_is_refused(shell_of, developer, trouble):
    shell = shell_of(developer)
    refused = shell.run("alerts", "ack", str(trouble[0]))
    assert refused.returncode == 4 and "It takes: Admin or Operator" in refused.stderr
    assert shell.run("alerts", "ack", "999999").returncode == 2
    assert shell.run("alerts", "ack").returncode == 2
    assert shell.json("alerts", "ack", str(trouble[1]))["state"] == "acknowledged"
