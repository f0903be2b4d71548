"""What the tests of signing in share."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from accounts import totp

MIDDLE = int(time.time()) // 30 * 30 + 15


@pytest.fixture
def still_clock(monkeypatch):
    """Codes of authenticator apps are all of one moment, so that none turns old between its making and its use."""
    monkeypatch.setattr(totp, "time", SimpleNamespace(time=lambda: float(MIDDLE)))
