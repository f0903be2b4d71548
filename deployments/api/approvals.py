"""The review before a deployment, over the API. Views parse and render; ``approval_actions.py`` decides and does."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import from_request
from accounts.idempotency import idempotent
from accounts.openapi import IDEMPOTENCY_KEY, StrictSerializer, problems
from accounts.roles import APPROVE, REQUEST, VIEW
from deployments import approval_actions, approvals, gate, preflight, starting
from deployments.api.checked import checked
from deployments.models import Approval
from deployments.states import ApprovalState
from environments.models import Environment
from environments.permissions import environments_with

STATES = ", ".join(state.value for state in ApprovalState)


class ChangeSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A member of the subject that is not what was asked for."""

    member = serializers.CharField(help_text="Its place, for example live.release.")
    to = serializers.JSONField(allow_null=True, help_text="What it is now.")

    def get_fields(self) -> dict[str, Any]:
        """With ``from``, which cannot be the name of an attribute."""
        before = serializers.JSONField(allow_null=True, help_text="What it was when it was asked for.")
        return {**super().get_fields(), "from": before}


class CheckSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A check before the start, as it is now."""

    check = serializers.CharField(source="name")
    title = serializers.CharField()
    ok = serializers.BooleanField(help_text="False blocks the start.")
    detail = serializers.CharField()
    todo = serializers.CharField(allow_blank=True, help_text="What to do when it blocks.")
    overridable = serializers.BooleanField(help_text="Whether an Admin may override it at the start, with a reason.")
    overridden = serializers.BooleanField(help_text="It was overridden when this was asked for, so it does not block.")


class ApprovalSummarySerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One request in a list."""

    deployment = serializers.IntegerField(source="deployment_id", read_only=True)
    deployment_status = serializers.CharField(source="deployment.status", read_only=True)
    environment = serializers.CharField(source="deployment.environment.name", read_only=True)
    from_release = serializers.CharField(
        source="deployment.from_release.version", default=None, allow_null=True, read_only=True
    )
    to_release = serializers.CharField(source="deployment.to_release.version", read_only=True)
    strategy = serializers.CharField(source="deployment.strategy", read_only=True)
    # No enumeration in the schema: a generated client must not break when a state is added.
    state = serializers.CharField(read_only=True, help_text=f"One of: {STATES}.")
    requested_by = serializers.CharField(source="requested_by_name", read_only=True)
    decided_by = serializers.CharField(source="decided_by_name", read_only=True, help_text="Empty while it waits.")
    changes = ChangeSerializer(many=True, read_only=True, help_text="Fallen: what changed.")
    is_own = serializers.SerializerMethodField(help_text="You asked for it, so another person must decide.")
    may_decide = serializers.SerializerMethodField(help_text="It waits for you.")

    class Meta:
        model = Approval
        fields: tuple[str, ...] = (
            "id",
            "deployment",
            "deployment_status",
            "environment",
            "from_release",
            "to_release",
            "strategy",
            "state",
            "subject_hash",
            "reason",
            "requested_by",
            "created_at",
            "expires_at",
            "decided_by",
            "decided_at",
            "decision_reason",
            "changes",
            "is_own",
            "may_decide",
        )
        read_only_fields = fields

    def get_is_own(self, approval: Approval) -> bool:
        """Asked for by the caller."""
        return approval.is_own(self.context["request"].user)

    def get_may_decide(self, approval: Approval) -> bool:
        """Waiting, of somebody else, in an environment where the caller may approve."""
        may = approval.deployment.environment_id in self.context["approvable"]
        return bool(approval.is_waiting and may and not self.get_is_own(approval))


class ApprovalSerializer(ApprovalSummarySerializer):
    """One request with exactly what will happen, and what hinders it now."""

    subject = serializers.DictField(
        read_only=True, help_text="Everything that decides what will happen; the hash is of its canonical JSON."
    )
    checks = serializers.SerializerMethodField(help_text="The checks before a start, as they are now.")
    blocking_deployment = serializers.SerializerMethodField(help_text="The deployment that must end first.")

    class Meta(ApprovalSummarySerializer.Meta):
        fields = (*ApprovalSummarySerializer.Meta.fields, "subject", "checks", "blocking_deployment")
        read_only_fields = fields

    @extend_schema_field(CheckSerializer(many=True))
    def get_checks(self, approval: Approval) -> list[dict[str, Any]]:
        """Reads the archive, the load balancer and the supervisor (bounded)."""
        if not approval.is_waiting:
            return []
        deployment = approval.deployment
        allowed = gate.exceptions_of(deployment)
        results = preflight.check(deployment.environment, deployment.to_release, deployment.strategy, allowed)
        return [dict(CheckSerializer(result).data) for result in results]

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_blocking_deployment(self, approval: Approval) -> int | None:
        """Its id; null when none is under way, or the request has ended."""
        blocking = starting.busy(approval.deployment.environment) if approval.is_waiting else None
        return blocking.pk if blocking else None


class ApproveSerializer(StrictSerializer):
    """Approving a request."""

    subject_hash = serializers.RegexField(
        r"^[0-9a-f]{64}$", help_text="The hash of what you read and agree to; when it is another one now: 409."
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000, help_text="Kept in the trail.")


class RejectSerializer(StrictSerializer):
    """Rejecting a request."""

    reason = serializers.CharField(max_length=2000, help_text="Why; whoever asked reads it.")


class WithdrawSerializer(StrictSerializer):
    """Taking one's own request back."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000, help_text="Kept in the trail.")


class ApprovalFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of requests."""

    state = serializers.CharField(required=False, max_length=100)

    def validate_state(self, value: str) -> list[str]:
        """One state, or several with commas between."""
        wanted = [part.strip() for part in value.split(",") if part.strip()]
        known = [state.value for state in ApprovalState]
        unknown = [part for part in wanted if part not in known]
        if unknown or not wanted:
            raise serializers.ValidationError(f"Unknown state {', '.join(unknown)!r}. Known: {', '.join(known)}.")
        return wanted


@extend_schema(tags=["Approvals"])
class ApprovalViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Requests that wait for another person, and what came of them."""

    permission_map = {"list": VIEW, "retrieve": VIEW, "approve": APPROVE, "reject": APPROVE, "withdraw": REQUEST}
    serializer_class = ApprovalSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Approval.objects.none()

    def get_queryset(self) -> QuerySet[Approval]:
        """Requests of environments that the person may see."""
        return approvals.loaded(Approval.objects.visible_to(self.request.user))

    def get_serializer_context(self) -> dict[str, Any]:
        """Also where the caller may approve; one query."""
        found = environments_with(Environment.objects.all(), self.request.user, APPROVE)
        return {**super().get_serializer_context(), "approvable": frozenset(found.values_list("pk", flat=True))}

    @extend_schema(
        summary="List requests for approval",
        parameters=[OpenApiParameter("state", str, description=f"Only these states, commas between: {STATES}.")],
        responses={200: ApprovalSummarySerializer(many=True), **problems(400)},
    )
    def list(self, request: Request) -> Response:
        """Newest first."""
        wanted = checked(ApprovalFilterSerializer(data=request.query_params)).validated_data
        found = self.get_queryset()
        if "state" in wanted:
            found = found.filter(state__in=wanted["state"])
        page = self.paginate_queryset(found)
        if approval_actions.settle_all(page):  # some of them ended just now
            page = self.paginate_queryset(found.all())
        context = self.get_serializer_context()
        return self.get_paginated_response(ApprovalSummarySerializer(page, many=True, context=context).data)

    @extend_schema(summary="Show a request", responses={200: ApprovalSerializer, **problems(404)})
    def retrieve(self, request: Request, pk: str) -> Response:
        """Exactly what will happen, and whether it still can."""
        approval = self.get_object()
        if approval.is_waiting:
            approval = approval_actions.settle(approval_actions.REVIEW, approval)
        return self._shown(approval)

    @extend_schema(
        summary="Approve a request",
        description="The deployment starts at once. Nobody approves an own request.",
        request=ApproveSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ApprovalSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def approve(self, request: Request, pk: str) -> Response:
        """409 when it fell, expired or was decided, or when another deployment is not finished."""
        approval = self.get_object()
        given = checked(ApproveSerializer(data=request.data)).validated_data
        actor, reason = from_request(request), given.get("reason", "")
        return self._shown(approval_actions.approve(actor, approval, given["subject_hash"], reason))

    @extend_schema(
        summary="Reject a request",
        description="Nothing is started. Nobody rejects an own request; withdraw it.",
        request=RejectSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ApprovalSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def reject(self, request: Request, pk: str) -> Response:
        """Needs a reason."""
        approval = self.get_object()
        given = checked(RejectSerializer(data=request.data)).validated_data
        return self._shown(approval_actions.reject(from_request(request), approval, given["reason"]))

    @extend_schema(
        summary="Withdraw a request",
        description="Take an own request back; nothing is started.",
        request=WithdrawSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ApprovalSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def withdraw(self, request: Request, pk: str) -> Response:
        """For whoever asked alone."""
        approval = self.get_object()
        given = checked(WithdrawSerializer(data=request.data)).validated_data
        return self._shown(approval_actions.withdraw(from_request(request), approval, given.get("reason", "")))

    def _shown(self, approval: Approval) -> Response:
        fresh = self.get_queryset().get(pk=approval.pk)
        return Response(ApprovalSerializer(fresh, context=self.get_serializer_context()).data)
