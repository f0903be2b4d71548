"""SSH keys: found, named as ssh-keygen names them, and signed with by the real ssh-keygen and ssh-agent."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from opsctl import ssh
from opsctl.errors import NotSignedIn, UsageProblem
from opsctl.session import check_message
from opsctl.store import SignIn, Store

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="the OpenSSH client is not installed")
URL = "https://ops.example.com"
MESSAGE = f"OpsConsole sign-in\naudience: {URL}\nkey: SHA256:x\nnonce: n\nexpires: 2026-11-23T14:02:11Z\n"


@pytest.fixture
def keygen(tmp_path: Path) -> Callable[..., Path]:
    """Make a key pair in ``~/.ssh``: the file of its private half."""
    folder = tmp_path / ".ssh"
    folder.mkdir(mode=0o700)

    def make(name: str, kind: str = "ed25519", passphrase: str = "") -> Path:
        path = folder / name
        command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", str(path)]
        subprocess.run(command, check=True)
        return path

    return make


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """A real ssh-agent; called with a key it takes that key."""
    socket = f"{os.environ.get('TMPDIR', '/tmp')}/opsctl-agent-{os.getpid()}"  # noqa: S108  short: a socket's path
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", socket)
    yield lambda path: subprocess.run(["ssh-add", "-q", str(path)], check=True)
    process.terminate()
    process.wait()
    Path(socket).unlink(missing_ok=True)


def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), **({"SSH_AUTH_SOCK": os.environ["SSH_AUTH_SOCK"]} if _has_agent() else {})}


def _has_agent() -> bool:
    return os.environ.get("SSH_AUTH_SOCK", "").find("opsctl-agent") >= 0


def checked(signature: str, message: str = MESSAGE, namespace: str = ssh.NAMESPACE) -> bool:
    """What ssh-keygen itself says of a signature."""
    path = Path(os.environ["PYTEST_SIGNATURE"])
    path.write_text(signature)
    command = ["ssh-keygen", "-Y", "check-novalidate", "-n", namespace, "-s", str(path)]
    return subprocess.run(command, input=message, text=True, capture_output=True, check=False).returncode == 0


@pytest.fixture(autouse=True)
def _signature_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_SIGNATURE", str(tmp_path / "signature"))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_fingerprint_is_that_of_ssh_keygen_and_its_signature_holds(tmp_path, keygen, kind):
    path = keygen(f"id_{kind}", kind)
    shown = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True).stdout
    key = ssh.from_file(path)
    assert key.fingerprint == shown.split()[1]
    signature = ssh.sign(key, MESSAGE, interactive=False)
    assert checked(signature) and not checked(signature, MESSAGE + "x") and not checked(signature, namespace="git")


def test_either_half_may_be_named(keygen):
    path = keygen("work.key")
    public = path.with_name("work.key.pub")
    assert ssh.from_file(path) == ssh.from_file(public)
    public.unlink()
    assert ssh.from_file(path).fingerprint.startswith("SHA256:")
    with pytest.raises(UsageProblem, match=r"nothing\.pub"):
        ssh.from_file(path.with_name("nothing.pub"))


def test_keys_of_the_home_folder_the_likeliest_first(tmp_path, keygen):
    keygen("zz_other")
    keygen("id_rsa", "rsa")
    keygen("id_ed25519")
    keygen("id_ecdsa", "ecdsa").unlink()  # a public half alone signs nothing
    (tmp_path / ".ssh/broken.pub").write_text("ssh-ed25519 not-base64 me\n")
    found = ssh.candidates(None, environ(tmp_path))
    assert [key.file.name for key in found if key.file] == ["id_ed25519", "id_rsa", "zz_other"]


def test_keys_of_the_agent_go_first_and_sign_without_their_file(tmp_path, keygen, agent):
    keygen("id_ed25519")
    held = keygen("held")
    agent(held)
    line = held.with_name("held.pub").read_text()
    found = ssh.candidates(None, environ(tmp_path))
    assert found[0].in_agent and found[0].line == line.strip() and len(found) == 2
    held.unlink()
    held.with_name("held.pub").unlink()
    only = ssh.candidates(None, environ(tmp_path))[0]
    assert only.in_agent and only.file is None
    assert checked(ssh.sign(only, MESSAGE, interactive=False))


def test_a_passphrase_is_not_waited_for_when_nobody_is_there(keygen):
    key = ssh.from_file(keygen("id_ed25519", passphrase="secret words"))
    with pytest.raises(NotSignedIn, match="could not sign with"):
        ssh.sign(key, MESSAGE, interactive=False)


@pytest.mark.parametrize(
    "line",
    ["", "ssh-dss AAAA me", "ssh-ed25519-cert-v01@openssh.com AAAA me", "ssh-ed25519", "ssh-ed25519 !!!! me"],
)
def test_lines_that_are_no_key_to_sign_in_with(line):
    assert ssh.read_line(line) is None


def test_a_sign_in_to_this_console_is_signed():
    check_message(MESSAGE, URL)


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE.replace(URL, "https://evil.example.com"),
        MESSAGE.replace(URL, URL + ".evil.com"),
        MESSAGE.replace("https", "http"),
        MESSAGE.replace("audience: ", "audience:"),
        MESSAGE.replace("OpsConsole sign-in", "Transfer"),
        f"audience: {URL}",
        "",
    ],
)
def test_nothing_else_is_signed(message):
    with pytest.raises(NotSignedIn, match="Not signed"):
        check_message(message, URL)


def kept(**fields: str) -> SignIn:
    later = datetime.now(UTC) + timedelta(minutes=15)
    members = {"url": URL, "token": "opsc_x", "expires_at": later.isoformat(), "user": "ada", "fingerprint": "SHA256:x"}
    return SignIn(**{**members, **fields})


def test_a_sign_in_is_kept_for_its_owner_only(tmp_path):
    store = Store({"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")})
    assert store.load(URL) is None and store.last_url() == ""
    store.save(kept())
    store.save(kept(token="opsc_y"))
    path = store.path(URL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    found = store.load(URL)
    assert found is not None and found.token == "opsc_y" and store.last_url() == URL
    assert sorted(one.name for one in path.parent.iterdir()) == ["last", path.name], "nothing half-written is left"
    assert store.load("https://other.example.com") is None
    assert store.forget(URL) and not store.forget(URL) and store.load(URL) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"url": "https://ops.example.com"}', "\x00"])
def test_a_damaged_sign_in_is_none(tmp_path, text):
    store = Store({"HOME": str(tmp_path)})
    store.save(kept())
    store.path(URL).write_text(text)
    assert store.load(URL) is None


def test_a_token_ends_a_little_before_its_time():
    now = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
    assert kept(expires_at="2026-11-23T14:00:21Z").is_usable(now)
    assert not kept(expires_at="2026-11-23T14:00:19Z").is_usable(now)
    assert not kept(expires_at="soon").is_usable(now)


def test_nothing_of_the_sign_in_is_in_its_file_name(tmp_path):
    assert re.fullmatch(r"sign-in-[0-9a-f]{16}\.json", Store({"HOME": str(tmp_path)}).path(URL).name)
