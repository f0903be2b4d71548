"""The circuit breaker over the API: its trips, the questions, the reset, and opening it by hand."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import step_up
from accounts.actors import from_request
from accounts.idempotency import idempotent
from accounts.openapi import IDEMPOTENCY_KEY, StrictSerializer, problems
from accounts.roles import RESUME, STOP, VIEW
from environments.models import Environment
from environments.permissions import permissions_of
from trading import breaker_pages, breakers, clearances
from trading.api.questions import KeptAnswerSerializer, StepUpMemberSerializer, answers_field, given
from trading.models import BreakerTrip
from trading.questions import VALIDATION

ValidationAnswers = answers_field(VALIDATION)


class TripSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One trip, from the opening to the reset."""

    environment = serializers.CharField(source="environment.name", read_only=True)
    instance = serializers.CharField(source="instance_name", read_only=True)
    is_open = serializers.BooleanField(read_only=True, help_text="It is not reset.")
    tripped_by = serializers.CharField(
        source="tripped_by.display_name", default="", read_only=True, help_text="Empty when the trading system did."
    )
    answers = KeptAnswerSerializer(many=True, read_only=True)
    objections = serializers.SerializerMethodField(help_text="What stands against a reset; empty once it is reset.")
    reset_by = serializers.CharField(source="reset_by.display_name", default="", read_only=True)

    class Meta:
        model = BreakerTrip
        fields = (
            "id",
            "environment",
            "instance",
            "is_open",
            "reason_code",
            "reason",
            "observed",
            "threshold",
            "tripped_at",
            "tripped_by",
            "answers",
            "objections",
            "reset_by",
            "reset_at",
            "reset_reason",
        )
        read_only_fields = fields

    def get_objections(self, trip: BreakerTrip) -> list[str]:
        """Each in words, with what to do."""
        return breakers.objections(trip) if trip.is_open else []


class ValidateSerializer(StrictSerializer):
    """The answers to the three questions."""

    answers = ValidationAnswers()


class ResetSerializer(StrictSerializer):
    """Resetting a breaker."""

    reason = serializers.CharField(max_length=500)
    step_up = StepUpMemberSerializer(required=False)


class TripRequestSerializer(StrictSerializer):
    """Opening a breaker by hand."""

    reason = serializers.CharField(max_length=500)


class TripFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of trips."""

    environment = serializers.CharField(required=False, max_length=60)
    open = serializers.BooleanField(required=False, allow_null=True, default=None)


class BreakerSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The breaker of one instance, as it was last read."""

    instance = serializers.CharField(source="instance.name")
    has_trading_role = serializers.BooleanField(source="is_writer")
    state = serializers.CharField(help_text="open, closed or no_data.")
    read_at = serializers.DateTimeField(source="reading.at", allow_null=True)
    trip = TripSerializer(source="open.trip", default=None, allow_null=True, help_text="The trip that is not reset.")


class BreakersSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The breakers of an environment."""

    environment = serializers.CharField(source="environment.name")
    breakers = BreakerSerializer(source="cards", many=True)


@extend_schema(tags=["Circuit breakers"])
class TripViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Trips of the circuit breakers."""

    permission_map = {"list": VIEW, "retrieve": VIEW, "validate": RESUME, "reset": RESUME}
    serializer_class = TripSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = BreakerTrip.objects.none()

    def get_queryset(self) -> QuerySet[BreakerTrip]:
        """Trips of environments that the person may see."""
        found = BreakerTrip.objects.visible_to(self.request.user)
        return found.select_related("environment", "instance__slot__environment", "tripped_by", "reset_by")

    @extend_schema(
        summary="List trips",
        parameters=[
            OpenApiParameter("environment", str, description="Only of this environment."),
            OpenApiParameter("open", bool, description="Only those that are not reset, or only those that are."),
        ],
        responses={200: TripSerializer(many=True), **problems(400)},
    )
    def list(self, request: Request) -> Response:
        """Newest first."""
        wanted = _checked(TripFilterSerializer(data=request.query_params))
        found = self.get_queryset()
        if name := wanted.get("environment"):
            found = found.filter(environment__name=name)
        if wanted["open"] is not None:
            found = found.filter(reset_at__isnull=wanted["open"])
        return self.get_paginated_response(TripSerializer(self.paginate_queryset(found), many=True).data)

    @extend_schema(summary="Show a trip", responses={200: TripSerializer, **problems(404)})
    def retrieve(self, request: Request, pk: str) -> Response:
        """With the answers to its questions."""
        return Response(TripSerializer(self.get_object()).data)

    @extend_schema(
        summary="Answer the questions before a reset",
        description="Each takes yes or no, and what the answer rests on. They are kept with what the console sees.",
        request=ValidateSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: TripSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def validate(self, request: Request, pk: str) -> Response:
        """A later answer replaces the earlier one; both are in the audit trail."""
        trip, wanted = self.get_object(), _checked(ValidateSerializer(data=request.data))
        breakers.validate(from_request(request), trip, given(wanted["answers"]))
        return Response(TripSerializer(self.get_object()).data)

    @extend_schema(
        summary="Reset a breaker",
        description="Takes a fresh proof, so no API key can do it. Trading stays halted until it is resumed.",
        request=ResetSerializer,
        responses={200: TripSerializer, **problems(400, 403, 404, 409, 502)},
    )
    @action(detail=True, methods=["post"])
    def reset(self, request: Request, pk: str) -> Response:
        """409 while a question is not answered with yes, or the kill switch is engaged."""
        trip, wanted = self.get_object(), _checked(ResetSerializer(data=request.data))
        breakers.refuse_reset(from_request(request), trip)
        clearances.clean_reason(wanted["reason"])
        step_up.confirm(request, "breaker.reset", trip, trip.environment.name)
        breakers.reset(from_request(request), trip, wanted["reason"])
        return Response(TripSerializer(self.get_object()).data)


class BreakerView(APIView):
    """The breakers of an environment."""

    permission_map = {"get": VIEW}

    @extend_schema(
        tags=["Circuit breakers"],
        summary="Show the breakers of an environment",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name of the environment.")],
        responses={200: BreakersSerializer, **problems(404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """What is not read freshly is no_data, never closed."""
        environment = _environment(request, name)
        found = breaker_pages.places_of([environment], permissions_of(request.user, [environment]))
        return Response(BreakersSerializer(found[0]).data)


class TripView(APIView):
    """Opening the breakers of an environment by hand."""

    permission_map = {"post": STOP}

    @extend_schema(
        tags=["Circuit breakers"],
        summary="Open the breaker by hand",
        description="Every instance with the trading role halts, which is read back. Positions stay as they are. "
        "Doing it twice does it once.",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name of the environment.")],
        request=TripRequestSerializer,
        responses={200: TripSerializer(many=True), **problems(400, 403, 404, 409, 502)},
    )
    def post(self, request: Request, name: str) -> Response:
        """502 when an instance did not confirm it; the text says which."""
        environment = _environment(request, name)
        wanted = _checked(TripRequestSerializer(data=request.data))
        found = breakers.trip(from_request(request), environment, wanted["reason"])
        return Response(TripSerializer(found, many=True).data)


def _environment(request: Request, name: str) -> Environment:
    found = Environment.objects.visible_to(request.user).filter(name=name).first()
    if found is None:
        raise Http404(f"There is no environment {name!r} that you may see.")
    return found


def _checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    data: dict[str, Any] = serializer.validated_data
    return data
