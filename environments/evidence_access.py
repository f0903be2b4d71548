"""What the audit trail and the accounts know for a checklist. They stand below this app, so it speaks for them."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from accounts import people_queries, queries
from accounts.models import APIKey
from accounts.roles import Role
from audit.standing import ChainState, chain_state
from environments.evidence import Reading, Subject, Verdict, provider
from environments.evidence_words import count, lasting, lines, moment

ENDED_WITHIN = timedelta(days=7)


@provider("audit.chain", "Audit trail")
def audit_chain(subject: Subject) -> Reading:
    """Whether the chain of the audit trail is intact, and when that was looked at last."""
    found = chain_state()
    entries = count(found.entries, "entry", "entries")
    if found.status == "broken":
        where = f" at entry {found.wrong_seq}" if found.wrong_seq is not None else ""
        value, verdict = f"Broken{where}: {found.wrong_what or 'see the page'}", Verdict.FAIL
    elif found.status == "unchecked":
        value, verdict = "Nothing has checked it yet", Verdict.NO_DATA
    else:
        assert found.verified_at is not None  # chain_state: else it is unchecked
        ago = lasting(timezone.now() - found.verified_at)
        late = found.status == "late" or found.pending_is_late or bool(found.copy_problem)
        words = "Nothing wrong was found, but the last check was" if found.status == "late" else "Intact, checked"
        value, verdict = f"{entries}. {words} {ago} ago", Verdict.WARN if late else Verdict.PASS
        if found.copy_problem:
            value += f". Its copy: {found.copy_problem}"
    return Reading(value, verdict, reverse("audit"), lines(_chain_detail(found)))


@provider("accounts.keys_due", "API keys to renew")
def keys_due(subject: Subject) -> Reading:
    """Keys of everybody that end soon without a newer one, and those that have just ended unused by a newer one."""
    due = list(queries.keys_due())
    now = timezone.now()
    ended = list(
        queries.all_keys()
        .filter(expires_at__lte=now, expires_at__gt=now - ENDED_WITHIN, revoked_at=None, replaced_by=None)
        .filter(owner__is_active=True)
        .order_by("expires_at")
    )
    usable = queries.all_keys().filter(revoked_at=None, expires_at__gt=now, owner__is_active=True).count()
    value = f"{len(due)} of {count(usable, 'key')} to renew" if due else f"None of {count(usable, 'key')} is due"
    if ended:
        value += f"; {count(len(ended), 'key')} ended in the last 7 days without a newer one"
    detail = [_key_line(one, "ends") for one in due] + [_key_line(one, "ended") for one in ended]
    return Reading(value, Verdict.WARN if due or ended else Verdict.PASS, reverse("people_keys"), lines(detail))


@provider("accounts.second_factors", "Second factors of Admins")
def second_factors(subject: Subject) -> Reading:
    """Whether every Admin has a passkey or an authenticator app; the others are counted."""
    people = [one for one in map(people_queries.person, people_queries.people()) if one.state != "inactive"]
    admins = [one for one in people if one.role == Role.ADMIN]
    without = [one for one in people if one.factor == "none"]
    open_admins = [one for one in without if one.role == Role.ADMIN]
    protected = f"{len(admins) - len(open_admins)} of {count(len(admins), 'Admin')} have a second factor"
    others = len(without) - len(open_admins)
    value = protected + (f"; {others} of {len(people) - len(admins)} others have none" if others else "")
    verdict = Verdict.FAIL if open_admins or not admins else Verdict.PASS
    detail = [f"{one.name} ({one.role or 'no role'}): no second factor" for one in open_admins]
    return Reading(value, verdict, reverse("people"), lines(detail))


def _key_line(key: APIKey, verb: str) -> str:
    return f"{key.owner.display_name}: {key.name}, {verb} {moment(key.expires_at)}"


def _chain_detail(found: ChainState) -> list[str]:
    walked = f"{moment(found.walked_at)}, to entry {found.walked_to}" if found.walked_at else "not yet"
    signed = f"{moment(found.checkpoint_at)}, to entry {found.checkpoint_seq}" if found.checkpoint_at else "not yet"
    return [
        f"Newest entry: {found.entries} {found.head}",
        f"Last walk over the whole chain: {walked}",
        f"Last signed checkpoint: {signed}",
        f"Waiting for the chain: {count(found.pending, 'record')}",
    ]
