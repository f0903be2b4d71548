"""SSH public keys, and signatures made with ``ssh-keygen -Y sign``: read and verified here, without a shell.

Formats: RFC 4251 section 5 (strings, mpints), RFC 4253 section 6.6 and RFC 5656 (keys), RFC 8332 (RSA with SHA-2),
OpenSSH PROTOCOL.sshsig (the signature's envelope) and PROTOCOL.u2f (security keys).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

NAMESPACE = "opsconsole-login@v1"
"""What a signature is for: one made for a file, a mail or Git does not sign in, nor the other way round."""
MAX_TEXT = 8_192
"""Longest public key line or signature that is read, in characters; an RSA key of 8192 bits needs less."""
RSA_BITS = (2_048, 8_192)
_MAGIC = b"SSHSIG"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_RSA_HASHES: dict[bytes, hashes.HashAlgorithm] = {b"rsa-sha2-256": hashes.SHA256(), b"rsa-sha2-512": hashes.SHA512()}
_CURVES: dict[bytes, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    b"nistp256": (ec.SECP256R1(), hashes.SHA256()),
    b"nistp384": (ec.SECP384R1(), hashes.SHA384()),
    b"nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
_USER_PRESENT = 0x01
_KNOWN = (
    "ssh-ed25519, ecdsa-sha2-nistp256/384/521, ssh-rsa, sk-ssh-ed25519@openssh.com, sk-ecdsa-sha2-nistp256@openssh.com"
)
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


class BadKey(Exception):
    """The text is no public key that is accepted; the message says why."""


class PrivateKeyGiven(BadKey):
    """Somebody sent the private half. It is neither kept nor repeated anywhere."""


class BadSignature(Exception):
    """The text is no valid signature over the message; the message says why."""


class _Malformed(Exception):
    """Bytes that do not follow the format."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, its parameters checked."""

    type: str
    blob: bytes
    comment: str
    verify: Callable[[_Reader, bytes], None]
    """Checks the signature before which a reader stands; raises ``InvalidSignature`` or ``_Malformed``."""

    @property
    def text(self) -> str:
        """Type and base64, as in ``authorized_keys``, without the comment."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ``ssh-keygen -l`` prints it."""
        return fingerprint(self.blob)


def fingerprint(blob: bytes) -> str:
    """The SHA-256 fingerprint of a key in wire format."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def read_public_key(line: str) -> PublicKey:
    """A public key from one line such as ``ssh-ed25519 AAAA… comment``.

    Raises:
        PrivateKeyGiven: it looks like the private half.
        BadKey: anything else that is not accepted; the message never repeats what was given.
    """
    text = line.strip()
    if "PRIVATE KEY" in text.upper() or text.startswith("PuTTY-User-Key-File"):
        raise PrivateKeyGiven(
            "This is a private key. It was not kept, but it has left your machine: make a new pair with ssh-keygen, "
            "and send the file that ends in .pub."
        )
    if len(text) > MAX_TEXT or "\n" in text or "\r" in text:
        raise BadKey("Give one public key on one line: the content of a file such as id_ed25519.pub.")
    kind, _, rest = text.partition(" ")
    encoded, _, comment = rest.strip().partition(" ")
    if "-cert-" in kind:
        raise BadKey("Certificates are not accepted; give the plain public key.")
    try:
        blob = base64.b64decode(encoded, validate=True)
        key = _read_blob(blob, comment.strip())
    except (_Malformed, ValueError) as error:
        raise BadKey(f"This is no public key in OpenSSH's format (type, base64, comment): {error}.") from None
    if key.type != kind:
        raise BadKey(f"The line says {kind[:60]!r}, the key itself is of type {key.type!r}.")
    return key


@dataclass(frozen=True, slots=True)
class Signature:
    """What ``ssh-keygen -Y sign`` printed. ``key`` is a mere claim until ``verify`` has passed."""

    key: PublicKey
    _namespace: bytes
    _reserved: bytes
    _hash: bytes
    _signature: bytes

    def verify(self, message: bytes, namespace: str = NAMESPACE) -> None:
        """Pass when the owner of ``key`` signed exactly this message for this namespace.

        Raises:
            BadSignature: for another purpose, over another message, or wrong.
        """
        if self._namespace != namespace.encode():
            raise BadSignature(f"It was made for another purpose. Sign with: ssh-keygen -Y sign -n {namespace}")
        digest = _HASHES[self._hash](message).digest()
        # PROTOCOL.sshsig, section 3
        signed = _MAGIC + b"".join(map(_string, (self._namespace, self._reserved, self._hash, digest)))
        try:
            self.key.verify(_Reader(self._signature), signed)
        except InvalidSignature:
            raise BadSignature(
                "It does not fit the message: it was made with another key or over another text."
            ) from None
        except (_Malformed, ValueError) as error:
            raise BadSignature(f"It is malformed: {error}.") from None


def read_signature(armored: str) -> Signature:
    """The parts of an SSH signature, nothing of it verified yet.

    Raises:
        BadSignature: malformed, or made with a kind of key that is not accepted.
    """
    text = armored.strip()
    if len(text) > MAX_TEXT or not (text.startswith(_BEGIN) and text.endswith(_END)):
        raise BadSignature(f"It is no text from {_BEGIN} to {_END}.")
    body = "".join(text.removeprefix(_BEGIN).removesuffix(_END).split())
    try:
        return _read_envelope(_Reader(base64.b64decode(body, validate=True)))
    except BadKey as error:
        raise BadSignature(f"It was made with a key that is not accepted. {error}") from None
    except (_Malformed, ValueError) as error:
        raise BadSignature(f"It is malformed: {error}.") from None


def _read_envelope(envelope: _Reader) -> Signature:
    """PROTOCOL.sshsig, section 2."""
    if envelope.take(len(_MAGIC)) != _MAGIC or envelope.number() != 1:
        raise _Malformed("it is not of SSHSIG version 1")
    blob, namespace, reserved, hash_name, signature = (envelope.string() for _ in range(5))
    envelope.end()
    if hash_name not in _HASHES:
        raise _Malformed("the hash is neither sha256 nor sha512")
    return Signature(_read_blob(blob), namespace, reserved, hash_name, signature)


class _Reader:
    """Takes the parts of a wire format one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, length: int) -> bytes:
        part = self._data[self._at : self._at + length]
        if len(part) != length:
            raise _Malformed("it ends too early")
        self._at += length
        return part

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def mpint(self) -> int:
        data = self.string()
        if len(data) > RSA_BITS[1] // 8 + 1 or data[:1] > b"\x7f":
            raise _Malformed("a number is negative or too large")
        return int.from_bytes(data, "big")

    def end(self) -> None:
        if self._at != len(self._data):
            raise _Malformed("something follows after its end")


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _read_blob(blob: bytes, comment: str = "") -> PublicKey:
    """A key in wire format.

    Raises:
        BadKey: a type or size that is not accepted.
        _Malformed, ValueError: no key at all.
    """
    reader = _Reader(blob)
    kind = reader.string()
    build = _TYPES.get(kind)
    if build is None:
        raise BadKey(f"Keys of this type are not accepted. Accepted: {_KNOWN}.")
    check = build(reader)
    reader.end()
    return PublicKey(kind.decode(), blob, comment, check)


def _ed25519(reader: _Reader) -> Callable[[_Reader, bytes], None]:
    key = ed25519.Ed25519PublicKey.from_public_bytes(reader.string())

    def check(signature: _Reader, data: bytes) -> None:
        _expect(signature, b"ssh-ed25519")
        value = signature.string()
        signature.end()
        key.verify(value, data)

    return check


def _ecdsa(curve: bytes) -> Callable[[_Reader], Callable[[_Reader, bytes], None]]:
    def build(reader: _Reader) -> Callable[[_Reader, bytes], None]:
        key, algorithm = _point(reader, curve)

        def check(signature: _Reader, data: bytes) -> None:
            _expect(signature, b"ecdsa-sha2-" + curve)
            value = _der(signature.string())
            signature.end()
            key.verify(value, data, ec.ECDSA(algorithm))

        return check

    return build


def _rsa(reader: _Reader) -> Callable[[_Reader, bytes], None]:
    exponent, modulus = reader.mpint(), reader.mpint()
    least, most = RSA_BITS
    if not least <= modulus.bit_length() <= most:
        raise BadKey(f"RSA keys have {least} to {most} bits here, not {modulus.bit_length()}.")
    if exponent.bit_length() > 64:
        raise _Malformed("the exponent of the RSA key is too large")
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()

    def check(signature: _Reader, data: bytes) -> None:
        name = signature.string()  # never "ssh-rsa": that is SHA-1
        if name not in _RSA_HASHES:
            raise _Malformed("RSA signatures are made with rsa-sha2-256 or rsa-sha2-512")
        value = signature.string().rjust((modulus.bit_length() + 7) // 8, b"\x00")
        signature.end()
        key.verify(value, data, padding.PKCS1v15(), _RSA_HASHES[name])

    return check


def _security_key_ed25519(reader: _Reader) -> Callable[[_Reader, bytes], None]:
    key = ed25519.Ed25519PublicKey.from_public_bytes(reader.string())
    application = reader.string()

    def check(signature: _Reader, data: bytes) -> None:
        _expect(signature, b"sk-ssh-ed25519@openssh.com")
        value = signature.string()
        key.verify(value, _touched(signature, application, data))

    return check


def _security_key_ecdsa(reader: _Reader) -> Callable[[_Reader, bytes], None]:
    key, algorithm = _point(reader, b"nistp256")
    application = reader.string()

    def check(signature: _Reader, data: bytes) -> None:
        _expect(signature, b"sk-ecdsa-sha2-nistp256@openssh.com")
        value = _der(signature.string())
        key.verify(value, _touched(signature, application, data), ec.ECDSA(algorithm))

    return check


def _touched(signature: _Reader, application: bytes, data: bytes) -> bytes:
    """What a security key signs (PROTOCOL.u2f): only with the flag that says that somebody touched it."""
    flags, counter = signature.take(1), signature.take(4)
    signature.end()
    if not flags[0] & _USER_PRESENT:
        raise _Malformed("the security key was not touched")
    return hashlib.sha256(application).digest() + flags + counter + hashlib.sha256(data).digest()


def _point(reader: _Reader, curve: bytes) -> tuple[ec.EllipticCurvePublicKey, hashes.HashAlgorithm]:
    if reader.string() != curve:
        raise _Malformed("the curve is not that of its type")
    group, algorithm = _CURVES[curve]
    return ec.EllipticCurvePublicKey.from_encoded_point(group, reader.string()), algorithm


def _der(value: bytes) -> bytes:
    """The two mpints of an ECDSA signature in the form that the library takes."""
    reader = _Reader(value)
    r, s = reader.mpint(), reader.mpint()
    reader.end()
    return utils.encode_dss_signature(r, s)


def _expect(signature: _Reader, name: bytes) -> None:
    if signature.string() != name:
        raise _Malformed("the signature is of another type than its key")


_TYPES: dict[bytes, Callable[[_Reader], Any]] = {
    b"ssh-ed25519": _ed25519,
    b"ssh-rsa": _rsa,
    **{b"ecdsa-sha2-" + curve: _ecdsa(curve) for curve in _CURVES},
    b"sk-ssh-ed25519@openssh.com": _security_key_ed25519,
    b"sk-ecdsa-sha2-nistp256@openssh.com": _security_key_ecdsa,
}
