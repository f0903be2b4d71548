"""What the API says of alerts."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.openapi import StrictSerializer
from alerts import filters
from alerts.actions import NOTE_LIMIT
from alerts.models import Alert, Delivery


class DeliverySerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One attempt to send an alert out."""

    event = serializers.CharField(read_only=True, help_text="raised, worse, repeated or cleared.")

    class Meta:
        model = Delivery
        fields = ("channel", "event", "at", "finished_at", "ok", "tries", "detail")
        read_only_fields = fields


class AlertSummarySerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One alert in a list."""

    environment = serializers.CharField(source="environment.name", default=None, allow_null=True, read_only=True)
    # No enumeration in the schema: a generated client must not break when a severity or a state is added.
    severity = serializers.CharField(read_only=True, help_text="critical or warning.")
    state = serializers.CharField(
        read_only=True, help_text="open, acknowledged, over (cause gone, nobody acknowledged it) or cleared."
    )
    acknowledged_by = serializers.CharField(
        source="acknowledged_by.display_name", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = Alert
        fields: tuple[str, ...] = (
            "id",
            "kind",
            "key",
            "severity",
            "state",
            "environment",
            "title",
            "detail",
            "link",
            "raised_at",
            "seen_at",
            "times",
            "cleared_at",
            "acknowledged_at",
            "acknowledged_by",
            "note",
            "sent_at",
        )
        read_only_fields = fields


class AlertSerializer(AlertSummarySerializer):
    """One alert with what was sent out of it."""

    deliveries = serializers.SerializerMethodField(help_text="The newest 50 attempts, newest first.")

    class Meta(AlertSummarySerializer.Meta):
        fields = (*AlertSummarySerializer.Meta.fields, "deliveries")
        read_only_fields = fields

    @extend_schema_field(DeliverySerializer(many=True))
    def get_deliveries(self, alert: Alert) -> list[dict[str, Any]]:
        """One query."""
        return list(DeliverySerializer(Delivery.objects.filter(alert=alert)[:50], many=True).data)


class AcknowledgeSerializer(StrictSerializer):
    """Acknowledging an alert."""

    note = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=NOTE_LIMIT,
        help_text="What is done about it. On an alert that was acknowledged before it replaces the earlier note.",
    )
    seen = serializers.ChoiceField(
        choices=Alert.Severity.choices,
        required=False,
        help_text="How severe it was when you looked: a warning that became critical meanwhile is then a 409.",
    )


class AlertFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of alerts."""

    q = serializers.CharField(required=False, max_length=filters.LONGEST_TEXT)
    environment = serializers.CharField(required=False, max_length=60)
    kind = serializers.CharField(required=False, max_length=40)
    severity = serializers.CharField(required=False, max_length=10)
    state = serializers.CharField(required=False, max_length=20)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """The filter, as ``wanted``."""
        wanted, problems = filters.read(given)
        if problems:
            raise serializers.ValidationError(problems)
        return {"wanted": wanted}
