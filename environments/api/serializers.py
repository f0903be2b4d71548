"""What the API says of environments: the same readings that the pages draw."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from environments.models import Slot
from environments.pages import EnvironmentView, SlotView
from environments.readings import Reading

HEALTH = ["pass", "warn", "fail", "no_data"]


class ComponentSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One health check of an instance."""

    name = serializers.CharField()
    title = serializers.CharField()
    status = serializers.CharField(help_text="pass, warn, fail, or no_data when the reading is too old.")
    detail = serializers.CharField()


class HealthSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The newest reading of an instance."""

    status = serializers.ChoiceField(choices=HEALTH, help_text="Worst of its checks.")
    ok = serializers.SerializerMethodField(help_text="It answered, and the answer is fresh.")
    no_data = serializers.SerializerMethodField(help_text="There is no reading newer than 5 seconds.")
    words = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    age_seconds = serializers.FloatField(allow_null=True)
    version = serializers.CharField(help_text="The version it says it runs.")
    role = serializers.CharField(
        help_text="Its trading role: ACTIVE, STANDBY, REDUCING or HALTED; empty when not reported."
    )
    epoch = serializers.IntegerField(allow_null=True, help_text="Fencing epoch with which the role was granted.")
    components = ComponentSerializer(many=True, source="checks")

    def get_ok(self, reading: Reading) -> bool:
        """Fresh, and an answer."""
        return reading.is_fresh and bool(reading.values.get("ok"))

    def get_no_data(self, reading: Reading) -> bool:
        """Never read, or too long ago."""
        return not reading.is_fresh


class InstanceSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One process of a slot."""

    name = serializers.CharField()
    health = HealthSerializer()


class SlotSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One side of an environment."""

    name = serializers.CharField(source="slot.name")
    role = serializers.ChoiceField(source="slot.role", choices=Slot.Role.choices)
    release = serializers.CharField(
        source="slot.version", allow_blank=True, help_text="Version last put into the slot."
    )
    version = serializers.CharField(source="slot.version", allow_blank=True, help_text="The same as release.")
    digest = serializers.CharField(source="slot.digest", allow_blank=True)
    weight = serializers.IntegerField(help_text="Share of new requests in per cent, as decided.")
    is_live = serializers.BooleanField()
    is_writer = serializers.BooleanField(help_text="The trading role was granted to it.")
    health = serializers.ChoiceField(source="status", choices=[*HEALTH, "stopped"], help_text="Worst of its instances.")
    instances = serializers.SerializerMethodField()

    @extend_schema_field(InstanceSerializer(many=True))
    def get_instances(self, view: SlotView) -> list[dict[str, object]]:
        """Each with its newest reading."""
        health = HealthSerializer()
        return [{"name": reading.instance, "health": health.to_representation(reading)} for reading in view.readings]


class MetricsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The live slot over the last minute; null where nothing can be said."""

    request_rate = serializers.FloatField(allow_null=True, help_text="Requests a second.")
    error_rate = serializers.FloatField(allow_null=True, help_text="Share of requests, 0 to 1.")
    latency_p99_ms = serializers.FloatField(allow_null=True)
    win_rate = serializers.FloatField(allow_null=True, help_text="Share of closed trades, 0 to 1.")
    trades = serializers.IntegerField(help_text="Closed trades.")
    mismatches = serializers.IntegerField(allow_null=True, help_text="Positions that differ from the exchange.")
    open_positions = serializers.IntegerField(allow_null=True)
    open_orders = serializers.IntegerField(allow_null=True)
    seconds = serializers.FloatField(help_text="Over how long the rates were measured.")


class ActiveDeploymentSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The deployment under way."""

    id = serializers.IntegerField()
    status = serializers.CharField()
    from_release = serializers.CharField(source="from_release.version", default=None, allow_null=True)
    to_release = serializers.CharField(source="to_release.version")


class EnvironmentSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One environment with its two slots."""

    name = serializers.CharField(source="environment.name")
    service = serializers.CharField(source="environment.service.name")
    kind = serializers.CharField(source="environment.kind")
    front_url = serializers.CharField(source="environment.front_url")
    live_slot = serializers.CharField(source="live.slot.name", default=None, allow_null=True)
    health = serializers.ChoiceField(source="status", choices=[*HEALTH, "stopped"], help_text="Of what serves.")
    traffic_epoch = serializers.IntegerField(source="environment.traffic_epoch")
    writer_slot = serializers.SerializerMethodField(help_text="The slot that trades.")
    writer_epoch = serializers.IntegerField(source="environment.writer_epoch")
    slots = SlotSerializer(many=True)
    metrics = MetricsSerializer(source="rates")
    active_deployment = ActiveDeploymentSerializer(source="active", allow_null=True)
    may_deploy = serializers.BooleanField(help_text="Whether you may deploy here.")

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_writer_slot(self, view: EnvironmentView) -> str | None:
        """Name of the slot to which the trading role was granted."""
        return next((slot.slot.name for slot in view.slots if slot.is_writer), None)
