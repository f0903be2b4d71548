"""What the API says of the audit trail."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from audit import registry
from audit.models import Outcome, Record


class RecordSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One audited act."""

    actor = serializers.CharField(source="actor_name", read_only=True, help_text="Name of who acted, as it was then.")
    label = serializers.CharField(read_only=True, help_text="The action in words.")
    object = serializers.SerializerMethodField(help_text="What the act was on; null when on nothing in particular.")
    before = serializers.JSONField(read_only=True, allow_null=True)
    after = serializers.JSONField(read_only=True, allow_null=True)

    class Meta:
        model = Record
        fields = (
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

    @extend_schema_field(
        {
            "type": "object",
            "nullable": True,
            "properties": {"type": {"type": "string"}, "id": {"type": "string"}, "name": {"type": "string"}},
        }
    )
    def get_object(self, record: Record) -> dict[str, str] | None:
        """Type, id and name as it was."""
        if not record.object_type:
            return None
        return {"type": record.object_type, "id": record.object_id, "name": record.object_name}


class RecordFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of records."""

    action = serializers.CharField(required=False, max_length=60)
    environment = serializers.CharField(required=False, max_length=60)
    object = serializers.RegexField(
        r"^[a-z_]+(:[^\x00]{1,40})?$",
        required=False,
        error_messages={"invalid": "Write TYPE or TYPE:ID, for example deployment:42."},
    )
    actor = serializers.CharField(required=False, max_length=150)
    outcome = serializers.ChoiceField(choices=[outcome.value for outcome in Outcome], required=False)

    def validate_action(self, value: str) -> str:
        """A registered action."""
        known: dict[str, Any] = registry.actions()
        if value not in known:
            raise serializers.ValidationError(f"Unknown action {value!r}. Known: {', '.join(known)}.")
        return value
