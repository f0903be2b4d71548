"""Signing in: the challenge, the signature, the 15-minute token, and the next one when it ran out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opsctl import ssh
from opsctl.config import Settings
from opsctl.errors import NotSignedIn, OpsctlError, UsageProblem
from opsctl.store import SignIn, Store, ends_at

Post = Callable[[str, dict[str, Any]], Any]
"""Sends a body to an address below ``/api/v1/`` without a credential; the answer."""
TITLE = "OpsConsole sign-in"
"""First line of what is signed."""
TRIED_KEYS = 3
"""The console counts failed sign-ins; a person with a dozen keys must not be locked out by the first eleven."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a sign-in asks for; None asks for everything that the person may do."""

    scopes: list[str] | None = None
    environments: list[str] | None = None

    def body(self) -> dict[str, Any]:
        """The members of the request."""
        asked = {"scopes": self.scopes, "environments": self.environments}
        return {name: value for name, value in asked.items() if value is not None}


def check_message(message: str, url: str) -> None:
    """Refuse to sign anything but a sign-in to the console that is being talked to.

    A console that passes on the challenge of another one would get a signature that opens the other one.

    Raises:
        NotSignedIn: the message names another console, or none.
    """
    first, *rest = message.splitlines() or [""]
    named = dict(line.split(": ", 1) for line in rest if ": " in line)
    audience = named.get("audience", "") if first == TITLE else ""
    if audience.rstrip("/") != url:
        raise NotSignedIn(
            f"Not signed: the sign-in that {url} asked for is for {audience or 'no console'}.",
            "Use the address at which the console is open to people. If you do, tell an Admin: somebody may stand "
            "between you and the console.",
        )


def sign_in(post: Post, url: str, key: ssh.Key, bounds: Bounds, *, interactive: bool) -> SignIn:
    """Sign in with one key.

    Raises:
        NotSignedIn: it could not be signed, or the console did not accept it.
        OpsctlError: the console could not be reached, or refused for another reason.
    """
    challenge = post("login/ssh/challenge/", {"fingerprint": key.fingerprint})
    message = str(challenge["message"])
    if challenge.get("namespace") != ssh.NAMESPACE:
        raise NotSignedIn(f"Not signed: {url} asked for a signature that is no sign-in.")
    check_message(message, url)
    signature = ssh.sign(key, message, interactive=interactive)
    answer = post("login/ssh/", {"challenge": challenge["challenge"], "signature": signature, **bounds.body()})
    user = answer.get("user") or {}
    return SignIn(
        url=url,
        token=str(answer["token"]),
        expires_at=str(answer["expires_at"]),
        user=str(user.get("username") or user.get("name") or ""),
        fingerprint=key.fingerprint,
        key=str(key.file or ""),
        scopes=bounds.scopes,
        environments=bounds.environments,
    )


def try_keys(post: Post, url: str, keys: list[ssh.Key], bounds: Bounds, *, interactive: bool) -> SignIn:
    """Sign in with the first key that the console knows.

    Raises:
        NotSignedIn: with none of them; the text names those that were tried.
        OpsctlError: the console could not be reached, or refused for another reason.
    """
    if not keys:
        raise NotSignedIn(
            "No SSH key was found, neither in an agent nor in ~/.ssh.",
            "Make one with ssh-keygen -t ed25519 and add its .pub file to your account, or use an API key.",
        )
    refusals: list[NotSignedIn] = []
    for key in keys[:TRIED_KEYS]:
        try:
            return sign_in(post, url, key, bounds, interactive=interactive)
        except NotSignedIn as refusal:
            refusals.append(refusal)
    if len(refusals) == 1:
        raise refusals[0]
    raise NotSignedIn(
        f"{url} accepted none of these keys: {ssh.names(keys[:TRIED_KEYS])}. The last answer: {refusals[-1]}",
        "Name the key that is in your account: opsctl login --key FILE",
        problem=refusals[-1].problem,
    )


class Credentials:
    """The token of each request, and a new one when the kept sign-in ran out.

    Args:
        interactive: a person is there, who may be asked for a passphrase.
    """

    def __init__(self, settings: Settings, store: Store, environ: Mapping[str, str], *, interactive: bool) -> None:
        self._settings, self._store, self._environ, self._interactive = settings, store, environ, interactive
        self._kept = None if settings.token else store.load(settings.url)

    @property
    def is_api_key(self) -> bool:
        """An API key is used, which has an end that somebody must see coming."""
        return bool(self._settings.token)

    @property
    def origin(self) -> str:
        """Where the API key was found, in words."""
        return self._settings.token_from

    @property
    def kept(self) -> SignIn | None:
        """The sign-in that is used; None with an API key, or without one."""
        return self._kept

    def token(self, post: Post) -> str:
        """What to send.

        Raises:
            NotSignedIn: there is none.
        """
        if self._settings.token:
            return self._settings.token
        if self._kept is None:
            raise NotSignedIn(
                f"You are not signed in to {self._settings.url}.",
                "Sign in: opsctl login. Without SSH: put an API key into OPSCTL_TOKEN.",
            )
        if not self._kept.is_usable():
            self.renew(post)
        return self._kept.token

    def renew(self, post: Post) -> None:
        """Sign in again with the same key and the same bounds.

        Raises:
            NotSignedIn: it cannot be done without a person.
        """
        kept = self._kept
        if kept is None:
            raise NotSignedIn(f"{self._settings.url} does not accept the API key of {self._settings.token_from}.")
        key = self._key(kept)
        if key is None:
            raise _ran_out(kept, "its key is not on this machine any more")
        try:
            bounds = Bounds(kept.scopes, kept.environments)
            self._kept = sign_in(post, kept.url, key, bounds, interactive=self._interactive)
        except NotSignedIn as error:
            raise _ran_out(kept, str(error).rstrip(".")) from None
        keep(self._store, self._kept)

    def _key(self, kept: SignIn) -> ssh.Key | None:
        wanted = Path(kept.key) if kept.key else None
        try:
            found = ssh.candidates(wanted, self._environ)
        except UsageProblem:
            return None
        return next((key for key in found if key.fingerprint == kept.fingerprint), None)


def keep(store: Store, found: SignIn) -> None:
    """Keep a sign-in for the next command; without a place for it, this command goes on with it all the same."""
    try:
        store.save(found)
    except OSError as error:
        print(f"opsctl: the sign-in could not be kept in {store.folder}: {error}", file=sys.stderr)


def _ran_out(kept: SignIn, why: str) -> OpsctlError:
    ended = ends_at(kept.expires_at)
    return NotSignedIn(
        f"Your sign-in to {kept.url} ended at {ended:%H:%M:%S} UTC and could not be renewed: {why}.",
        "Sign in: opsctl login",
    )
