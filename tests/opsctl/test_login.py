"""Signing in with a key that ssh-keygen made, at a console that really listens, and what becomes of the token."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from accounts import ssh_actions
from accounts.models import APIKey
from audit.models import Record
from opsctl.errors import NotSignedIn
from opsctl.session import Bounds, sign_in
from opsctl.ssh import from_file
from tests.opsctl.conftest import Shell
from tests.opsctl.terminal import Terminal

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="the OpenSSH client is not installed"),
]


def make_key(home: Path, name: str = "id_ed25519", passphrase: str = "") -> Path:
    path = home / ".ssh" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def enrol(actor_of):
    """Add the public half of a key to a person's account."""

    def add(user, path: Path):
        return ssh_actions.add_ssh_key(actor_of(user), user, path.with_suffix(".pub").read_text())

    return add


@pytest.fixture
def terminal(shell: Shell, live_server) -> Shell:
    """A shell that knows the console, and no credential."""
    return Shell(shell.home, live_server.url)


@pytest.fixture
def signed_in(terminal, developer, enrol, system) -> Shell:
    """Dora has signed in with her key."""
    enrol(developer, make_key(terminal.home))
    done = terminal.run("login")
    assert done.returncode == 0, done.stderr
    return terminal


def state_files(shell: Shell) -> list[Path]:
    return sorted((shell.home / ".local/state/opsctl").glob("sign-in-*.json"))


def test_login_whoami_logout(signed_in, developer):
    who = signed_in.run("whoami")
    assert who.returncode == 0, who.stderr
    assert "Dora Developer (dora), Developer" in who.stdout and "By sign-in, until" in who.stdout
    assert "request_deployment" in who.stdout
    (path,) = state_files(signed_in)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    login = APIKey.objects.get(kind="login")
    assert login.owner == developer and timezone.now() < login.expires_at <= timezone.now() + timedelta(minutes=15)
    assert signed_in.run("logout").returncode == 0
    login.refresh_from_db()
    assert login.revoked_at is not None and state_files(signed_in) == []
    assert signed_in.run("whoami").returncode == 3
    assert "You were not signed in" in signed_in.run("logout").stdout


def test_the_console_of_the_last_login_is_remembered(signed_in):
    signed_in.environ.pop("OPSCTL_URL")
    assert signed_in.run("whoami").returncode == 0


def test_a_key_that_is_not_enrolled(terminal, developer):
    make_key(terminal.home)
    done = terminal.run("login")
    assert done.returncode == 3 and "is not enrolled" in done.stderr and state_files(terminal) == []
    assert Record.objects.filter(action="account.sign_in_failed").count() == 1


def test_the_enrolled_one_of_several_keys_is_found_and_remembered(terminal, developer, enrol, system):
    make_key(terminal.home, "id_ed25519")
    enrol(developer, make_key(terminal.home, "work"))
    assert "work" in json.loads(terminal.run("login", "--json").stdout)["key"]
    assert terminal.run("login").returncode == 0
    assert Record.objects.filter(action="account.sign_in_failed").count() == 1, "the good one goes first"


def test_the_named_key_alone_is_tried(terminal, developer, enrol, system):
    other = make_key(terminal.home, "other")
    enrol(developer, make_key(terminal.home, "id_ed25519"))
    assert terminal.run("login", "--key", str(other)).returncode == 3
    assert terminal.run("login", "--key", "~/.ssh/id_ed25519.pub").returncode == 0
    assert terminal.run("login", "--key", "/nowhere").returncode == 2


def test_no_key_at_all(terminal, system):
    done = terminal.run("login")
    assert done.returncode == 3 and "ssh-keygen -t ed25519" in done.stderr


def test_a_challenge_of_another_console_is_not_signed(terminal, live_server, developer, enrol, system):
    """The console is asked under another name than the one it is reached by, as somebody in between would."""
    enrol(developer, make_key(terminal.home))
    other = live_server.url.replace("localhost", "127.0.0.1")
    assert other != live_server.url

    def pass_on(path, body):
        answer = Client().post(f"/api/v1/{path}", body, content_type="application/json", headers={"host": "localhost"})
        return answer.json()

    with pytest.raises(NotSignedIn, match="Not signed: .* is for http://localhost"):
        sign_in(pass_on, other, from_file(terminal.home / ".ssh/id_ed25519"), Bounds(), interactive=False)
    assert not APIKey.objects.exists()


def test_a_sign_in_that_ran_out_is_renewed(signed_in):
    (path,) = state_files(signed_in)
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"expires_at": timezone.now().isoformat()}))
    assert signed_in.run("whoami").returncode == 0
    assert json.loads(path.read_text())["token"] != kept["token"]


def test_a_token_that_the_console_ended_is_renewed(signed_in):
    APIKey.objects.update(revoked_at=timezone.now())
    assert signed_in.run("whoami").returncode == 0
    assert APIKey.objects.count() == 2


def test_it_is_not_renewed_without_its_key(signed_in):
    APIKey.objects.update(revoked_at=timezone.now())
    (signed_in.home / ".ssh/id_ed25519").unlink()
    done = signed_in.run("whoami")
    assert done.returncode == 3 and "could not be renewed" in done.stderr and "opsctl login" in done.stderr


def test_a_key_with_a_passphrase_is_not_waited_for(terminal, developer, enrol, system):
    enrol(developer, make_key(terminal.home, passphrase="secret words"))
    done = terminal.run("login")
    assert done.returncode == 3 and "ssh-keygen could not sign" in done.stderr


def test_a_passphrase_is_asked_for_on_a_terminal(terminal, developer, enrol, system):
    enrol(developer, make_key(terminal.home, passphrase="secret words"))
    typed = Terminal(terminal, "login")
    typed.read_until("passphrase")
    typed.type("secret words\n")
    typed.read_until("Signed in to")
    assert typed.end() == 0 and "secret words" not in typed.text


def test_a_bounded_sign_in_stays_bounded(signed_in, developer):
    done = signed_in.run("login", "--scope", "deploy_environment", "--env", "staging")
    assert done.returncode == 0, done.stderr
    newest = APIKey.objects.latest("created_at")
    assert newest.environments == ["staging"] and "request_deployment" not in newest.scopes
    APIKey.objects.update(revoked_at=timezone.now())
    assert "production" not in signed_in.run("whoami").stdout
    assert APIKey.objects.latest("created_at").environments == ["staging"]
    assert signed_in.run("login", "--scope", "rule_the_world").returncode == 2


def test_an_address_for_the_browser(signed_in, live_server, developer):
    done = signed_in.run("login", "--browser")
    assert done.returncode == 0, done.stderr
    address = done.stdout.strip()
    assert address.startswith(f"{live_server.url}/") and "once" in done.stderr
    assert Client().get(address.removeprefix(live_server.url)).status_code == 200


def test_an_api_key_stands_in_the_way_of_a_sign_in(terminal):
    done = terminal.run("login", OPSCTL_TOKEN="opsc_x")
    assert done.returncode == 3 and "OPSCTL_TOKEN" in done.stderr


def test_an_api_key_that_ends_soon_is_announced(shell_of, operator):
    shell = shell_of(operator)
    APIKey.objects.update(expires_at=timezone.now() + timedelta(days=3, minutes=1))
    done = shell.run("status")
    assert done.returncode == 0 and "Your API key ends in 3 days" in done.stderr
    APIKey.objects.update(expires_at=timezone.now() + timedelta(days=15))
    assert shell.run("status").stderr == ""
