"""On a real terminal: what is asked, and what is drawn."""

from __future__ import annotations

import pytest
from django.utils import timezone

from deployments.models import Deployment
from tests.opsctl.terminal import Terminal

pytestmark = pytest.mark.django_db(transaction=True)


def test_promote_asks_and_takes_a_typed_y(shell_of, admin, deployment):
    made = deployment("running")
    terminal = Terminal(shell_of(admin), "promote")
    terminal.read_until("Recommendation: ")
    terminal.read_until("Reason: ")
    terminal.type("Looks good\n")
    terminal.read_until("Promote v1.2.5 in production? [y/N]")
    terminal.type("y\n")
    terminal.read_until("is asked for")
    assert terminal.end() == 0
    made.refresh_from_db()
    assert made.promote_requested_at is not None


def test_anything_but_y_does_nothing(shell_of, admin, deployment):
    made = deployment("running")
    terminal = Terminal(shell_of(admin), "promote", "--reason", "Because")
    terminal.read_until("[y/N]")
    terminal.type("\n")
    terminal.read_until("Nothing was done")
    assert terminal.end() == 1
    made.refresh_from_db()
    assert made.promote_requested_at is None


def test_watch_draws_and_ends(shell_of, operator, deployment):
    made = deployment("running")
    terminal = Terminal(shell_of(operator), "watch")
    terminal.read_until("Ctrl-C stops the watching only")
    assert "○ Waiting" in terminal.text and f"Deploy {made.pk}: v1.2.4 to v1.2.5, production" in terminal.text
    Deployment.objects.filter(pk=made.pk).update(status="held")
    terminal.read_until(f"opsctl resume {made.pk}")
    now = timezone.now()
    Deployment.objects.filter(pk=made.pk).update(status="failed", finished_at=now, failure_reason="No answer")
    terminal.read_until("failed. Reason: No answer")
    assert terminal.end() == 1


def test_no_color_is_honoured(shell_of, operator, deployment):
    deployment("held")
    coloured, plain = (Terminal(shell_of(operator, **more), "status") for more in ({}, {"NO_COLOR": "1"}))
    assert coloured.end() == plain.end() == 0
    assert "\x1b[" in coloured.raw and "\x1b[" not in plain.raw
    assert coloured.text.split() == plain.text.split()


def test_ctrl_c_ends_the_watching(shell_of, operator, deployment):
    made = deployment("running")
    terminal = Terminal(shell_of(operator), "watch")
    terminal.read_until("Ctrl-C stops the watching only")
    terminal.type("\x03")
    terminal.read_until(f"Deployment {made.pk} goes on")
    assert terminal.end() == 130
