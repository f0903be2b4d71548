"""Signed checkpoints of the chain: "at this time it had so many entries, and the last one had this hash".

The hash of an entry covers every entry before it, so one signature holds the whole trail. The private key is a file
outside the database: who can change every row still cannot sign. What is signed, with Ed25519 (RFC 8032), is

    opsconsole-audit-checkpoint-v1
    {"at":"2026-01-21T03:04:05.123456Z","head":"<64 hexadecimal digits>","key_id":"<16>","seq":10482}

as UTF-8, one line feed after the first line and none after the second. ``key_id`` is the beginning of the SHA-256 of
the raw public key. No Django and no database in here.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.chain import GENESIS, canonical, moment

CONTEXT = b"opsconsole-audit-checkpoint-v1\n"
Keys = Mapping[str, Ed25519PublicKey]
"""Public keys that are trusted, by their id."""


class KeyFileError(Exception):
    """A key file cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One checkpoint as plain values."""

    at: str
    """As in the canonical form of records."""
    seq: int
    """Entries in the chain; 0 for an empty one."""
    head: bytes
    """Hash of the last entry; 32 zero bytes for an empty chain."""
    key_id: str
    signature: bytes = b""

    @property
    def message(self) -> bytes:
        """What is signed."""
        fields = {"at": self.at, "head": self.head.hex(), "key_id": self.key_id, "seq": self.seq}
        return CONTEXT + canonical(fields)

    def line(self) -> str:
        """As one line of JSON, without an end of line."""
        fields = {"at": self.at, "seq": self.seq, "head": self.head.hex(), "key_id": self.key_id}
        return json.dumps({**fields, "signature": self.signature.hex()})

    @classmethod
    def parse(cls, line: str | bytes) -> Statement:
        """The statement of a line. Raises ValueError when it is none; says nothing about its signature."""
        try:
            found = json.loads(line)
            head, signature = bytes.fromhex(found["head"]), bytes.fromhex(found["signature"])
            return cls(str(found["at"]), int(found["seq"]), head, str(found["key_id"]), signature)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no checkpoint: {error!r}") from error

    def problem(self, keys: Keys) -> str:
        """What is wrong with the signature; empty when it is good."""
        key = keys.get(self.key_id)
        if key is None:
            return f"is signed with the key {self.key_id}, which is not trusted here"
        try:
            key.verify(self.signature, self.message)
        except InvalidSignature:
            return "has a wrong signature"
        return "has an impossible head" if self.seq < 0 or (self.seq == 0 and self.head != GENESIS) else ""


class Signer:
    """Signs checkpoints with the key of one file."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key()
        self.key_id = key_id(self.public_key)

    @classmethod
    def of_file(cls, path: Path) -> Signer:
        """The signer with the key in ``path`` (mode 600), made at first use, with its public key next to it.

        Raises:
            KeyFileError: others may read the file, or it holds no Ed25519 key.
            OSError: it cannot be read or written.
        """
        if not path.exists():
            _make(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise KeyFileError(f"{path} can be read by others: chmod 600 {path}, and think about a new key")
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except ValueError as error:
            raise KeyFileError(f"{path} holds no key: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(f"{path} holds no Ed25519 key")
        signer = cls(key)
        public = path.with_name(f"{path.stem}.{signer.key_id}.pub.pem")
        if not public.exists():
            _write(public, _pem(signer.public_key), 0o644)
        return signer

    def trusts(self, statement: Statement) -> bool:
        """Whether this key signed a statement."""
        return not statement.problem({self.key_id: self.public_key})

    def sign(self, at: datetime, seq: int, head: bytes) -> Statement:
        """A signed checkpoint."""
        plain = Statement(moment(at), seq, head, self.key_id)
        return Statement(plain.at, seq, head, self.key_id, self._key.sign(plain.message))


def key_id(key: Ed25519PublicKey) -> str:
    """The name of a public key: 16 hexadecimal digits."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def trusted_keys(signing_key: Path, more: Iterable[Path] = ()) -> dict[str, Ed25519PublicKey]:
    """The public keys next to the signing key, also those of earlier keys, and those of further files.

    Raises:
        KeyFileError: a file holds no Ed25519 public key.
        OSError: a file cannot be read.
    """
    found = {}
    for path in [*sorted(signing_key.parent.glob(f"{signing_key.stem}.*.pub.pem")), *more]:
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except ValueError as error:
            raise KeyFileError(f"{path} holds no public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(f"{path} holds no Ed25519 public key")
        found[key_id(key)] = key
    return found


def _pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(path, pem, 0o600)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all; when another process was first, its file stays."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
