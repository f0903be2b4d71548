"""Codes of an authenticator app (TOTP, RFC 6238): six digits, 30 s, no tolerance, each code once."""

from __future__ import annotations

import base64
import re
import time

import pyotp
import segno
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

STEP_SECONDS = 30
ISSUER = "OpsConsole"
_INFO = b"opsconsole totp seed v1"


class UnreadableSeed(Exception):
    """The seed was encrypted with a secret key that is neither the present one nor among the earlier ones."""


def new_seed() -> str:
    """A random seed of 160 bits, base32, as authenticator apps take it."""
    return pyotp.random_base32()


def matching_step(seed: str, code: str, at: float | None = None) -> int | None:
    """The time step for which a code is right, else None.

    Args:
        at: Unix seconds; now when left out. Only the step of this very moment counts (tolerance 0).
    """
    moment = int(time.time() if at is None else at)
    digits = re.sub(r"[\s-]", "", code)
    if not re.fullmatch(r"[0-9]{6}", digits) or not pyotp.TOTP(seed).verify(digits, for_time=moment):
        return None
    return moment // STEP_SECONDS


def encrypt(seed: str) -> str:
    """The seed as it is kept: encrypted with a key derived from OPSC_SECRET_KEY."""
    return _box().encrypt(seed.encode()).decode()


def decrypt(kept: str) -> str:
    """The seed of a kept text; earlier secret keys (OPSC_SECRET_KEY_FALLBACKS) are tried, too.

    Raises:
        UnreadableSeed: no key fits.
    """
    try:
        return _box().decrypt(kept.encode()).decode()
    except InvalidToken:
        raise UnreadableSeed(
            "The authenticator app's seed cannot be read: OPSC_SECRET_KEY was changed and the earlier key is not in "
            "OPSC_SECRET_KEY_FALLBACKS. Add it there, or use a passkey or a recovery code."
        ) from None


def grouped(seed: str) -> str:
    """The seed in groups of four, to be typed."""
    return " ".join(seed[start : start + 4] for start in range(0, len(seed), 4))


def address(seed: str, username: str) -> str:
    """The ``otpauth://`` address that the QR code holds."""
    return pyotp.TOTP(seed).provisioning_uri(name=username, issuer_name=ISSUER)


def qr(seed: str, username: str) -> str:
    """The QR code as an inline SVG without styles, so that the content security policy lets it pass."""
    code = segno.make(address(seed, username), error="m")
    return code.svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None)


def _box() -> MultiFernet:
    return MultiFernet([_fernet(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _fernet(secret: str) -> Fernet:
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(secret.encode())
    return Fernet(base64.urlsafe_b64encode(key))
