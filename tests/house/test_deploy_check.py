"""Django's own check of a production installation finds nothing."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

from opsconsole.config import ROOT


def check(**changed: str) -> subprocess.CompletedProcess[str]:
    variables = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "opsconsole.settings",
        "OPSC_SECRET_KEY": secrets.token_urlsafe(50),
        "OPSC_HTTPS": "true",
        "OPSC_HOST": "0.0.0.0",
        "OPSC_ALLOWED_HOSTS": "ops.example.com",
        **changed,
    }
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)


def test_a_production_installation_passes_the_deployment_check():
    done = check()
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_an_unsafe_setting_is_found():
    done = check(OPSC_DEBUG="true", OPSC_HTTPS="false")
    assert done.returncode == 1
    assert "security.W018" in done.stderr and "security.W004" in done.stderr
