"""Showing a second factor: a code of an app, a recovery code, or a passkey.

Attempts of one person are looked at one after the other (a lock on the row), so that the limit cannot be outrun. Each
failure is counted and audited and stays so, whatever becomes of the request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

import accounts.audit  # noqa: F401  registers the action names
from accounts import challenges, passkeys, rate_limit, recovery, sessions, totp
from accounts.actors import from_request, from_visitor
from accounts.models import AuthenticatorApp, Challenge, Passkey, User
from audit.actions import record
from audit.models import Outcome

STALE = "The question was answered before, or more than 60 seconds ago. Press the button again."
UNKNOWN = "This passkey is not known here: it may have been removed. Use another one, or a sign-in link."


class WrongProof(Exception):
    """What was shown is not right; the message says what to do."""


def by_code(request: Any, user: User, code: str, purpose: str, at: float | None = None) -> None:
    """Accept the present code of the person's authenticator app; it is used up.

    Args:
        purpose: what it is shown for, kept in the audit trail.
        at: Unix seconds; now when left out.

    Raises:
        WrongProof: wrong, of another moment, or used before.
        TooManyAttempts: the person, or the address, failed too often.
    """
    _attempt(request, user, "totp", purpose, lambda: _use_code(user, code, at))


def by_recovery_code(request: Any, user: User, code: str, purpose: str) -> None:
    """Accept a recovery code; it is used up.

    Raises:
        WrongProof: wrong, or used before.
        TooManyAttempts: the person, or the address, failed too often.
    """

    def use() -> str:
        if not recovery.use(user, code):
            return "This recovery code is wrong or was used before. Each works once."
        record(from_request(request), "recovery.used", user, after={"left": recovery.left(user)})
        return ""

    _attempt(request, user, "recovery", purpose, use)


def by_passkey(request: Any, user: User, answer: str, challenge: Challenge | None, purpose: str) -> None:
    """Accept the answer of one of the person's passkeys to a challenge that was taken for it.

    Raises:
        WrongProof: it does not fit; the message says why.
        TooManyAttempts: the address failed too often. The person's own failures with codes do not matter here.
    """
    _attempt(request, user, "passkey", purpose, lambda: _use_passkey(answer, challenge, user)[1])


def sign_in_by_passkey(request: Any, answer: str, challenge: str) -> User:
    """Open a session with a passkey alone; it says itself whose it is.

    Raises:
        WrongProof: it does not fit; the message says why.
        TooManyAttempts: the address failed too often.
    """
    taken = challenges.take(Challenge.Kind.PASSKEY_SIGN_IN, challenge)
    address = rate_limit.address_of(request)
    with transaction.atomic():
        rate_limit.check(address)
        passkey, why = _use_passkey(answer, taken, None)
        if why or passkey is None:
            rate_limit.fail(address)
            failed(request, "passkey", why, passkey.user if passkey else None)
        else:
            sessions.open(request, passkey.user, "passkey")
    if why or passkey is None:
        raise WrongProof(why)
    return passkey.user


def failed(request: Any, method: str, why: str, user: User | None = None) -> None:
    """Audit an attempt to sign in that failed; call it in a transaction."""
    record(
        from_visitor(request), "account.sign_in_failed", user, outcome=Outcome.FAILED, reason=why, after={"how": method}
    )


def _attempt(request: Any, user: User, method: str, purpose: str, use: Callable[[], str]) -> None:
    """One attempt: ``use`` uses the proof up and returns why not, or nothing."""
    person, address = f"user:{user.pk}", rate_limit.address_of(request)
    counted = (address,) if method == "passkey" else (person, address)
    with transaction.atomic():
        User.objects.select_for_update(of=("self",)).get(pk=user.pk)
        rate_limit.check(*counted)
        why = use()
        if why:
            rate_limit.fail(*counted)
            details = {"method": method, "for": purpose}
            actor = from_request(request)
            record(actor, "account.second_factor_failed", user, outcome=Outcome.FAILED, reason=why, after=details)
        else:
            rate_limit.clear(person)
    if why:
        raise WrongProof(why)


def _use_code(user: User, code: str, at: float | None) -> str:
    app = AuthenticatorApp.objects.select_for_update().filter(user=user, confirmed_at__isnull=False).first()
    if app is None:
        return "You have no authenticator app here."
    try:
        step = totp.matching_step(totp.decrypt(app.seed), code, at)
    except totp.UnreadableSeed as error:
        return str(error)
    if step is None:
        return "This code is not right now. Take the one the app shows at this moment; check the phone's clock."
    if step <= app.last_step:
        return "This code was used before. Wait for the app's next one, at most 30 seconds."
    app.last_step, app.last_used_at = step, timezone.now()
    app.save(update_fields=["last_step", "last_used_at"])
    return ""


def _use_passkey(answer: str, challenge: Challenge | None, user: User | None) -> tuple[Passkey | None, str]:
    """(the passkey that the answer names, why it is refused or nothing)."""
    if challenge is None:
        return None, STALE
    named = None
    try:
        named = passkeys.named_by(answer)
        if named is None or (user is not None and named.user_id != user.pk):
            return None, UNKNOWN
        # The row is locked, so that of two answers with the same use counter one is refused.
        locked = Passkey.objects.select_for_update().get(pk=named.pk)
        locked.user = named.user
        if not locked.user.is_active:
            return locked, "This account is switched off. An Admin can change that."
        count, backed_up = passkeys.check_assertion(answer, challenge, locked)
    except Passkey.DoesNotExist:
        return None, UNKNOWN
    except passkeys.BadAnswer as error:
        return named, str(error)
    locked.sign_count, locked.backed_up, locked.last_used_at = count, backed_up, timezone.now()
    locked.save(update_fields=["sign_count", "backed_up", "last_used_at"])
    return locked, ""
