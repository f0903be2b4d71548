"""One-click entry exists in the demo only, from this machine only."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import APIKey, User
from audit.models import Record


@pytest.fixture
def demo(settings, db, tmp_path):
    """The demo's settings with its people; the path of the keys."""
    settings.DEMO, settings.ROOT_URLCONF, settings.LOGIN_URL = True, "opsconsole.demo_urls", "/demo/"
    keys = tmp_path / "demo" / "keys.json"
    call_command("demo_people", keys=keys)
    return keys


def test_one_click_enters(demo):
    for role, username in (("Admin", "ada"), ("Operator", "otto"), ("Developer", "dora")):
        client = Client()
        assert client.get("/deployments/")["Location"] == "/demo/?next=/deployments/"
        page = client.get("/demo/?next=/deployments/").content.decode()
        assert f"Enter as {role}" in page and 'value="/deployments/"' in page
        answer = client.post("/demo/", {"role": role, "next": "/deployments/"})
        assert answer["Location"] == "/deployments/"
        user = User.objects.get(pk=client.session["_auth_user_id"])
        assert (user.username, user.role) == (username, role)
    assert Record.objects.filter(action="account.signed_in", after={"how": "demo"}).count() == 3


def test_the_second_admin_enters_too(demo):
    client = Client()
    assert "Enter as second Admin" in client.get("/demo/").content.decode()
    client.post("/demo/", {"username": "alan"})
    user = User.objects.get(pk=client.session["_auth_user_id"])
    assert (user.username, user.role) == ("alan", "Admin")


def test_entering_as_somebody_else_is_a_new_session(demo):
    client = Client()
    client.post("/demo/", {"role": "Admin"})
    first = client.session.session_key
    client.post("/demo/", {"role": "Operator"})
    assert client.session.session_key != first


@pytest.mark.parametrize(
    "elsewhere", [{"REMOTE_ADDR": "10.0.0.9"}, {"HTTP_X_FORWARDED_FOR": "1.2.3.4"}, {"REMOTE_ADDR": ""}]
)
def test_only_from_this_machine(demo, elsewhere):
    client = Client()
    assert client.get("/demo/", **elsewhere).status_code == 403
    assert client.post("/demo/", {"role": "Admin"}, **elsewhere).status_code == 403
    assert "_auth_user_id" not in client.session


def test_needs_its_csrf_token_and_a_known_role(demo):
    assert Client(enforce_csrf_checks=True).post("/demo/", {"role": "Admin"}).status_code == 403
    for role in ("", "System"):
        assert Client().post("/demo/", {"role": role}).status_code == 400


def test_there_is_no_such_page_outside_the_demo(demo, settings):
    settings.DEMO = False
    assert Client().post("/demo/", {"role": "Admin"}).status_code == 404
    settings.ROOT_URLCONF = "opsconsole.urls"
    assert Client().post("/demo/", {"role": "Admin"}).status_code == 404
    with pytest.raises(CommandError, match="demo settings only"):
        call_command("demo_people", keys=demo)


@pytest.mark.parametrize("change", [{"OPSC_HOST": "0.0.0.0"}, {"OPSC_ALLOWED_HOSTS": "127.0.0.1,ops.example.com"}])
def test_the_demo_settings_refuse_a_reachable_address(change):
    given = {"OPSC_ALLOWED_HOSTS": "127.0.0.1", **change}
    done = subprocess.run(
        [sys.executable, "-c", "import opsconsole.demo_settings"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0 and "loopback only" in done.stderr


def test_keys_are_private_valid_and_kept(demo):
    assert demo.stat().st_mode & 0o777 == 0o600
    keys = json.loads(demo.read_text())
    assert set(keys) == {"admin", "operator", "developer", "second_admin"}
    client = Client(headers={"Authorization": f"Bearer {keys['operator']}"})
    assert client.get("/api/v1/environments/").status_code == 200
    call_command("demo_people", keys=demo)
    assert json.loads(demo.read_text()) == keys and APIKey.objects.count() == 4 and User.objects.count() == 4


def test_a_broken_keys_file_is_mended(demo):
    keys = json.loads(demo.read_text())
    APIKey.objects.filter(owner__username="ada").update(revoked_at="2026-01-01T00:00:00Z")
    demo.write_text(json.dumps({**keys, "developer": keys["operator"]}))
    call_command("demo_people", keys=demo)
    mended = json.loads(demo.read_text())
    assert mended["operator"] == keys["operator"] and mended["admin"] != keys["admin"]
    assert mended["developer"] not in (keys["operator"], keys["developer"])
    assert APIKey.objects.filter(revoked_at=None).count() == 4
    demo.write_text("nonsense")
    call_command("demo_people", keys=demo)
    assert APIKey.objects.filter(revoked_at=None).count() == 4 and len(json.loads(demo.read_text())) == 4
