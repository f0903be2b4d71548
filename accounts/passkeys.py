"""Passkeys (WebAuthn level 3): what the browser is asked, and what its answer is checked for.

The origin is exactly ``OPSC_ORIGIN`` (``settings``) and the relying party its host name, so a passkey of this console
answers at no other address. User verification (PIN, finger, face) is always required: a passkey is two factors in one.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json_dict
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from accounts.models import Challenge, Passkey, User

NAME = "OpsConsole"
LONGEST_ANSWER = 16_000
"""Characters of an answer; a real one has about a thousand."""
MOST = 10
"""Passkeys of one person."""


class BadAnswer(Exception):
    """The browser's answer does not prove the passkey; the message says why."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A new credential, as the authenticator made it."""

    credential_id: str
    public_key: bytes
    sign_count: int
    transports: list[str]
    backed_up: bool


def relying_party() -> str:
    """The host name of the console; empty when people reach it by an IP address, where passkeys cannot work."""
    host = urlsplit(settings.OPSC_ORIGIN).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return ""


def elsewhere(request: HttpRequest) -> str:
    """The address at which passkeys work, when this page was opened at another one; else empty."""
    here = f"{request.scheme}://{request.get_host()}"
    return settings.OPSC_ORIGIN if here != settings.OPSC_ORIGIN else ""


def handle_of(user: User) -> bytes:
    """What an authenticator keeps to tell accounts apart; it names nobody (WebAuthn, 14.6.1)."""
    return user.pk.to_bytes(8, "big")


def registration_options(user: User, challenge: Challenge) -> dict[str, Any]:
    """What ``navigator.credentials.create`` is given, as JSON."""
    options = generate_registration_options(
        rp_id=relying_party(),
        rp_name=NAME,
        user_id=handle_of(user),
        user_name=user.username,
        user_display_name=user.display_name,
        challenge=challenge.nonce.encode(),
        timeout=120_000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=_descriptors(user),
    )
    return options_to_json_dict(options)


def sign_in_options(challenge: Challenge, user: User | None = None) -> dict[str, Any]:
    """What ``navigator.credentials.get`` is given, as JSON; without a person any passkey of this console may answer."""
    options = generate_authentication_options(
        rp_id=relying_party(),
        challenge=challenge.nonce.encode(),
        timeout=60_000,
        allow_credentials=_descriptors(user) if user else None,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json_dict(options)


def check_registration(answer: str, challenge: Challenge) -> Registered:
    """The credential of an answer to ``registration_options``.

    Raises:
        BadAnswer: it was not made for this challenge, origin and console, or without user verification.
    """
    credential = _parsed(answer)
    try:
        found = verify_registration_response(
            credential=credential,
            expected_challenge=challenge.nonce.encode(),
            expected_rp_id=relying_party(),
            expected_origin=settings.OPSC_ORIGIN,
            require_user_verification=True,
        )
    except Exception as error:  # noqa: BLE001 - whatever a malformed answer makes the parsers raise is a refusal
        raise BadAnswer(_why(error)) from error
    response = credential.get("response")
    given = response.get("transports") if isinstance(response, dict) else None
    known = [value.value for value in AuthenticatorTransport]
    return Registered(
        credential_id=bytes_to_base64url(found.credential_id),
        public_key=found.credential_public_key,
        sign_count=found.sign_count,
        transports=[text for text in known if text in given] if isinstance(given, list) else [],
        backed_up=found.credential_backed_up,
    )


def named_by(answer: str) -> Passkey | None:
    """The passkey that an answer says it comes from, its owner and the owner's groups loaded."""
    credential = _parsed(answer)
    name = credential.get("id")
    if not isinstance(name, str) or not name.isascii() or "\x00" in name:
        return None
    found = Passkey.objects.select_related("user").prefetch_related("user__groups")
    return found.filter(credential_id=name.rstrip("=")).first()


def check_assertion(answer: str, challenge: Challenge, passkey: Passkey) -> tuple[int, bool]:
    """(new sign count, backed up) of an answer to ``sign_in_options``.

    Raises:
        BadAnswer: the signature, challenge, origin, console or person does not fit, the person was not verified, or the
            sign count went back.
    """
    credential = _parsed(answer)
    try:
        found = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge.nonce.encode(),
            expected_rp_id=relying_party(),
            expected_origin=settings.OPSC_ORIGIN,
            credential_public_key=bytes(passkey.public_key),
            credential_current_sign_count=0,  # compared below, so that a copied passkey is told from a wrong one
            require_user_verification=True,
        )
        handle = credential["response"].get("userHandle")
        fits = handle is None or base64url_to_bytes(handle) == handle_of(passkey.user)
    except Exception as error:  # noqa: BLE001 - see check_registration
        raise BadAnswer(_why(error)) from error
    if not fits:
        raise BadAnswer("The passkey names another person.")
    if (found.new_sign_count or passkey.sign_count) and found.new_sign_count <= passkey.sign_count:
        raise BadAnswer(
            f"The passkey's use counter went back ({passkey.sign_count} to {found.new_sign_count}): "
            "it may have been copied. Remove it and enrol a new one."
        )
    return found.new_sign_count, found.credential_backed_up


def _descriptors(user: User) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(
            id=base64url_to_bytes(passkey.credential_id),
            transports=[AuthenticatorTransport(text) for text in passkey.transports] or None,
        )
        for passkey in user.passkeys.all()
    ]


def _parsed(answer: str) -> dict[str, Any]:
    """The answer as JSON object; BadAnswer when it is none, or far too long."""
    if len(answer) > LONGEST_ANSWER:
        raise BadAnswer("The browser's answer is too long.")
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadAnswer("The browser sent no answer of a passkey. Press the button again.")
    return found


def _why(error: Exception) -> str:
    """The reason in words: of the library's texts only the two that help; they never hold a secret."""
    text = str(error)
    if "verification is required" in text:
        return "The device did not verify the person: unlock it with a PIN, finger or face."
    if "origin" in text or "RP ID" in text:
        return f"The passkey answered for another address; this console is at {settings.OPSC_ORIGIN}."
    return "The passkey's answer does not fit what was asked."
