"""SSH keys to sign in with: find them, name them by fingerprint, and have ``ssh-keygen -Y sign`` sign with them.

The private key never passes through this program. Format of the signature: OpenSSH PROTOCOL.sshsig.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from opsctl.errors import NotSignedIn, UsageProblem

NAMESPACE = "opsconsole-login@v1"
"""What a signature is made for; nothing is ever signed for another purpose."""
PREFERRED = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_ecdsa_sk", "id_rsa")
TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp", "ssh-rsa", "sk-ssh-ed25519@", "sk-ecdsa-sha2-nistp256@")
AGENT_SECONDS = 5.0
SIGN_SECONDS = 120.0
"""A passphrase has to be typed, a security key touched."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key that could sign."""

    line: str
    """Type, base64 and comment, as in a ``.pub`` file."""
    fingerprint: str
    file: Path | None = None
    """The private key's file; None when only the agent has it."""
    in_agent: bool = False

    @property
    def name(self) -> str:
        """How a person knows it: its file, or its comment in the agent."""
        comment = self.line.split(maxsplit=2)[2:]
        return str(self.file) if self.file else " ".join(["agent:", *comment])


def read_line(line: str) -> Key | None:
    """The key of a public key line; None when it is none that can sign in (a certificate, for example)."""
    parts = line.split(maxsplit=2)
    if len(parts) < 2 or not parts[0].startswith(TYPES) or "-cert-" in parts[0]:
        return None
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return Key(line.strip(), f"SHA256:{digest}")


def candidates(wanted: Path | None, environ: Mapping[str, str]) -> list[Key]:
    """Keys to try, the likeliest first: the wanted one, or the agent's and those in ``~/.ssh``.

    Raises:
        UsageProblem: the wanted key cannot be read.
    """
    held = {key.fingerprint for key in agent_keys(environ)}
    if wanted is not None:
        key = from_file(wanted)
        return [replace(key, in_agent=key.fingerprint in held)]
    folder = Path(environ.get("HOME") or Path.home()) / ".ssh"
    files = sorted(folder.glob("*.pub"), key=lambda path: (_rank(path), path.name))
    found: dict[str, Key] = {}
    for path in files:
        if (known := _public(path)) is not None and path.with_suffix("").exists():
            found[known.fingerprint] = replace(known, file=path.with_suffix(""), in_agent=known.fingerprint in held)
    for known in agent_keys(environ):
        found.setdefault(known.fingerprint, known)
    return sorted(found.values(), key=lambda key: not key.in_agent)


def _rank(path: Path) -> int:
    return PREFERRED.index(path.stem) if path.stem in PREFERRED else len(PREFERRED)


def _public(path: Path) -> Key | None:
    try:
        return read_line(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def from_file(path: Path) -> Key:
    """The key of a file; either half may be named.

    Raises:
        UsageProblem: there is no such key, or it is none that can sign in.
    """
    path = path.expanduser()
    private = path.with_suffix("") if path.suffix == ".pub" else path
    public = private.with_name(private.name + ".pub")
    key = _public(public)
    if key is None and private.exists():
        done = _run(["ssh-keygen", "-y", "-f", str(private)])
        key = read_line(done.stdout.decode(errors="replace")) if done.returncode == 0 else None
    if key is None:
        raise UsageProblem(
            f"{path} is no SSH key that can sign in.",
            "Name the private key or its .pub file; make one with: ssh-keygen -t ed25519",
        )
    return replace(key, file=private if private.exists() else None)


def agent_keys(environ: Mapping[str, str]) -> list[Key]:
    """The keys that the running ssh-agent holds; none without an agent."""
    if not environ.get("SSH_AUTH_SOCK") or shutil.which("ssh-add") is None:
        return []
    try:
        done = subprocess.run(["ssh-add", "-L"], capture_output=True, timeout=AGENT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode(errors="replace").splitlines() if done.returncode == 0 else []
    return [replace(key, in_agent=True) for key in map(read_line, lines) if key is not None]


def sign(key: Key, message: str, *, interactive: bool) -> str:
    """The signature of the message, armored.

    Args:
        interactive: a person is there, who may be asked for a passphrase or a touch.

    Raises:
        NotSignedIn: it could not be signed; the text is what ssh-keygen says.
    """
    with tempfile.TemporaryDirectory(prefix="opsctl-") as folder:
        public = Path(folder) / "key.pub"
        public.write_text(key.line + "\n", encoding="utf-8")
        # With the public half ssh-keygen asks the agent; with the private one it reads the file.
        source = public if key.in_agent or key.file is None else key.file
        command = ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(source)]
        # First without a word; the terminal is needed only for a passphrase, and for the touch of a security key.
        done = None if interactive and key.line.startswith("sk-") else _run(command, message.encode(), alone=True)
        if interactive and (done is None or done.returncode != 0):
            done = _run(command, message.encode())
    assert done is not None
    if done.returncode != 0:
        words = (done.stderr or b"").decode(errors="replace").strip().splitlines()
        why = f": {words[-1]}" if words else ""
        raise NotSignedIn(f"ssh-keygen could not sign with {key.name}{why}.", "Sign in by hand: opsctl login")
    return done.stdout.decode()


def _run(command: list[str], given: bytes = b"", *, alone: bool = False) -> subprocess.CompletedProcess[bytes]:
    if shutil.which(command[0]) is None:
        raise NotSignedIn(
            f"{command[0]} is not installed.",
            "Install the OpenSSH client (8.2 or newer), or use an API key in OPSCTL_TOKEN.",
        )
    # Alone: without a terminal and without a window, so that nothing waits for a passphrase that nobody types.
    environ = {**os.environ, **({"SSH_ASKPASS_REQUIRE": "never"} if alone else {})}
    try:
        return subprocess.run(
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if alone else None,
            timeout=SIGN_SECONDS,
            start_new_session=alone,
            env=environ,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotSignedIn(f"ssh-keygen did not sign: {error}.", "Sign in by hand: opsctl login") from None


def names(keys: Iterable[Key]) -> str:
    """The keys in one line, for a message."""
    return ", ".join(f"{key.name} ({key.fingerprint})" for key in keys)
