"""``Idempotency-Key``: a mutation sent twice is done once, and answered the same twice.

What is kept, with the act's own transaction: the answer of each act that was decided (2xx, 409 and 422). Other refusals
(400, 401, 403, 404) did nothing, and their repeat does nothing either, so the key stays free for the mended request.
A key belongs to a person, is kept for a day, and names one request: method, path and body.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import IdempotencyConflict
from accounts.models import IdempotencyKey

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
KEPT_FOR = timedelta(days=1)
_KEY = re.compile(r"[\x20-\x7e]{1,100}")
_KEPT_REFUSALS = frozenset({409, 422})
_KEPT_HEADERS = ("Location",)

Handler = Callable[..., Response]


def idempotent(handler: Handler) -> Handler:
    """Let a POST method of an API view honour ``Idempotency-Key``.

    Two requests with the same key at the same time: the second waits for the first one's end, then gets its answer.

    Raises (within the handler):
        ValidationError: the header is longer than 100 characters or not printable.
        IdempotencyConflict: the key was used before for another request.
    """

    @wraps(handler)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = _key(request)
        if key is None:
            return handler(view, request, *args, **kwargs)
        fingerprint = _fingerprint(request)
        with transaction.atomic():
            _wait_for_turn(request.user.pk, key)
            kept = IdempotencyKey.objects.filter(owner=request.user, key=key).first()
            if kept is not None and kept.created_at > timezone.now() - KEPT_FOR:
                return _replay(kept, fingerprint)
            response = _answer(view, handler, request, *args, **kwargs)
            if response.status_code >= 500:
                transaction.set_rollback(True)
            elif response.status_code < 400 or response.status_code in _KEPT_REFUSALS:
                _keep(request.user, key, fingerprint, response)
            return response

    return wrapper


def _key(request: Request) -> str | None:
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise ValidationError({HEADER: "Send 1 to 100 printable ASCII characters, for example a UUID."})
    return key


def _fingerprint(request: Request) -> str:
    """SHA-256 of method, path and body; the order of the body's members does not matter."""
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{request.method} {request.path}\n{body}".encode()).hexdigest()


def _wait_for_turn(owner: int, key: str) -> None:
    # A lock on a row would need the row first; this one needs none and ends with the transaction.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"idempotency {owner} {key}"])


def _answer(view: Any, handler: Handler, request: Request, *args: Any, **kwargs: Any) -> Response:
    """The handler's answer; a refusal is an answer, too, so that it can be kept."""
    try:
        return handler(view, request, *args, **kwargs)
    except Exception as error:
        return view.handle_exception(error)


def _keep(owner: Any, key: str, fingerprint: str, response: Response) -> None:
    headers = {name: response[name] for name in _KEPT_HEADERS if name in response}
    data = json.loads(JSONRenderer().render(response.data))
    IdempotencyKey.objects.filter(owner=owner, created_at__lt=timezone.now() - KEPT_FOR).delete()
    IdempotencyKey.objects.create(
        owner=owner,
        key=key,
        request=fingerprint,
        status=response.status_code,
        body={"data": data, "headers": headers},
    )


def _replay(kept: IdempotencyKey, fingerprint: str) -> Response:
    if kept.request != fingerprint:
        raise IdempotencyConflict(
            f"The {HEADER} {kept.key!r} was used before for another request. Nothing was done; send a new key."
        )
    problem = "application/problem+json" if kept.status >= 400 else None
    headers = {**kept.body["headers"], REPLAYED: "true"}
    return Response(kept.body["data"], status=kept.status, headers=headers, content_type=problem)
