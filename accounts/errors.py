"""Refusals that concern who acts."""

from __future__ import annotations

from audit.actors import Actor


class Forbidden(Exception):
    """The actor lacks a permission on an object. HTTP 403; the message says who can do it."""

    def __init__(self, actor: Actor, permission: str, words: str, environment: str, who_can: str) -> None:
        self.actor, self.permission, self.environment = actor, permission, environment
        role = actor.role or "no role"
        super().__init__(f"{actor.name} ({role}) may not {words} ({environment}). It takes: {who_can}.")


class IdempotencyConflict(Exception):
    """The same Idempotency-Key was used before for a different request. HTTP 422."""
