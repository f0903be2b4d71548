"""Writing the audit trail."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from audit import registry
from audit.actors import Actor
from audit.models import Outcome, Record
from audit.redaction import redact


def record(
    actor: Actor,
    action: str,
    subject: models.Model | None = None,
    *,
    environment: str = "",
    outcome: str = Outcome.DONE,
    reason: str = "",
    before: Any = None,
    after: Any = None,
) -> Record:
    """Write one record in the transaction of the act, so that there is no act without a record.

    Secrets are cut out (``audit/redaction.py``); a trigger notes the record for the chain in the same transaction.

    Raises:
        KeyError: the action is not registered (``audit/registry.py``).
        TransactionManagementError: called outside a transaction.
    """
    registry.label(action)
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(f"audit record {action!r} written outside a transaction")
    user = actor.user
    return Record.objects.create(
        actor=user if user is not None and user.pk else None,
        actor_name=actor.name,
        via=actor.via,
        role=actor.role,
        action=action,
        object_type=subject._meta.model_name if subject is not None else "",
        object_id=str(subject.pk) if subject is not None else "",
        object_name=redact(str(subject))[:200] if subject is not None else "",
        environment=environment,
        outcome=outcome,
        reason=redact(reason),
        before=redact(before),
        after=redact(after),
        request_id=actor.request_id,
        address=actor.address,
    )
