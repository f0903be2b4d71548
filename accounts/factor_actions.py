"""The use cases of a person's own second factors: enrol, rename, remove, renew.

The first factor of a person brings ten recovery codes, makes the session it was enrolled in a strong one, and ends
every other session, since those were opened without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

import accounts.audit  # noqa: F401  registers the action names
from accounts import challenges, passkeys, proofs, recovery, sessions, totp
from accounts.actors import from_request
from accounts.errors import SecondFactorRequired
from accounts.models import AuthenticatorApp, Challenge, Passkey, User
from accounts.roles import Role
from accounts.use_case import use_case
from audit.actions import record

LAST_OF_ADMIN = (
    "This is the last second factor of an Admin, and an Admin cannot act without one. "
    "Add another one first, then remove this."
)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What came of enrolling a factor."""

    recovery_codes: list[str]
    """Shown this once; empty unless it was the first factor."""


def registration_question(request: Any) -> dict[str, Any]:
    """The challenge for enrolling a passkey, and what ``navigator.credentials.create`` is given.

    Raises:
        SecondFactorRequired: the person has a factor, and this session has not shown it.
        ValidationError: the person has ten passkeys, or the console has no host name.
    """
    user = request.user
    _require_proved(request, user)
    if not passkeys.relying_party():
        raise ValidationError(
            "Passkeys need a host name: an Admin sets OPSC_ORIGIN, for example https://ops.example.com."
        )
    if user.passkeys.count() >= passkeys.MOST:
        raise ValidationError(f"You have {passkeys.MOST} passkeys. Remove one that you do not use any more.")
    challenge = challenges.issue(
        Challenge.Kind.PASSKEY_REGISTER, user, challenges.LONG, bound_to=str(request.session.get("open_id") or "")
    )
    return {"challenge": str(challenge.pk), "public_key": passkeys.registration_options(user, challenge)}


def add_passkey(request: Any, name: str, challenge: str, answer: str) -> Enrolled:
    """Enrol the passkey that the browser has just made.

    Raises:
        WrongProof: the answer does not fit what was asked; the message says why.
        ValidationError: the name is empty or too long, or the passkey is enrolled already.
        SecondFactorRequired: the person has a factor, and this session has not shown it.
    """
    user = request.user
    bound_to = str(request.session.get("open_id") or "")
    taken = challenges.take(Challenge.Kind.PASSKEY_REGISTER, challenge, user, bound_to=bound_to)
    if taken is None:
        raise proofs.WrongProof(
            "The question was answered before, or more than five minutes ago. Press the button again."
        )
    try:
        found = passkeys.check_registration(answer, taken)
    except passkeys.BadAnswer as error:
        raise proofs.WrongProof(str(error)) from error
    passkey = Passkey(
        user=user,
        name=_name(name),
        credential_id=found.credential_id,
        public_key=found.public_key,
        sign_count=found.sign_count,
        transports=found.transports,
        backed_up=found.backed_up,
    )
    return _enrol_passkey(request, passkey)


@use_case
def _enrol_passkey(request: Any, passkey: Passkey) -> Enrolled:
    user = _locked(request)
    first = not sessions.has_second_factor(user)
    try:
        with transaction.atomic():
            passkey.save()
    except IntegrityError:
        raise ValidationError("This passkey is enrolled already.") from None
    details = {"name": passkey.name, "synchronised": passkey.backed_up}
    record(from_request(request), "passkey.added", passkey, after=details)
    return _after_enrolment(request, user, "passkey", first)


@use_case
def rename_passkey(request: Any, passkey: Passkey, name: str) -> None:
    """Give a passkey another name. Raises ValidationError for an empty or too long one."""
    before, passkey.name = passkey.name, _name(name)
    if before != passkey.name:
        passkey.save(update_fields=["name"])
        record(from_request(request), "passkey.renamed", passkey, before={"name": before}, after={"name": passkey.name})


@use_case
def remove_passkey(request: Any, passkey: Passkey, reason: str) -> None:
    """Remove a passkey; the view has asked for a fresh proof (``step_up``).

    Raises:
        ValidationError: no reason, or it is the last factor of an Admin.
    """
    user = _locked(request)
    _require_reason(reason)
    others = user.passkeys.exclude(pk=passkey.pk).exists() or _has_app(user)
    _require_another(user, others)
    record(from_request(request), "passkey.removed", passkey, reason=reason, before={"name": passkey.name})
    passkey.delete()
    _after_removal(user, others)


@use_case
def begin_app(request: Any) -> None:
    """Make the seed of a new authenticator app; it counts once a first code was right.

    Raises:
        ValidationError: the person has one already.
        SecondFactorRequired: the person has a factor, and this session has not shown it.
    """
    user = _locked(request)
    if _has_app(user):
        raise ValidationError("You have an authenticator app. Remove it first, then set up another one.")
    AuthenticatorApp.objects.update_or_create(
        user=user, defaults={"seed": totp.encrypt(totp.new_seed()), "last_step": 0, "confirmed_at": None}
    )


@use_case
def confirm_app(request: Any, code: str, at: float | None = None) -> Enrolled:
    """Enrol the app whose seed was shown, by its first code.

    Raises:
        WrongProof: the code is not right now.
        ValidationError: no app is being set up.
    """
    user = _locked(request)
    app = AuthenticatorApp.objects.select_for_update().filter(user=user, confirmed_at=None).first()
    if app is None:
        raise ValidationError("No authenticator app is being set up. Start again.")
    step = totp.matching_step(totp.decrypt(app.seed), code, at)
    if step is None:
        raise proofs.WrongProof(
            "This code is not right now. Take the one the app shows at this moment; check that the phone's clock is "
            "set by the network."
        )
    first = not sessions.has_second_factor(user)
    app.last_step, app.confirmed_at = step, timezone.now()
    app.save(update_fields=["last_step", "confirmed_at"])
    record(from_request(request), "totp.added", user)
    return _after_enrolment(request, user, "totp", first)


@use_case
def remove_app(request: Any, reason: str) -> None:
    """Remove the authenticator app; the view has asked for a fresh proof (``step_up``).

    Raises:
        ValidationError: no reason, there is none, or it is the last factor of an Admin.
    """
    user = _locked(request)
    _require_reason(reason)
    if not _has_app(user):
        raise ValidationError("You have no authenticator app here.")
    others = user.passkeys.exists()
    _require_another(user, others)
    AuthenticatorApp.objects.filter(user=user).delete()
    record(from_request(request), "totp.removed", user, reason=reason)
    _after_removal(user, others)


@use_case
def renew_recovery_codes(request: Any, reason: str) -> list[str]:
    """Ten new recovery codes, shown this once; the earlier ones end. The view has asked for a fresh proof.

    Raises:
        ValidationError: no reason, or the person has no second factor that the codes could stand in for.
    """
    user = _locked(request)
    _require_reason(reason)
    if not sessions.has_second_factor(user):
        raise ValidationError("Recovery codes stand in for a passkey or an authenticator app. Add one first.")
    codes = recovery.renew(user)
    record(from_request(request), "recovery.renewed", user, reason=reason, after={"count": len(codes)})
    return codes


def _after_enrolment(request: Any, user: User, method: str, first: bool) -> Enrolled:
    codes: list[str] = []
    if first:
        codes = recovery.renew(user)
        record(from_request(request), "recovery.renewed", user, after={"count": len(codes)})
        sessions.end_others(from_request(request), user, request.session.get("open_id"))
    sessions.add_method(request, method)
    return Enrolled(codes)


def _after_removal(user: User, others: bool) -> None:
    """Without a factor there is nothing that a recovery code could stand in for."""
    if not others:
        user.recovery_codes.all().delete()


def _locked(request: Any) -> User:
    """The person, their row locked: factors come and go one at a time."""
    user = User.objects.select_for_update(of=("self",)).get(pk=request.user.pk)
    _require_proved(request, user)
    return user


def _require_proved(request: Any, user: User) -> None:
    # Whoever holds a link alone must not add a factor to somebody who has one.
    if not sessions.is_strong(request.session) and sessions.has_second_factor(user):
        raise SecondFactorRequired("Show your second factor first: /login/second/.")


def _require_another(user: User, others: bool) -> None:
    if not others and user.role == Role.ADMIN:
        raise ValidationError(LAST_OF_ADMIN)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise ValidationError("Give a reason; it stands in the audit trail.")


def _has_app(user: User) -> bool:
    return AuthenticatorApp.objects.filter(user=user, confirmed_at__isnull=False).exists()


def _name(text: str) -> str:
    name = " ".join(text.replace("\x00", "").split())
    if not 1 <= len(name) <= 60:
        raise ValidationError("Give the passkey a name of up to 60 characters, for example: work laptop.")
    return name
