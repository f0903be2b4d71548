"""Single sign-on by OpenID Connect, as a setting: the authorization code flow with PKCE (S256), state and nonce.

OpenID Connect Core 1.0 (section 3.1), Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (issuer in the answer). The provider
says who somebody is; who may enter and with which role is decided here alone. Nobody is created by signing in.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from django.conf import settings
from django.utils.crypto import constant_time_compare
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from accounts import rate_limit, refusals, sessions
from accounts.errors import SignInRefused
from accounts.models import User

logger = logging.getLogger(__name__)
SESSION_KEY = "oidc"
ATTEMPT_SECONDS = 600
"""How long somebody may take at the provider."""
TIMEOUT = (3.0, 5.0)
"""Seconds to connect to the provider, and to wait for each part of its answer."""
LARGEST = 64 * 1024
"""Bytes of an answer of the provider that are read."""
LEEWAY = 30
"""Seconds by which the provider's clock may differ."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by key pairs only: never ``none``, nor one that the client's secret could make."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What the provider says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_itself: bool
    """Whether its answers carry ``iss`` (RFC 9207)."""


def is_on() -> bool:
    """Whether a provider is set."""
    return bool(settings.OIDC_ISSUER)


def begin(request: Any, redirect_uri: str, wanted: str) -> str:
    """Remember an attempt in the session; the address at the provider to go to.

    Args:
        wanted: where to go after signing in; the caller has checked that it is a page of this console.

    Raises:
        SignInRefused: the provider cannot be reached, or says nothing usable.
        TooManyAttempts: signing in from this address failed too often.
    """
    rate_limit.check(rate_limit.address_of(request))
    try:
        provider = _discover()
    except SignInRefused as error:
        refusals.note(request, "oidc", error)
        raise
    attempt = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    request.session[SESSION_KEY] = {**attempt, "next": wanted, "at": time.time()}
    with _client(redirect_uri) as client:
        url, _ = client.create_authorization_url(
            provider.authorization_endpoint,
            state=attempt["state"],
            nonce=attempt["nonce"],
            code_verifier=attempt["verifier"],
        )
    return str(url)


def finish(request: Any, redirect_uri: str) -> str:
    """Sign in whom the provider names in its answer; where to go then.

    Raises:
        SignInRefused: the answer is not to this browser's question or not right, or the person may not enter here.
        TooManyAttempts: signing in from this address failed too often.
    """
    rate_limit.check(rate_limit.address_of(request))
    attempt = request.session.pop(SESSION_KEY, None)
    try:
        claims = _claims(attempt, request.GET, redirect_uri)
        user = _person(claims)
    except SignInRefused as error:
        refusals.note(request, "oidc", error)
        raise
    sessions.open(request, user, "oidc", also=("oidc_mfa",) if _is_strong(claims) else ())
    return str(attempt["next"])


def _claims(attempt: Any, answer: Any, redirect_uri: str) -> dict[str, Any]:
    """The checked claims of the ID token that an answer leads to."""
    if not attempt or time.time() - attempt["at"] > ATTEMPT_SECONDS:
        raise SignInRefused("oidc_refused", "This browser did not ask for it, or too long ago. Begin again.")
    if not constant_time_compare(answer.get("state", ""), attempt["state"]):
        raise SignInRefused("oidc_refused", "The answer is not to the question of this browser. Begin again.")
    if "error" in answer or not answer.get("code"):
        said = answer.get("error", "")
        words = f" It says: {said}." if re.fullmatch(r"[a-z_]{1,40}", said) else ""
        raise SignInRefused("oidc_refused", f"The provider did not sign you in.{words}")
    provider = _discover()
    if ("iss" in answer or provider.names_itself) and answer.get("iss") != settings.OIDC_ISSUER:
        raise SignInRefused("oidc_refused", "The answer comes from another provider.")
    try:
        return _id_token(
            provider, _tokens(provider, answer["code"], attempt["verifier"], redirect_uri), attempt["nonce"]
        )
    except (JoseError, AuthlibBaseError, KeyError, TypeError, ValueError) as error:
        raise SignInRefused(
            "oidc_refused", f"What the provider answered is not right ({type(error).__name__}). Begin again."
        ) from error


def _tokens(provider: Provider, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
    with _client(redirect_uri) as client:
        try:
            return client.fetch_token(
                provider.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _unreachable(error) from error


def _id_token(provider: Provider, tokens: dict[str, Any], nonce: str) -> dict[str, Any]:
    """OpenID Connect Core, section 3.1.3.7: signature, issuer, audience, authorized party, expiry, nonce."""
    keys = KeySet.import_key_set(_fetch(provider.jwks_uri))  # type: ignore[arg-type]  # checked by what it raises
    token = jwt.decode(tokens["id_token"], keys, algorithms=ALGORITHMS)
    claims = CodeIDToken(
        token.claims,
        token.header,
        options={
            "iss": {"essential": True, "value": settings.OIDC_ISSUER},
            "aud": {"essential": True, "value": settings.OIDC_CLIENT_ID},
            "exp": {"essential": True},
        },
        params={"nonce": nonce, "client_id": settings.OIDC_CLIENT_ID, "access_token": tokens.get("access_token")},
    )
    claims.validate(leeway=LEEWAY)
    return dict(claims)


def _person(claims: dict[str, Any]) -> User:
    name = claims.get(settings.OIDC_USERNAME_CLAIM)
    checked = settings.OIDC_USERNAME_CLAIM != "email" or claims.get("email_verified") is True
    is_name = isinstance(name, str) and checked and "\x00" not in name
    user = User.objects.filter(username=name, is_active=True).first() if is_name else None
    if user is None:
        raise SignInRefused(
            "oidc_unknown_person", "The provider knows you, but this console does not. An Admin can invite you: People."
        )
    return user


def _is_strong(claims: dict[str, Any]) -> bool:
    """Whether the provider says that a second factor was shown, in words that the settings trust."""
    said = claims.get("amr") or []
    words = {word for word in [*said, claims.get("acr")] if isinstance(word, str)}
    return bool(words & set(settings.OIDC_STRONG_AMR))


def _discover() -> Provider:
    found = _fetch(settings.OIDC_ISSUER.rstrip("/") + "/.well-known/openid-configuration")
    if found.get("issuer") != settings.OIDC_ISSUER:
        raise SignInRefused(
            "oidc_unavailable", "The provider names another issuer than OPSC_OIDC_ISSUER. Tell an Admin."
        )
    addresses = [str(found.get(name)) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    if not all(map(_is_safe, addresses)):
        raise SignInRefused("oidc_unavailable", "The provider names addresses that are not HTTPS. Tell an Admin.")
    authorization, token, keys = addresses
    return Provider(authorization, token, keys, found.get("authorization_response_iss_parameter_supported") is True)


def _is_safe(address: str) -> bool:
    """HTTPS, or plain HTTP at the very host of an issuer that the settings permit without."""
    found, issuer = urlsplit(address), urlsplit(settings.OIDC_ISSUER)
    return found.scheme == "https" or (issuer.scheme == "http" == found.scheme and found.hostname == issuer.hostname)


def _fetch(address: str) -> dict[str, Any]:
    """A JSON object of the provider: within the time limits, 64 KB at most, no redirects."""
    try:
        with requests.get(address, auth=_no_auth, timeout=TIMEOUT, allow_redirects=False, stream=True) as answer:
            if answer.status_code != 200:
                raise SignInRefused("oidc_unavailable", f"The provider answers {answer.status_code}. Tell an Admin.")
            found = json.loads(answer.raw.read(LARGEST, decode_content=True))
    except requests.RequestException as error:
        raise _unreachable(error) from error
    except ValueError as error:
        raise SignInRefused("oidc_unavailable", "The provider's answer cannot be read. Tell an Admin.") from error
    if not isinstance(found, dict):
        raise SignInRefused("oidc_unavailable", "The provider's answer cannot be read. Tell an Admin.")
    return found


def _no_auth(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Named so that no password from ``~/.netrc`` is sent along."""
    return prepared


def _client(redirect_uri: str) -> OAuth2Session:
    try:
        secret = settings.OIDC_CLIENT_SECRET() if settings.OIDC_CLIENT_SECRET else None
    except Exception as error:  # the reference leads nowhere; its own app stands above this one
        logger.exception("the secret of OPSC_OIDC_CLIENT_SECRET cannot be read")
        raise SignInRefused("oidc_unavailable", "Single sign-on is not set up completely. Tell an Admin.") from error
    return OAuth2Session(
        settings.OIDC_CLIENT_ID,
        secret,
        scope="openid profile email",
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        default_timeout=TIMEOUT,
    )


def _unreachable(error: Exception) -> SignInRefused:
    return SignInRefused(
        "oidc_unavailable", f"The provider does not answer ({type(error).__name__}). Use another way to sign in."
    )
