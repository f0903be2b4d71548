"""What the API says of the audit trail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit import filters, registry
from audit.export import Form
from audit.models import Record

OBJECT = {
    "type": "object",
    "nullable": True,
    "properties": {"type": {"type": "string"}, "id": {"type": "string"}, "name": {"type": "string"}},
}


class RecordSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One audited act."""

    actor = serializers.CharField(source="actor_name", read_only=True, help_text="Name of who acted, as it was then.")
    label = serializers.CharField(read_only=True, help_text="The action in words.")
    object = serializers.SerializerMethodField(help_text="What the act was on; null when on nothing in particular.")
    before = serializers.JSONField(read_only=True, allow_null=True)
    after = serializers.JSONField(read_only=True, allow_null=True)

    class Meta:
        model = Record
        fields: tuple[str, ...] = (
            "id",
            "uuid",
            "at",
            "actor",
            "via",
            "role",
            "action",
            "label",
            "object",
            "environment",
            "outcome",
            "reason",
            "before",
            "after",
            "request_id",
            "address",
        )
        read_only_fields = fields

    @extend_schema_field(OBJECT)
    def get_object(self, record: Record) -> dict[str, str] | None:
        """Type, id and name as it was."""
        if not record.object_type:
            return None
        return {"type": record.object_type, "id": record.object_id, "name": record.object_name}


class ProofSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The place of one record in the hash chain, computed anew for this answer."""

    seq = serializers.IntegerField(help_text="Number of the entry: 1, 2, 3 …")
    digest = serializers.CharField(help_text="SHA-256 of the record's canonical form, as it was written.")
    hash = serializers.CharField(help_text="SHA-256 of the hash of the entry before and the digest.")
    is_whole = serializers.BooleanField(help_text="The record is as it was written, and the hash follows.")
    checkpoint_seq = serializers.IntegerField(
        allow_null=True, help_text="Entry of the signed checkpoint that covers it."
    )
    checkpoint_at = serializers.DateTimeField(allow_null=True)


class RecordDetailSerializer(RecordSerializer):
    """One audited act with its place in the chain."""

    chain = ProofSerializer(allow_null=True, read_only=True, help_text="Null for about a second after the act.")

    class Meta(RecordSerializer.Meta):
        fields = (*RecordSerializer.Meta.fields, "chain")
        read_only_fields = fields


class ChainStateSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """How the chain stands, as the sequencer last saw it."""

    status = serializers.ChoiceField(
        choices=["intact", "late", "broken", "unchecked"],
        help_text="late: nothing wrong was found, but the last check is more than a minute ago.",
    )
    entries = serializers.IntegerField(help_text="Number of the newest entry.")
    head = serializers.CharField(help_text="Its hash; empty for an empty chain.")
    verified_to = serializers.IntegerField(help_text="Each entry up to here was verified when it was written.")
    verified_at = serializers.DateTimeField(allow_null=True)
    walked_to = serializers.IntegerField(allow_null=True, help_text="The last walk over the whole chain went so far.")
    walked_at = serializers.DateTimeField(allow_null=True)
    checkpoint_seq = serializers.IntegerField(allow_null=True)
    checkpoint_at = serializers.DateTimeField(allow_null=True, help_text="When the chain was last signed.")
    pending = serializers.IntegerField(help_text="Records that are not in the chain yet, counted up to 1,000.")
    pending_since = serializers.DateTimeField(allow_null=True, help_text="Time of the oldest of them.")
    wrong_seq = serializers.IntegerField(allow_null=True, help_text="The first wrong entry.")
    wrong_what = serializers.CharField(help_text="What is wrong; empty when nothing is.")
    copy_problem = serializers.CharField(help_text="Why the newest checkpoint was not copied; empty if it was.")


class RecordFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of records and of an export."""

    action = serializers.CharField(required=False, max_length=60)
    environment = serializers.CharField(required=False, max_length=60)
    object = serializers.CharField(required=False, max_length=81)
    actor = serializers.CharField(required=False, max_length=150)
    outcome = serializers.CharField(required=False, max_length=20)
    since = serializers.CharField(required=False, max_length=40)
    until = serializers.CharField(required=False, max_length=40)
    q = serializers.CharField(required=False, max_length=filters.LONGEST_TEXT)
    request = serializers.CharField(required=False, max_length=40)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """The filter, as ``wanted``."""
        known = registry.actions()
        if given.get("action") and given["action"] not in known:
            text = f"Unknown action {given['action']!r}. Known: {', '.join(known)}."
            raise serializers.ValidationError({"action": text})
        wanted, problems = filters.read({name: given[name] for name in given if name != "actor"})
        if problems:
            raise serializers.ValidationError(problems)
        return {**given, "wanted": replace(wanted, who=given.get("actor", ""))}


class ExportSerializer(RecordFilterSerializer):
    """The query of an export."""

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        """Those of the filter, and ``as``, which no class body can name."""
        return {
            **super().get_fields(),
            "as": serializers.ChoiceField(choices=[form.value for form in Form], default=Form.CSV.value),
        }
