"""Step-up: a dangerous act (interface, level L3) takes a fresh proof that is bound to exactly this act.

A page draws ``templates/ui/step_up.html`` from ``offer`` inside its form, and its view calls ``confirm`` before the use
case::

    step_up.confirm(request, "passkey.removed", passkey, passkey.name)

The proof is an answer of a passkey to a challenge for this act (60 s, once), or the present code of an authenticator
app, which works once. Both are bound to SHA-256 of action, object and nonce, and to the session. A recovery code does
not serve.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from django.core import signing
from django.db import models, transaction
from django.utils.functional import SimpleLazyObject
from django.utils.text import slugify

import accounts.audit  # noqa: F401  registers the action names
from accounts import challenges, passkeys, proofs, sessions
from accounts.actors import from_request
from accounts.errors import StepUpFailed, StepUpRequired
from accounts.models import APIKey, Challenge, User
from audit.actions import record

FORM_LIFETIME = 600
"""Seconds for which a form that was drawn can be answered with a code; the code itself is of this very moment."""
_SALT = "accounts.step_up"


@dataclass(frozen=True, slots=True)
class Given:
    """What a form or an API request brought."""

    challenge: str
    code: str
    assertion: str
    name: str | None
    """The object's name, typed by hand; None over the API, where the address names the object."""


def offer(
    request: Any, action: str, subject: models.Model | str, name: str, error: Exception | str | None = None
) -> dict[str, Any]:
    """What ``ui/step_up.html`` needs to ask for the proof of one act.

    Args:
        action: the audited name of the act.
        subject: the object it is done to, or text that names it.
        name: what the person has to type.
        error: why the attempt before was refused; what was typed then is kept.
    """
    posted = request.POST if error else {}
    ref = reference(subject)
    return {
        "id": slugify(f"step-{action}-{ref}"),
        "action": action,
        "object": ref,
        "ask": json.dumps({"action": action, "object": ref}),
        "name": name,
        "typed": posted.get("name_typed", ""),
        "reason": posted.get("reason", ""),
        "error": " ".join(getattr(error, "messages", None) or [str(error)]) if error else "",
        "has_passkey": SimpleLazyObject(lambda: request.user.passkeys.exists() and bool(passkeys.relying_party())),
        "has_app": SimpleLazyObject(lambda: _has_app(request.user)),
        "passkeys_at": passkeys.elsewhere(request),
        "challenge": SimpleLazyObject(lambda: _form_challenge(request, action, ref)),
    }


def confirm(request: Any, action: str, subject: models.Model | str, name: str) -> None:
    """Check the fresh proof that a form (or a JSON body, member ``step_up``) brings for one act.

    On success the session gets a new key, and ``account.confirmed`` is audited.

    Raises:
        StepUpRequired: there is no proof, or the request comes with an API key, which can never do such an act.
        StepUpFailed: the name was typed wrongly, or the proof is wrong, used, too old or for another act.
        TooManyAttempts: too many wrong codes.
    """
    given = _given(request)
    if isinstance(getattr(request, "auth", None), APIKey):
        raise StepUpRequired("An API key cannot do this: a person confirms it on the page, with a passkey or a code.")
    if given.name is not None and given.name.strip() != name:
        raise StepUpFailed(f"Type the name exactly as it stands here: {name}")
    if not given.code and not given.assertion:
        raise StepUpRequired("Confirm with your passkey, or with the code that your authenticator app shows now.")
    try:
        method = _prove(request, given, action, reference(subject))
    except proofs.WrongProof as error:
        raise StepUpFailed(str(error)) from error
    with transaction.atomic():
        sessions.cycle(request)
        about = subject if isinstance(subject, models.Model) else None
        record(from_request(request), "account.confirmed", about, after={"action": action, "method": method})


def question(request: Any, action: str, ref: str) -> dict[str, Any]:
    """A challenge for one act, for a script: its id, and what ``navigator.credentials.get`` is given.

    Args:
        ref: the object as ``<kind>:<id>``, for example ``passkey:3``.
    """
    asked = challenges.issue(
        Challenge.Kind.STEP_UP, request.user, bound_to=_session(request), act=lambda nonce: _digest(action, ref, nonce)
    )
    usable = passkeys.relying_party() and request.user.passkeys.exists()
    return {
        "challenge": str(asked.pk),
        "expires_at": asked.expires_at,
        "public_key": passkeys.sign_in_options(asked, request.user) if usable else None,
    }


def reference(subject: models.Model | str) -> str:
    """An object as the audit trail names it: ``passkey:3``."""
    return subject if isinstance(subject, str) else f"{subject._meta.model_name}:{subject.pk}"


def _prove(request: Any, given: Given, action: str, ref: str) -> str:
    """Check the proof; how it was proved."""
    user: User = request.user
    challenge = challenges.take(Challenge.Kind.STEP_UP, given.challenge, user, bound_to=_session(request))
    if challenge is not None and challenge.act != _digest(action, ref, challenge.nonce):
        raise StepUpFailed("The confirmation was for another act. Nothing was done; load the page again.")
    if given.assertion:
        proofs.by_passkey(request, user, given.assertion, challenge, action)
        return "passkey"
    if challenge is None and not _is_of_form(request, given.challenge, action, ref):
        raise StepUpFailed("This form is too old, or from another session. Nothing was done; load the page again.")
    proofs.by_code(request, user, given.code, action)
    return "totp"


def _given(request: Any) -> Given:
    data = getattr(request, "data", None)
    if data is None:
        sent = request.POST
        fields = {name: sent.get(name, "") for name in ("challenge", "code", "assertion")}
        return Given(name=sent.get("name_typed", ""), **fields)
    member = data.get("step_up") if hasattr(data, "get") else None
    member = member if isinstance(member, dict) else {}
    fields = {name: _text(member.get(name)) for name in ("challenge", "code", "assertion")}
    return Given(name=None, **fields)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _form_challenge(request: Any, action: str, ref: str) -> str:
    nonce = secrets.token_hex(16)
    return signing.dumps([nonce, _digest(action, ref, nonce), _session(request)], salt=_SALT, compress=False)


def _is_of_form(request: Any, text: str, action: str, ref: str) -> bool:
    try:
        nonce, act, session = signing.loads(text, salt=_SALT, max_age=FORM_LIFETIME)
    except (signing.BadSignature, ValueError, TypeError):
        return False
    return act == _digest(action, ref, nonce) and session == _session(request)


def _session(request: Any) -> str:
    """The session that may answer: its row in the list, which stays the same when the key changes."""
    return f"{request.user.pk}.{request.session.get('open_id') or request.session.session_key}"[:40]


def _digest(action: str, ref: str, nonce: str) -> str:
    return hashlib.sha256(f"{action}\n{ref}\n{nonce}".encode()).hexdigest()


def _has_app(user: User) -> bool:
    app = getattr(user, "authenticator_app", None)
    return app is not None and app.confirmed_at is not None
