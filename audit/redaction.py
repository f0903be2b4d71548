"""Secrets never reach the audit trail: what looks like one, by the name of its field or by its own shape, is cut out.

Plain data in and out. It errs towards cutting: a record with a gap still says what happened, a secret in a trail that
nobody can change stays there for ever.
"""

from __future__ import annotations

import re
from typing import Any

REDACTED = "[redacted]"
DEEPEST = 20
"""Nested deeper than this nothing is kept."""

_SECRET_NAME = re.compile(
    r"password|passwd|passphrase|secret|token|authorization|cookie|credential|mnemonic"
    r"|recovery_?(?:code|key|phrase|word)|(?:^|_)recovery$"
    r"|(?:private|api|access|signing|encryption|session|master)_?key"
    r"|(?:^|_)(?:seed|otp|totp|pin|pwd|auth|bearer|jwt|sessionid|session_id)(?:_|$)"
)
_ABOUT_A_SECRET = re.compile(
    r"(?:^|_)(?:prefix|count|left|remaining|at|minutes|days|file|path|ref|reference|kind|type|name|method|used|label)$"
    r"|(?<!secret)(?<!session)_ids?$"
)
"""Says something about a secret without being one: ``api_key_prefix``, ``recovery_codes_left``, ``token_file``."""
_PUBLIC_HASH = re.compile(r"hash|digest|commit|root|block|(?:^|_)(?:tx|transaction|head)(?:_|$)")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s&;,\"'<>]+)"
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z0-9 ]*-----|\Z)", re.S), REDACTED),
    (re.compile(r"\b(opsc_[A-Za-z0-9]{1,16}_)[A-Za-z0-9_-]{8,}"), rf"\1{REDACTED}"),
    (re.compile(r"(?i)\b(otpauth://)\S+"), rf"\1{REDACTED}"),
    # Not host:port/.
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*):(?!\d{1,5}(?:[/?#]|$))[^\s\"'<>]+@"), rf"\1:{REDACTED}@"),
    (re.compile(r"\b((?i:bearer|basic)\s+)(?![a-z]+\b)[A-Za-z0-9._~+/-]{8,}=*"), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*"), REDACTED),
    (re.compile(r"\b(?:gh[oprsu]_[A-Za-z0-9]{20,}|xox[a-z]-[A-Za-z0-9-]{10,}|[rs]k_live_[A-Za-z0-9]{10,})"), REDACTED),
    (
        re.compile(
            r"(?i)\b((?:[a-z0-9]+[_-])*(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key"
            rf"|private[_-]?key|session[_-]?id)(?:[_-]key)?[\"']?(?:\s?=\s?|\"\s?:\s?))(?!\[redacted\]){_VALUE}"
        ),
        rf"\1{REDACTED}",
    ),
)
_PRIVATE_HEX = re.compile(r"(?<![0-9A-Za-z])0[xX][0-9a-fA-F]{64}(?![0-9a-fA-F])")


def redact(value: Any) -> Any:
    """The same data without secrets; what is no secret comes back unchanged.

    Of an API key of this console the public prefix stays, and of an address with a password everything but that.
    """
    return _redact(value, "", 0)


def _redact(value: Any, name: str, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value, name)
    if not isinstance(value, dict | list | tuple):
        return value
    if depth >= DEEPEST:
        return REDACTED
    if isinstance(value, dict):
        return {_name(key): _member(key, held, depth + 1) for key, held in value.items()}
    return [_redact(one, name, depth + 1) for one in value]


def _member(key: Any, value: Any, depth: int) -> Any:
    name = _WORDS.sub("_", str(key)).lower().replace("-", "_").replace(" ", "_")
    hides = _SECRET_NAME.search(name) and not _ABOUT_A_SECRET.search(name)
    # Whether there is a secret, and that there is none, may be told.
    if hides and value is not None and not isinstance(value, bool) and value not in ("", [], {}):
        return REDACTED
    return _redact(value, name, depth)


def _name(key: Any) -> Any:
    return _text(key, "") if isinstance(key, str) else key


def _text(text: str, name: str) -> str:
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    # 0x and 64 hexadecimal digits are a private key or the hash of a transaction; only the name can tell.
    return text if _PUBLIC_HASH.search(name) else _PRIVATE_HEX.sub(REDACTED, text)
