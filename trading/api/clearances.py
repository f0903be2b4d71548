"""Leave to trade again over the API: ask, list, show, approve, reject, withdraw."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import step_up
from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.idempotency import idempotent
from accounts.openapi import IDEMPOTENCY_KEY, StrictSerializer, problems
from accounts.roles import RESUME, VIEW
from environments.models import Environment
from environments.permissions import environments_with
from trading import clearances
from trading.api.questions import KeptAnswerSerializer, StepUpMemberSerializer, answers_field, given
from trading.errors import WrongState
from trading.models import Clearance, EmergencyStop
from trading.questions import RELEASE

STATUSES = ", ".join(Clearance.Status.values)
ReleaseAnswers = answers_field(RELEASE)


class ClearanceSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One request."""

    environment = serializers.CharField(source="environment.name", read_only=True)
    kind = serializers.CharField(read_only=True, help_text="resume, or release (of the kill switch).")
    status = serializers.CharField(read_only=True, help_text=f"One of: {STATUSES}.")
    stop = serializers.UUIDField(source="stop_id", read_only=True, allow_null=True)
    subject_hash = serializers.CharField(source="subject", read_only=True)
    facts = serializers.DictField(read_only=True, help_text="The state that it holds for; the hash is of this.")
    answers = KeptAnswerSerializer(many=True, read_only=True)
    requested_by = serializers.CharField(source="requested_by.display_name", read_only=True)
    decided_by = serializers.CharField(source="decided_by.display_name", default="", read_only=True)
    changes = serializers.ListField(child=serializers.DictField(), read_only=True, help_text="Fell: what changed.")
    is_own = serializers.SerializerMethodField(help_text="You asked for it, so another person must decide.")
    may_decide = serializers.SerializerMethodField(help_text="It waits for you.")

    class Meta:
        model = Clearance
        fields = (
            "id",
            "environment",
            "kind",
            "status",
            "stop",
            "subject_hash",
            "facts",
            "answers",
            "reason",
            "requested_by",
            "requested_at",
            "expires_at",
            "decided_by",
            "decided_at",
            "decision_reason",
            "changes",
            "done_at",
            "failed_at",
            "detail",
            "is_own",
            "may_decide",
        )
        read_only_fields = fields

    def get_is_own(self, clearance: Clearance) -> bool:
        """Asked for by the caller."""
        return clearance.is_own(self.context["request"].user)

    def get_may_decide(self, clearance: Clearance) -> bool:
        """Waiting, of somebody else, in an environment where the caller may let trading resume."""
        may = clearance.environment_id in self.context["places"]
        return bool(clearance.is_waiting and may and not self.get_is_own(clearance))


class ClearanceAskSerializer(StrictSerializer):
    """Asking for leave."""

    environment = serializers.CharField(max_length=60)
    kind = serializers.ChoiceField(choices=Clearance.Kind.choices)
    reason = serializers.CharField(max_length=500)
    answers = ReleaseAnswers(required=False, help_text="For a release: the answers to its four questions.")
    step_up = StepUpMemberSerializer(required=False, help_text="For a release.")


class ClearanceApproveSerializer(StrictSerializer):
    """Giving leave."""

    subject_hash = serializers.RegexField(
        r"^[0-9a-f]{64}\Z", help_text="The hash of what you read and agree to; when it is another one now: 409."
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)
    step_up = StepUpMemberSerializer(required=False, help_text="For a release.")


class ClearanceRejectSerializer(StrictSerializer):
    """Refusing leave."""

    reason = serializers.CharField(max_length=500, help_text="Why; whoever asked reads it.")


class ClearanceWithdrawSerializer(StrictSerializer):
    """Taking one's own request back."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)


class ClearanceFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list."""

    environment = serializers.CharField(required=False, max_length=60)
    status = serializers.ChoiceField(required=False, choices=Clearance.Status.choices)


@extend_schema(tags=["Leave to trade"])
class ClearanceViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Requests to release the kill switch and to resume trading."""

    permission_map = {
        "list": VIEW,
        "create": RESUME,
        "retrieve": VIEW,
        "approve": RESUME,
        "reject": RESUME,
        "withdraw": RESUME,
    }
    serializer_class = ClearanceSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Clearance.objects.none()

    def get_queryset(self) -> QuerySet[Clearance]:
        """Requests of environments that the person may see."""
        found = Clearance.objects.visible_to(self.request.user)
        return found.select_related("environment", "requested_by", "decided_by")

    def get_serializer_context(self) -> dict[str, Any]:
        """Also where the caller may let trading resume; one query."""
        found = environments_with(Environment.objects.all(), self.request.user, RESUME)
        return {**super().get_serializer_context(), "places": frozenset(found.values_list("pk", flat=True))}

    @extend_schema(
        summary="List requests for leave to trade",
        parameters=[
            OpenApiParameter("environment", str, description="Only of this environment."),
            OpenApiParameter("status", str, description=f"Only of this status: {STATUSES}."),
        ],
        responses={200: ClearanceSerializer(many=True), **problems(400)},
    )
    def list(self, request: Request) -> Response:
        """Newest first."""
        wanted = _checked(ClearanceFilterSerializer(data=request.query_params))
        found = self.get_queryset()
        if name := wanted.get("environment"):
            found = found.filter(environment__name=name)
        if "status" in wanted:
            found = found.filter(status=wanted["status"])
        page, context = self.paginate_queryset(found), self.get_serializer_context()
        return self.get_paginated_response(ClearanceSerializer(page, many=True, context=context).data)

    @extend_schema(
        summary="Ask for leave to trade",
        description="Another person gives it. A release takes a fresh proof, so no API key can ask for one.",
        request=ClearanceAskSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: ClearanceSerializer, **problems(400, 403, 409, 422)},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """409 when something stands against it; each is named with what to do."""
        wanted = _checked(ClearanceAskSerializer(data=request.data))
        environment = Environment.objects.visible_to(request.user).filter(name=wanted["environment"]).first()
        if environment is None:
            raise InvalidRequest("environment", f"There is no environment {wanted['environment']!r} that you may see.")
        if wanted["kind"] == Clearance.Kind.RELEASE:
            made = _ask_release(request, environment, wanted)
        else:
            made = clearances.request_resume(from_request(request), environment, wanted["reason"])
        return self._shown(made, status.HTTP_201_CREATED)

    @extend_schema(summary="Show a request for leave to trade", responses={200: ClearanceSerializer, **problems(404)})
    def retrieve(self, request: Request, pk: str) -> Response:
        """Where it stands, and what was read back."""
        return self._shown(self.get_object())

    @extend_schema(
        summary="Give leave to trade",
        description="It is carried out at once, and read back: done_at or failed_at tell. Nobody approves an own "
        "request. Approving a release takes a fresh proof, so no API key can do it.",
        request=ClearanceApproveSerializer,
        responses={200: ClearanceSerializer, **problems(400, 403, 404, 409)},
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """409 when it fell, expired or was decided, or when something stands against it."""
        found, wanted = self.get_object(), _checked(ClearanceApproveSerializer(data=request.data))
        if found.kind == Clearance.Kind.RELEASE:
            clearances.refuse_decision(from_request(request), found)
            step_up.confirm(request, "clearance.approved", found, found.environment.name)
        reason = wanted.get("reason", "")
        return self._shown(clearances.approve(from_request(request), found, wanted["subject_hash"], reason))

    @extend_schema(
        summary="Refuse leave to trade",
        request=ClearanceRejectSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ClearanceSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def reject(self, request: Request, pk: str) -> Response:
        """Needs a reason. Nobody rejects an own request; withdraw it."""
        found, wanted = self.get_object(), _checked(ClearanceRejectSerializer(data=request.data))
        return self._shown(clearances.reject(from_request(request), found, wanted["reason"]))

    @extend_schema(
        summary="Take back a request for leave to trade",
        request=ClearanceWithdrawSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: ClearanceSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def withdraw(self, request: Request, pk: str) -> Response:
        """For whoever asked alone."""
        found, wanted = self.get_object(), _checked(ClearanceWithdrawSerializer(data=request.data))
        return self._shown(clearances.withdraw(from_request(request), found, wanted.get("reason", "")))

    def _shown(self, clearance: Clearance, code: int = status.HTTP_200_OK) -> Response:
        fresh = self.get_queryset().get(pk=clearance.pk)
        data = ClearanceSerializer(fresh, context=self.get_serializer_context()).data
        return Response(data, status=code)


def _ask_release(request: Request, environment: Environment, wanted: dict[str, Any]) -> Clearance:
    actor, answers = from_request(request), given(wanted.get("answers"))
    clearances.refuse_request(actor, environment)
    stop = EmergencyStop.objects.filter(environment=environment, released_at=None).first()
    if stop is None:
        raise WrongState(f"No emergency stop of {environment.name} is in force. Nothing was asked for.")
    clearances.check_answers(answers, {}, "", "")
    step_up.confirm(request, "stop.released", stop, environment.name)
    return clearances.request_release(from_request(request), stop, answers, wanted["reason"])


def _checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    return data
