"""What the API says of releases and deployments, and what it takes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.openapi import StrictSerializer
from deployments import queries
from deployments.advice import advice
from deployments.models import Approval, Deployment, Release, Step, VerdictRow
from deployments.states import Status
from deployments.strategies import STRATEGIES

STATUSES = ", ".join(status.value for status in Status)


class ReleaseSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One release."""

    service = serializers.CharField(source="service.name", read_only=True)
    created_by = serializers.CharField(source="created_by.username", default=None, read_only=True, allow_null=True)
    changes = serializers.DictField(help_text="Size of the change: files, insertions, deletions.", read_only=True)
    migrations = serializers.ListField(help_text="Migrations that the release brings.", read_only=True)

    class Meta:
        model = Release
        fields = (
            "version",
            "service",
            "artifact",
            "digest",
            "size",
            "notes",
            "commit",
            "changes",
            "migrations",
            "reversible",
            "rollback_plan",
            "config_revision",
            "released_at",
            "created_at",
            "created_by",
        )
        read_only_fields = fields


class NewReleaseSerializer(StrictSerializer):
    """A release to register. It is immutable afterwards."""

    service = serializers.CharField(
        max_length=60, required=False, help_text="May be left out when there is one service."
    )
    version = serializers.CharField(max_length=40, help_text="Semantic version with a leading v, for example v1.2.5.")
    artifact = serializers.CharField(max_length=400, help_text="Path of the archive, as the console's machine sees it.")
    digest = serializers.CharField(max_length=80, help_text="sha256:… of the archive.")
    notes = serializers.CharField(required=False, allow_blank=True, max_length=100_000, help_text="Markdown.")
    commit = serializers.CharField(required=False, allow_blank=True, max_length=64, help_text="Of the source.")
    changes = serializers.DictField(
        required=False, child=serializers.JSONField(), help_text="files, insertions, deletions."
    )
    migrations = serializers.ListField(
        required=False,
        child=serializers.CharField(max_length=200),
        max_length=200,
        help_text="Migrations that it brings.",
    )
    reversible = serializers.BooleanField(
        required=False, allow_null=True, help_text="Whether its migrations can be taken back; the gate asks for it."
    )
    rollback_plan = serializers.CharField(
        required=False, allow_blank=True, max_length=10_000, help_text="How to go back from it; the gate asks for it."
    )
    config_revision = serializers.CharField(
        required=False, allow_blank=True, max_length=64, help_text="Configuration that it needs."
    )
    released_at = serializers.DateTimeField(required=False, allow_null=True, help_text="When it was built.")


class StepSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One step of the plan."""

    class Meta:
        model = Step
        fields = ("index", "name", "title", "status", "attempts", "started_at", "finished_at", "detail")
        read_only_fields = fields


class VerdictSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """What a rule says now."""

    class Meta:
        model = VerdictRow
        fields = ("rule", "kind", "verdict", "action", "value", "baseline", "limit", "unit", "reason", "since", "at")
        read_only_fields = fields


class TimingsSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Measured times in milliseconds; null while there is nothing to measure."""

    shift_ms = serializers.FloatField(
        allow_null=True, help_text="From the decision until all new requests went to the new slot."
    )
    fault_to_traffic_back_ms = serializers.FloatField(
        allow_null=True, help_text="From the last moment without the fault until traffic was back; an upper bound."
    )
    writer_gap_ms = serializers.FloatField(allow_null=True, help_text="How long no slot traded during the hand-over.")


class RecommendationSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Advice that follows from the verdicts."""

    verb = serializers.ChoiceField(choices=["roll_back", "hold", "monitor", "none"])
    title = serializers.CharField()
    reasons = serializers.ListField(child=serializers.CharField())


class NextEventSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Something that happens by itself."""

    title = serializers.CharField()
    at = serializers.DateTimeField()


class ReviewSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """The review of a deployment before its start; all of it is at ``/api/v1/approvals/{id}/``."""

    state = serializers.CharField(read_only=True, help_text="waiting, or what came of it.")
    decided_by = serializers.CharField(source="decided_by_name", read_only=True, help_text="Empty while it waits.")

    class Meta:
        model = Approval
        fields = ("id", "state", "subject_hash", "expires_at", "decided_by", "decided_at", "decision_reason")
        read_only_fields = fields


class DeploymentSummarySerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One deployment in a list."""

    environment = serializers.CharField(source="environment.name", read_only=True)
    from_release = serializers.CharField(
        source="from_release.version", default=None, read_only=True, allow_null=True, help_text="Version that was live."
    )
    to_release = serializers.CharField(source="to_release.version", read_only=True, help_text="Version brought live.")
    # No enumeration in the schema: a generated client must not break when a status is added.
    status = serializers.CharField(read_only=True, help_text=f"One of: {STATUSES}.")
    reverts = serializers.IntegerField(
        source="reverts_id", allow_null=True, read_only=True, help_text="The deployment that this rollback takes back."
    )
    reverted_by = serializers.SerializerMethodField(help_text="The rollback of this deployment.")
    requested_by = serializers.CharField(source="requested_by_name", read_only=True)
    timings = serializers.SerializerMethodField()
    approval = serializers.SerializerMethodField(help_text="Null for what started without another person's approval.")

    class Meta:
        model = Deployment
        fields: tuple[str, ...] = (
            "id",
            "environment",
            "from_release",
            "to_release",
            "strategy",
            "status",
            "reverts",
            "reverted_by",
            "reason",
            "requested_by",
            "created_at",
            "started_at",
            "promoted_at",
            "finished_at",
            "timings",
            "failure_reason",
            "approval",
        )
        read_only_fields = fields

    @extend_schema_field(ReviewSerializer(allow_null=True))
    def get_approval(self, deployment: Deployment) -> dict[str, Any] | None:
        """The view joins it."""
        found = getattr(deployment, "approval", None)
        return dict(ReviewSerializer(found).data) if found else None

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_reverted_by(self, deployment: Deployment) -> int | None:
        """Id of the rollback; the view joins it."""
        rollback = getattr(deployment, "reverted_by", None)
        return rollback.pk if rollback else None

    @extend_schema_field(TimingsSerializer)
    def get_timings(self, deployment: Deployment) -> dict[str, float | None]:
        """The kept times; the way back is the difference of two kept moments."""
        fault, back = deployment.fault_after, deployment.traffic_back_at
        return {
            "shift_ms": deployment.shift_ms,
            "fault_to_traffic_back_ms": (back - fault).total_seconds() * 1000 if fault and back else None,
            "writer_gap_ms": deployment.writer_gap_ms,
        }


class DeploymentSerializer(DeploymentSummarySerializer):
    """One deployment with its steps and what the rules say."""

    steps = StepSerializer(many=True, read_only=True)
    verdicts = VerdictSerializer(many=True, read_only=True, help_text="The current verdict of each rule.")
    recommendation = serializers.SerializerMethodField(help_text="What the operator is advised to do.")
    next_event = serializers.SerializerMethodField(help_text="What happens next by itself; null when nothing does.")
    overrides = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()),
        read_only=True,
        help_text="Checks of the gate that were overridden: check, title, and detail as it was then.",
    )
    token = serializers.CharField(
        source="state_token", read_only=True, help_text="Send it with an act to have it refused when the state changed."
    )

    class Meta(DeploymentSummarySerializer.Meta):
        fields = (
            *DeploymentSummarySerializer.Meta.fields,
            "token",
            "large_change_reason",
            "overrides",
            "override_reason",
            "recommendation",
            "next_event",
            "steps",
            "verdicts",
        )
        read_only_fields = fields

    @extend_schema_field(RecommendationSerializer)
    def get_recommendation(self, deployment: Deployment) -> dict[str, Any]:
        """The same advice as on the page."""
        found = advice(deployment, list(deployment.steps.all()))
        return {"verb": found.verb, "title": found.title, "reasons": list(found.reasons)}

    @extend_schema_field(NextEventSerializer(allow_null=True))
    def get_next_event(self, deployment: Deployment) -> dict[str, Any] | None:
        """The end of the running window."""
        event = queries.next_event(deployment)
        return {"title": event[0], "at": event[1]} if event else None


class StartSerializer(StrictSerializer):
    """A deployment to start, or to ask for."""

    environment = serializers.CharField(max_length=60, help_text="Name of the environment.")
    release = serializers.CharField(max_length=40, help_text="Version of a registered release, for example v1.2.5.")
    strategy = serializers.ChoiceField(choices=list(STRATEGIES))
    reason = serializers.CharField(max_length=2000, help_text="Why; kept in the audit trail.")
    large_change_reason = serializers.CharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="Why a large change goes out in one piece; the gate asks for it.",
    )
    override_reason = serializers.CharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="Overrides every check of the gate that blocks; takes the permission to approve there. Kept in the "
        "audit trail.",
    )


class ActSerializer(StrictSerializer):
    """An act on a deployment."""

    reason = serializers.CharField(max_length=2000, help_text="Why; kept in the audit trail.")
    token = serializers.CharField(
        max_length=60,
        required=False,
        help_text="The deployment's token as it was read; when it changed: 409, nothing done.",
    )


class DeploymentFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of deployments."""

    environment = serializers.CharField(required=False, max_length=60)
    status = serializers.CharField(required=False, max_length=200)

    def validate_status(self, value: str) -> list[str]:
        """One status, or several with commas between."""
        wanted = [part.strip() for part in value.split(",") if part.strip()]
        known = [status.value for status in Status]
        unknown = [part for part in wanted if part not in known]
        if unknown or not wanted:
            raise serializers.ValidationError(f"Unknown status {', '.join(unknown)!r}. Known: {', '.join(known)}.")
        return wanted

    def validate_environment(self, value: str) -> Any:
        """An environment that the person may see."""
        from environments.models import Environment

        visible = Environment.objects.visible_to(self.context["request"].user)
        if not visible.filter(name=value).exists():
            known = ", ".join(visible.values_list("name", flat=True)) or "none"
            raise serializers.ValidationError(f"There is no environment {value!r} that you may see. Known: {known}.")
        return value
