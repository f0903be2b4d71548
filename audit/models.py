"""The audit trail: one row an act, written in the transaction of the act."""

from __future__ import annotations

import uuid
from enum import StrEnum

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class Outcome(StrEnum):
    """How an act ended; ``intent`` is written before an outside effect, the others after."""

    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    DENIED = "denied"


OUTCOME_CHOICES = [("intent", "Intended"), ("done", "Done"), ("failed", "Failed"), ("denied", "Denied")]


class Record(models.Model):
    """One audited act."""

    id = models.BigAutoField(primary_key=True)
    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    at = models.DateTimeField(db_default=Now(), db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    actor_name = models.CharField(max_length=150)
    via = models.CharField(max_length=10)
    role = models.CharField(max_length=20, blank=True)
    action = models.CharField(max_length=60)
    object_type = models.CharField(max_length=40, blank=True)
    object_id = models.CharField(max_length=40, blank=True)
    object_name = models.CharField(max_length=200, blank=True)
    environment = models.CharField(max_length=60, blank=True)
    outcome = models.CharField(max_length=10, choices=OUTCOME_CHOICES, default=Outcome.DONE)
    reason = models.TextField(blank=True)
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ("-id",)
        # audit/queries.py says which answers what; the one for free text (trigrams) is in migration 0004.
        indexes = [
            models.Index(
                fields=["object_type", "object_id", "-id"], include=["environment", "at"], name="audit_object"
            ),
            models.Index(fields=["actor", "at"], name="audit_own"),
            models.Index(fields=["environment", "at"], include=["id"], name="audit_place"),
            models.Index(fields=["environment", "actor_name", "at"], include=["id"], name="audit_who"),
            models.Index(
                fields=["environment", "action", "actor_name", "outcome", "at"], include=["id"], name="audit_facets"
            ),
            models.Index(
                fields=["environment", "outcome", "at"],
                include=["id"],
                condition=~models.Q(outcome="done"),
                name="audit_odd",
            ),
            models.Index(fields=["request_id"], condition=~models.Q(request_id=""), name="audit_request"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name} {self.action} {self.object_name}"

    @property
    def label(self) -> str:
        """The action in words."""
        from audit import registry

        try:
            return registry.label(self.action)
        except KeyError:  # of a version that knew an action which this one does not
            return self.action


class Pending(models.Model):
    """A record that is not in the chain yet; written with it by a trigger, removed by the sequencer."""

    # No constraint: only the trigger writes here, and a look at the record for each row would cost every act.
    record = models.OneToOneField(
        Record, primary_key=True, on_delete=models.PROTECT, related_name="+", db_constraint=False
    )

    class Meta:
        db_table = "audit_pending"

    def __str__(self) -> str:
        return str(self.record_id)


class ChainLink(models.Model):
    """The place of a record in the chain: ``hash`` = SHA-256(previous hash + ``digest``)."""

    seq = models.BigIntegerField(primary_key=True, help_text="1, 2, 3 … without gaps.")
    record = models.OneToOneField(Record, on_delete=models.PROTECT, related_name="link")
    digest = models.BinaryField(help_text="SHA-256 of the record's canonical form (audit/chain.py).")
    hash = models.BinaryField()

    class Meta:
        db_table = "audit_chain"
        ordering = ("seq",)

    def __str__(self) -> str:
        return f"entry {self.seq}"


class Checkpoint(models.Model):
    """A signed statement: "at this time the chain had so many entries and this head"."""

    at = models.DateTimeField()
    seq = models.BigIntegerField(help_text="Entries in the chain; 0 when it was empty.")
    head = models.BinaryField(help_text="Hash of the last entry; 32 zero bytes when the chain was empty.")
    key_id = models.CharField(max_length=16, help_text="First 16 hexadecimal digits of SHA-256 of the public key.")
    signature = models.BinaryField(help_text="Ed25519.")

    class Meta:
        db_table = "audit_checkpoint"
        ordering = ("id",)
        indexes = [models.Index(fields=["seq"], name="audit_checkpoint_seq")]

    def __str__(self) -> str:
        return f"{self.seq} entries at {self.at:%Y-%m-%d %H:%M:%S}"


class Verification(models.Model):
    """How far the chain was verified, kept by the sequencer for the pages; one row. Not evidence, so not protected."""

    tail_seq = models.BigIntegerField(default=0, help_text="New entries are verified as they are written, up to here.")
    tail_at = models.DateTimeField(null=True, help_text="When it was looked whether there are more.")
    walk_seq = models.BigIntegerField(default=0, help_text="The walk over all entries is here now.")
    walked_seq = models.BigIntegerField(null=True, help_text="The last complete walk was from entry 1 to this one.")
    walked_at = models.DateTimeField(null=True)
    wrong_seq = models.BigIntegerField(null=True, help_text="The first wrong entry; null without one.")
    wrong_what = models.TextField(blank=True, help_text="What is wrong with the chain; empty when nothing is.")
    wrong_at = models.DateTimeField(null=True, help_text="When it was found.")
    checkpoint_at = models.DateTimeField(null=True, help_text="Time of the newest signature, also of an idle second.")
    checkpoint_seq = models.BigIntegerField(null=True)
    copy_problem = models.TextField(blank=True, help_text="Why the newest checkpoint was not copied; empty if it was.")

    class Meta:
        db_table = "audit_verification"

    def __str__(self) -> str:
        return f"verified to entry {self.tail_seq}"
