"""SSH keys and signatures: real ones of ssh-keygen, those of security keys built here, and every kind of wrong one."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as some

from accounts import ssh

needs_ssh_keygen = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen (OpenSSH) is not installed")
MESSAGE = b"OpsConsole sign-in\nnonce: 1\n"
TYPES = [("ed25519", 0), ("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048), ("rsa", 4096)]


def keygen(*arguments: str, feed: bytes | None = None) -> bytes:
    return subprocess.run(["ssh-keygen", *arguments], input=feed, capture_output=True, check=True, timeout=60).stdout


def make_key(folder: Path, kind: str = "ed25519", bits: int = 0) -> Path:
    """The path of a fresh private key; the public one is beside it."""
    path = folder / f"{kind}{bits}"
    size = ["-b", str(bits)] if bits else []
    keygen("-q", "-t", kind, *size, "-N", "", "-C", "ada@laptop", "-f", str(path))
    return path


def public(path: Path) -> str:
    return path.with_name(path.name + ".pub").read_text()


def sign(path: Path, message: bytes = MESSAGE, namespace: str = ssh.NAMESPACE, *more: str) -> str:
    return keygen("-Y", "sign", "-q", "-n", namespace, *more, "-f", str(path), feed=message).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ssh")


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> Path:
    return make_key(tmp_path_factory.mktemp("one"))


@needs_ssh_keygen
@pytest.mark.parametrize(("kind", "bits"), TYPES)
def test_each_type_of_key(folder, kind, bits):
    path = make_key(folder, kind, bits)
    read = ssh.read_public_key(public(path))
    assert read.comment == "ada@laptop" and public(path).startswith(read.text)
    assert keygen("-lf", str(path)).decode().split()[1] == read.fingerprint
    for hash_name in ("sha256", "sha512"):
        found = ssh.read_signature(sign(path, MESSAGE, ssh.NAMESPACE, "-O", f"hashalg={hash_name}"))
        found.verify(MESSAGE)
        assert found.key.blob == read.blob
        with pytest.raises(ssh.BadSignature, match="another text"):
            found.verify(MESSAGE + b"\n")


@needs_ssh_keygen
def test_another_namespace_does_not_serve(key):
    for namespace in ("file", "git", "opsconsole-login@v2", ssh.NAMESPACE + " "):
        with pytest.raises(ssh.BadSignature, match="another purpose"):
            ssh.read_signature(sign(key, MESSAGE, namespace)).verify(MESSAGE)


@needs_ssh_keygen
@pytest.mark.parametrize(
    ("kind", "bits", "says"), [("rsa", 1024, "2048 to 8192 bits here, not 1024"), ("dsa", 0, "not accepted")]
)
def test_weak_keys_are_refused(folder, kind, bits, says):
    try:
        path = make_key(folder, kind, bits)
    except subprocess.CalledProcessError:
        pytest.skip(f"this ssh-keygen makes no {kind} keys any more")
    with pytest.raises(ssh.BadKey, match=says):
        ssh.read_public_key(public(path))


@needs_ssh_keygen
def test_a_private_key_is_recognised_and_not_repeated(key):
    secret = key.read_text()
    for text in (secret, secret.replace("\n", " "), "-----BEGIN RSA PRIVATE KEY-----\nabc", "PuTTY-User-Key-File-3: x"):
        with pytest.raises(ssh.PrivateKeyGiven) as error:
            ssh.read_public_key(text)
        assert secret[60:90] not in str(error.value) and "make a new pair" in str(error.value)


@needs_ssh_keygen
def test_an_rsa_signature_with_sha1_is_refused(folder):
    path = make_key(folder, "rsa", 3072)
    blob, namespace, reserved, hash_name, signature = parts_of(sign(path))
    name, value = parts_of_string(signature)
    assert name == b"rsa-sha2-512"
    for other in (b"ssh-rsa", b"rsa-sha2-256"):
        found = ssh.read_signature(
            armored(envelope(blob, namespace, reserved, hash_name, string(other) + string(value)))
        )
        with pytest.raises(ssh.BadSignature, match="rsa-sha2-256" if other == b"ssh-rsa" else "does not fit"):
            found.verify(MESSAGE)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "no public key"),
        ("ssh-ed25519", "no public key"),
        ("ssh-ed25519 !!!!", "no public key"),
        ("ssh-ed25519 AAAA", "no public key"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==", "no public key"),
        ("no-pty ssh-ed25519 AAAA", "no public key"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "Certificates"),
        ("one\ntwo", "one public key on one line"),
        ("x" * 9000, "one public key on one line"),
    ],
)
def test_what_is_no_public_key(line, says):
    with pytest.raises(ssh.BadKey, match=says) as error:
        ssh.read_public_key(line)
    assert not isinstance(error.value, ssh.PrivateKeyGiven)


@needs_ssh_keygen
def test_a_line_that_names_another_type(key):
    with pytest.raises(ssh.BadKey, match="of type 'ssh-ed25519'"):
        ssh.read_public_key("ssh-rsa " + public(key).split()[1])


# --- Security keys: there is none in a test, so the signatures are made here as PROTOCOL.u2f says


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def parts_of_string(data: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return parts


def body_of(text: str) -> bytes:
    return base64.b64decode("".join(text.splitlines()[1:-1]))


def parts_of(text: str) -> list[bytes]:
    return parts_of_string(body_of(text)[10:])


def envelope(*parts: bytes) -> bytes:
    return b"SSHSIG" + (1).to_bytes(4, "big") + b"".join(map(string, parts))


def armored(body: bytes) -> str:
    return f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(body).decode()}\n-----END SSH SIGNATURE-----\n"


def mpint(number: int) -> bytes:
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def security_key(kind: str, flags: int, application: bytes = b"ssh:") -> str:
    """A signature of a security key over MESSAGE."""
    signed = b"SSHSIG" + b"".join(
        map(string, (ssh.NAMESPACE.encode(), b"", b"sha512", hashlib.sha512(MESSAGE).digest()))
    )
    touch = bytes([flags]) + (7).to_bytes(4, "big")
    data = hashlib.sha256(b"ssh:").digest() + touch + hashlib.sha256(signed).digest()
    if kind == "ed25519":
        name, private = b"sk-ssh-ed25519@openssh.com", ed25519.Ed25519PrivateKey.generate()
        point = string(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        value = private.sign(data)
    else:
        name, curve = b"sk-ecdsa-sha2-nistp256@openssh.com", ec.generate_private_key(ec.SECP256R1())
        shown = curve.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        point = string(b"nistp256") + string(shown)
        value = b"".join(map(mpint, utils.decode_dss_signature(curve.sign(data, ec.ECDSA(SHA256())))))
    blob = string(name) + point + string(application)
    signature = string(name) + string(value) + touch
    return armored(envelope(blob, ssh.NAMESPACE.encode(), b"", b"sha512", signature))


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_security_keys_count_when_they_were_touched(kind):
    for flags in (0x01, 0x05):
        found = ssh.read_signature(security_key(kind, flags))
        found.verify(MESSAGE)
        assert ssh.read_public_key(found.key.text).fingerprint == found.key.fingerprint
    with pytest.raises(ssh.BadSignature, match="not touched"):
        ssh.read_signature(security_key(kind, 0x04)).verify(MESSAGE)
    with pytest.raises(ssh.BadSignature, match="does not fit"):
        ssh.read_signature(security_key(kind, 0x01, application=b"ssh:other")).verify(MESSAGE)


# --- Whatever is sent, there is an answer


def attempt(text: str) -> str:
    """What is said of a signature that is refused."""
    with pytest.raises(ssh.BadSignature) as refused:
        ssh.read_signature(text).verify(MESSAGE)
    return str(refused.value)


@needs_ssh_keygen
def test_every_truncation_and_every_flipped_byte_is_refused(key):
    body = body_of(sign(key))
    ssh.read_signature(armored(body)).verify(MESSAGE)
    for length in range(len(body)):
        attempt(armored(body[:length]))
    for at in range(len(body)):
        attempt(armored(body[:at] + bytes([body[at] ^ 0x01]) + body[at + 1 :]))
    attempt(armored(body + b"\x00"))


@settings(max_examples=200, deadline=None)
@given(some.binary(max_size=300))
def test_garbage_in_an_envelope(data):
    assert attempt(armored(data))
    assert attempt(armored(envelope(data, ssh.NAMESPACE.encode(), b"", b"sha512", data)))


@settings(max_examples=200, deadline=None)
@given(some.text(max_size=200))
def test_garbage_as_text(text):
    attempt(text)
    attempt(f"-----BEGIN SSH SIGNATURE-----{text}-----END SSH SIGNATURE-----")
    with pytest.raises(ssh.BadKey):
        ssh.read_public_key(text)


def test_a_long_text_is_not_read():
    assert attempt("-----BEGIN SSH SIGNATURE-----" + " " * ssh.MAX_TEXT + "-----END SSH SIGNATURE-----")
