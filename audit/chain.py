"""The hash chain over the audit records: how a record becomes bytes, and how entries follow each other.

Anybody can compute it anew, in any language, from the fields of the records:

*Canonical form* of a record: UTF-8 JSON of an object with the members of ``FIELDS``, no white space, members of every
object sorted by the code points of their names, and

- ``at`` as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``: UTC, always six digits of a second; ``uuid`` in lower case with dashes;
- numbers as plain decimals: no exponent, no plus sign, no zeros that change nothing (``1.50`` is ``1.5``, ``1e3`` is
  ``1000``, ``-0`` is ``0``), with all their digits however many;
- in strings ``\\b \\t \\n \\f \\r \\" \\\\`` escaped so, other characters below U+0020 as ``\\u00xx`` (lower
  case), everything else as it is; U+0000 and unpaired surrogates do not occur;
- what is missing as ``null``.

*Digest* of a record: SHA-256 of its canonical form. *Hash* of entry n: SHA-256 of the 32 bytes of the hash of entry
n - 1 and the 32 bytes of the digest of the record at n. The hash of entry 0, before the first, is 32 zero bytes.
Entries are numbered 1, 2, 3 … in the order in which records were put into the chain, not by their ids.

No Django and no database in here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from json.encoder import encode_basestring as _quoted
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audit.models import Record

GENESIS = bytes(32)
"""Hash of the entry before the first."""
FIELDS = (
    "id",
    "uuid",
    "at",
    "actor_id",
    "actor_name",
    "via",
    "role",
    "action",
    "object_type",
    "object_id",
    "object_name",
    "environment",
    "outcome",
    "reason",
    "before",
    "after",
    "request_id",
    "address",
)
"""What of a record is in the chain: all of it."""
_DECODER = json.JSONDecoder(parse_float=Decimal)
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def record_fields(record: Record) -> dict[str, Any]:
    """The fields of a record as JSON knows them; this is what ``canonical`` takes and what an export carries."""
    fields = {name: getattr(record, name) for name in FIELDS}
    fields["uuid"] = str(record.uuid)
    fields["at"] = moment(record.at)
    return fields


def moment(at: datetime) -> str:
    """A time as it stands in the canonical form."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def canonical(fields: dict[str, Any]) -> bytes:
    """The canonical form (see above).

    Raises:
        ValueError: a value cannot be in a record: NUL, an unpaired surrogate, NaN, infinity.
        TypeError: a value of another type than JSON has.
    """
    text = _text(fields)
    if "\\u0000" in text and _NUL.search(text):
        raise ValueError("NUL cannot be in an audit record")
    return text.encode()


def digest(fields: dict[str, Any]) -> bytes:
    """SHA-256 of the canonical form. Raises as ``canonical``."""
    return hashlib.sha256(canonical(fields)).digest()


def link(prev: bytes, digest: bytes) -> bytes:
    """The hash of an entry, from the hash of the entry before it and the digest of its record."""
    return hashlib.sha256(prev + digest).digest()


def loads(text: str | bytes) -> Any:
    """JSON with every number kept as it is written: whole ones as int, others as Decimal. Raises ValueError."""
    given = text if isinstance(text, str) else text.decode()
    try:
        return _DECODER.decode(given)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than int() takes
        return json.loads(given, parse_float=Decimal, parse_int=Decimal)


def _text(value: Any) -> str:
    write = _WRITERS.get(type(value))
    if write is None and isinstance(value, str):  # a member of an enumeration
        write = _quoted
    if write is None:
        raise TypeError(f"{type(value).__name__} cannot be in an audit record")
    return write(value)


def _object(value: dict[str, Any]) -> str:
    try:  # every record comes through here, so without a call more for each member
        parts = [f"{_quoted(name)}:{_WRITERS[type(value[name])](value[name])}" for name in sorted(value)]
    except KeyError:
        parts = [f"{_quoted(name)}:{_text(value[name])}" for name in sorted(value)]
    return "{" + ",".join(parts) + "}"


def _array(value: list[Any] | tuple[Any, ...]) -> str:
    return "[" + ",".join([_text(one) for one in value]) + "]"


def _decimal(number: Decimal) -> str:
    if not number.is_finite():
        raise ValueError(f"{number} cannot be in an audit record")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: _quoted,
    int: str,
    bool: lambda value: "true" if value else "false",
    type(None): lambda value: "null",
    dict: _object,
    list: _array,
    tuple: _array,
    float: lambda value: _decimal(Decimal(repr(value))),
    Decimal: _decimal,
}
