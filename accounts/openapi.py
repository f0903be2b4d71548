"""What the operations of the API have in common, for the OpenAPI schema."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from accounts.idempotency import HEADER

IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    description="Up to 100 characters, for example a UUID. The same request with the same key is done once; "
    "its answer is given again with Idempotency-Replayed: true.",
)

_MEANING = {
    400: "The request is malformed, or a field is missing or wrong: errors names each.",
    401: "No API key, or one that is unknown, revoked or expired.",
    403: "Your role does not permit this; detail says whose does.",
    404: "There is no such object, or you may not see it.",
    409: "The state does not permit this; nothing was done.",
    422: "The request was understood and refused; nothing was done.",
    502: "The trading system or the exchange did not answer; detail says what was read back.",
    429: "Signing in failed too often from this address; Retry-After says when to try again.",
}


class StrictSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A request body in which an unknown member is an error, so that a mistyped name is not silently ignored."""

    def to_internal_value(self, data: object) -> dict[str, object]:
        """The validated members."""
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            known = ", ".join(name for name, field in self.fields.items() if not field.read_only)
            raise serializers.ValidationError({name: [f"Unknown member. Known: {known}."] for name in unknown})
        return super().to_internal_value(data)


class ProblemSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """An error, as RFC 9457 describes it. Some kinds have members of their own."""

    type = serializers.CharField(help_text="Identifies the kind; leads to its description.")
    title = serializers.CharField(help_text="The kind in words.")
    status = serializers.IntegerField(help_text="The HTTP status.")
    detail = serializers.CharField(help_text="What is wrong here, and what to do.")
    instance = serializers.CharField(help_text="The path that was asked for.")
    code = serializers.CharField(help_text="The kind as a stable name for scripts.")
    request_id = serializers.CharField(help_text="Also in the logs and in the audit trail.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), required=False, help_text="What is wrong, by field."
    )
    blocking_deployment = serializers.IntegerField(
        required=False, allow_null=True, help_text="409 deployment_in_progress: the deployment that is not finished."
    )
    current_status = serializers.CharField(required=False, help_text="409 wrong_state: the deployment's status now.")
    state = serializers.CharField(required=False, help_text="409 not_waiting: what came of the request.")
    changes = serializers.ListField(
        child=serializers.DictField(),
        required=False,
        help_text="409 subject_changed: each member that changed, with from and to.",
    )
    reasons = serializers.ListField(
        child=serializers.DictField(child=serializers.JSONField()),
        required=False,
        help_text="422 preflight_failed: each check that blocks: check, reason, todo and overridable (by an Admin).",
    )


def problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    """Entries for ``extend_schema(responses=…)``: these errors, and the 401 that every operation has."""
    return {
        (status, "application/problem+json"): OpenApiResponse(ProblemSerializer, description=_MEANING[status])
        for status in sorted({401, *statuses})
    }
