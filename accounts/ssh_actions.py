"""The use cases of SSH keys: enrol, remove, and sign in from a command line.

Signing in: ask for a challenge, sign its text with ``ssh-keygen -Y sign -n opsconsole-login@v1``, send the signature,
get a token for 15 minutes. The signature must be over exactly the text of an unused challenge of this console, made
with a key that is enrolled: the key that stands in the signature only says which one to look for.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

import accounts.audit  # noqa: F401  registers the action names
from accounts import challenges, key_actions, links, rate_limit, refusals, ssh
from accounts.authority import require_admin, require_self
from accounts.errors import KeyStateError, SignInRefused
from accounts.limits import SCOPES
from accounts.models import APIKey, Challenge, SSHKey, User
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor

LIFETIME = timedelta(minutes=15)
"""How long a command line stays signed in."""
MOST_KEYS = 20
"""SSH keys of one person."""
_SSH = str(Challenge.Kind.SSH)
_BROWSER = links.Kind.BROWSER


@use_case
def add_ssh_key(actor: Actor, owner: User, line: str, name: str = "") -> SSHKey:
    """Enrol a public key, given as the line of a ``.pub`` file; without a name the line's comment is its name.

    Raises:
        Forbidden: the key is for somebody else.
        ValidationError: the text is no acceptable public key (it is not repeated), or it is enrolled already.
    """
    require_self(actor, owner, "add SSH keys of somebody else")
    try:
        key = ssh.read_public_key(line)
    except ssh.BadKey as error:
        raise ValidationError({"public_key": str(error)}) from None
    if SSHKey.objects.filter(fingerprint=key.fingerprint).exists():
        raise ValidationError({"public_key": f"{key.fingerprint} is enrolled already; a key belongs to one person."})
    if owner.ssh_keys.count() >= MOST_KEYS:
        raise ValidationError({"public_key": f"At most {MOST_KEYS} SSH keys: remove one that is not used any more."})
    made = SSHKey(
        user=owner,
        name=(name.strip() or key.comment or "SSH key")[:100].replace("\x00", ""),
        public_key=key.text,
        fingerprint=key.fingerprint,
    )
    made.full_clean()
    made.save()
    record(actor, "ssh_key.added", made, after=_described(made))
    return made


@use_case
def remove_ssh_key(actor: Actor, key: SSHKey) -> None:
    """Remove a key; whoever is signed in from a command line has to sign in again.

    Raises:
        Forbidden: it is somebody else's and the actor is no Admin.
    """
    if actor.user is None or actor.user.pk != key.user_id:
        require_admin(actor, "remove SSH keys of others")
    record(actor, "ssh_key.removed", key, before=_described(key))
    key_actions.end_logins(actor, key.user)
    key.delete()


def new_challenge(origin: str, fingerprint: str) -> tuple[Challenge, str]:
    """A challenge and the text to sign; the same for keys that are enrolled and for others.

    Args:
        origin: the address at which this console was asked, such as ``https://ops.example.com``: who signs can see it.
    """
    challenge = challenges.issue(_SSH, None)
    return challenge, message(origin, fingerprint, challenge)


def message(origin: str, fingerprint: str, challenge: Challenge) -> str:
    """What is signed. ``opsctl`` reads the audience from it before it signs."""
    expires = challenge.expires_at.astimezone(UTC)
    return (
        "OpsConsole sign-in\n"
        f"audience: {origin}\n"
        f"key: {fingerprint}\n"
        f"nonce: {challenge.nonce}\n"
        f"expires: {expires:%Y-%m-%dT%H:%M:%SZ}\n"
    )


def sign_in(
    request: Any, origin: str, challenge: str, signature: str, scopes: Iterable[str], environments: Any
) -> tuple[APIKey, str]:
    """A command line sign-in and its token, for a challenge signed with an enrolled key.

    Args:
        challenge: its id.
        scopes, environments: bounds that the person sets themselves, as for an API key.

    Raises:
        SignInRefused: the challenge or the signature is not right, the key is not enrolled, or its owner is inactive.
        TooManyAttempts: signing in from this address failed too often.
        ValidationError: a scope or an environment is not known.
    """
    rate_limit.check(rate_limit.address_of(request))
    owner = None
    try:
        key = _proved(origin, challenge, signature)
        owner = key.user
        if not owner.is_active:
            raise SignInRefused("account_inactive", "Your account is not active. An Admin can change that.")
    except SignInRefused as error:
        refusals.note(request, "ssh", error, owner)
        raise
    return _open_login(_actor(request, owner), key, scopes, environments)


@use_case
def browser_link(actor: Actor, login: Any) -> str:
    """The token of a link that opens a browser session once, within a minute, for somebody signed in with an SSH key.

    Raises:
        KeyStateError: ``login`` (``request.auth``) is no command line sign-in, or one that is bounded.
    """
    if not isinstance(login, APIKey) or login.kind != APIKey.Kind.LOGIN:
        raise KeyStateError("Only a command line sign-in opens a browser session: sign in with an SSH key first.")
    if set(login.scopes) != set(SCOPES) or login.environments is not None:
        raise KeyStateError(
            "This sign-in was bounded to some scopes or environments, a browser session is not. Sign in without them."
        )
    record(
        actor, "account.link_issued", login.owner, after={"how": "ssh", "valid_for": links.lifetime_in_words(_BROWSER)}
    )
    return links.make(login.owner, _BROWSER)


def _proved(origin: str, challenge_id: str, signature: str) -> SSHKey:
    """The enrolled key with which the challenge was signed. Whether a key is enrolled is told to its holder only."""
    challenge = challenges.take(_SSH, challenge_id)
    if challenge is None:
        raise SignInRefused(
            "challenge_invalid", "The challenge is unknown, used, or older than a minute. Ask for a new one."
        )
    try:
        given = ssh.read_signature(signature)
        given.verify(message(origin, given.key.fingerprint, challenge).encode())
    except ssh.BadSignature as error:
        raise SignInRefused("signature_invalid", f"The signature does not sign you in. {error}") from None
    enrolled = SSHKey.objects.select_related("user").filter(fingerprint=given.key.fingerprint).first()
    if enrolled is None or not hmac.compare_digest(enrolled.public_key, given.key.text):
        raise SignInRefused(
            "key_unknown",
            f"The key {given.key.fingerprint} is not enrolled here. Add it in the console: Account, Security.",
        )
    return enrolled


@use_case
def _open_login(actor: Actor, key: SSHKey, scopes: Iterable[str], environments: Any) -> tuple[APIKey, str]:
    login, text = key_actions.new_login(key.user, f"Signed in with {key.name}"[:100], LIFETIME, scopes, environments)
    now = timezone.now()
    SSHKey.objects.filter(pk=key.pk).update(last_used_at=now)
    after = {"how": "ssh", "fingerprint": key.fingerprint, **key_actions.described(login)}
    record(actor, "account.signed_in", key.user, after=after)
    return login, text


def _actor(request: Any, user: User) -> Actor:
    return Actor(
        name=user.display_name,
        via="login",
        user=user,
        role=user.role,
        request_id=getattr(request, "request_id", ""),
        address=request.META.get("REMOTE_ADDR", "") or "",
    )


def _described(key: SSHKey) -> dict[str, Any]:
    added: datetime = key.created_at or timezone.now()
    return {
        "name": key.name,
        "owner": key.user.username,
        "fingerprint": key.fingerprint,
        "type": key.public_key.partition(" ")[0],
        "added_at": added.isoformat(timespec="seconds"),
    }
