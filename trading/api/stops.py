"""The kill switch over the API, and at ``/admin/emergency-stop``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actors import from_request
from accounts.authentication import BearerAuthentication
from accounts.openapi import StrictSerializer, problems
from accounts.roles import STOP, VIEW
from environments.models import Environment
from trading import stop_pages, stops
from trading.models import EmergencyStop

REASON = "Why; up to 500 characters. It may follow within 15 minutes."
OUTCOMES = "FLAT, NOT_FLAT, UNCONFIRMED, or null while there is none."


class PressSerializer(StrictSerializer):
    """A press of the kill switch."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=500, help_text=REASON)
    drill = serializers.BooleanField(required=False, default=False, help_text="A rehearsal; never in production.")


class AdminPressSerializer(StrictSerializer):
    """A press at the specification's address."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=500, help_text=REASON)
    environment = serializers.CharField(
        required=False,
        max_length=60,
        help_text="Without it: the only one that the key may stop, else production.",
    )


class ReasonSerializer(StrictSerializer):
    """Why trading was stopped, said afterwards."""

    reason = serializers.CharField(max_length=500)


class PressedSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The answer to a press: it is under way, nothing is confirmed yet."""

    id = serializers.UUIDField()
    joined = serializers.BooleanField(help_text="It was under way already; this press joined it.")
    environment = serializers.CharField()
    drill = serializers.BooleanField()


class StopStepSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One step of a stop."""

    name = serializers.CharField(source="key")
    title = serializers.CharField()
    status = serializers.CharField(help_text="waiting, running, done, late (not confirmed in time) or failed.")
    at = serializers.DateTimeField(allow_null=True)
    ms = serializers.IntegerField(allow_null=True, help_text="Milliseconds after the press.")
    detail = serializers.CharField(allow_blank=True)


class RemainingSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """An order or a position that was there at the last read."""

    kind = serializers.CharField(help_text="order or position.")
    symbol = serializers.CharField()
    size = serializers.CharField()
    order = serializers.CharField(allow_blank=True, help_text="Its id at the exchange; empty for a position.")
    error = serializers.CharField(allow_blank=True, help_text="What the exchange answered last.")


class StopSummarySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """An emergency stop in a list."""

    id = serializers.UUIDField()
    environment = serializers.CharField()
    drill = serializers.BooleanField()
    actor = serializers.CharField()
    via = serializers.CharField(help_text="page, api, opsctl or monitor.")
    reason = serializers.CharField(allow_blank=True, help_text="Empty: not stated yet.")
    pressed_at = serializers.DateTimeField()
    halted_at = serializers.DateTimeField(allow_null=True, help_text="The writer's halt was read back.")
    clean_at = serializers.DateTimeField(allow_null=True, help_text="First read with nothing left.")
    flat_at = serializers.DateTimeField(allow_null=True, help_text="Second such read, with the writer halted.")
    # No enumeration in the schema: a generated client must not break when one is added.
    outcome = serializers.CharField(allow_null=True, help_text=OUTCOMES)
    running = serializers.BooleanField(help_text="It still works, also after a first outcome.")
    released_at = serializers.DateTimeField(allow_null=True)
    released_by = serializers.CharField(allow_blank=True)


class StopSerializer(StopSummarySerializer):
    """An emergency stop with its steps and what is left."""

    steps = StopStepSerializer(many=True)
    remaining = RemainingSerializer(many=True)
    last_read_at = serializers.DateTimeField(source="read_at", allow_null=True)


@extend_schema(tags=["Emergency stop"])
class PressView(APIView):
    """Stopping an environment."""

    permission_map = {"post": STOP}

    @extend_schema(
        summary="Stop trading now",
        description="Latches, cancels every order, closes every position, halts all strategies, disconnects. Answers "
        "at once; follow the stop at Location. A second press joins the one that runs.",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name of the environment.")],
        request=PressSerializer,
        responses={202: PressedSerializer, **problems(400, 403, 404, 409)},
    )
    def post(self, request: Request, name: str) -> Response:
        """Needs no Idempotency-Key: a repeat joins."""
        environment = _visible(request, name)
        given = _checked(PressSerializer(data=request.data))
        return _pressed(request, environment, given.get("reason", ""), drill=given["drill"])


@extend_schema(tags=["Emergency stop"])
class AdminPressView(APIView):
    """``POST /admin/emergency-stop``: the address of the specification, for a Bearer token."""

    authentication_classes = (BearerAuthentication,)
    permission_map = {"post": STOP}

    @extend_schema(
        summary="Stop trading now, by the short address",
        request=AdminPressSerializer,
        responses={202: PressedSerializer, **problems(400, 403, 404, 409)},
    )
    def post(self, request: Request) -> Response:
        """Without an environment: the only one that the key may stop, else production."""
        given = _checked(AdminPressSerializer(data=request.data))
        name = given.get("environment")
        environment = _visible(request, name) if name else stops.usual(request.user)
        if environment is None:
            raise Http404("There is no environment that you may see. Name one as environment.")
        return _pressed(request, environment, given.get("reason", ""), drill=False)


@extend_schema(tags=["Emergency stop"])
class StopListView(generics.GenericAPIView):  # type: ignore[type-arg]
    """Emergency stops and drills."""

    permission_map = {"get": VIEW}
    serializer_class = StopSummarySerializer
    queryset = EmergencyStop.objects.none()

    @extend_schema(
        operation_id="emergency_stops_list",
        summary="List emergency stops",
        responses={200: StopSummarySerializer(many=True), **problems()},
    )
    def get(self, request: Request) -> Response:
        """Newest first, drills included."""
        page = self.paginate_queryset(stop_pages.visible(request.user).defer("journal"))
        rows = list(page or ())
        running = stop_pages.running_of(rows)
        found = [stop_pages.summary_of(row, running) for row in rows]
        return self.get_paginated_response(StopSummarySerializer(found, many=True).data)


@extend_schema(tags=["Emergency stop"])
class StopView(APIView):
    """One emergency stop."""

    permission_map = {"get": VIEW}

    @extend_schema(summary="Show an emergency stop", responses={200: StopSerializer, **problems(404)})
    def get(self, request: Request, pk: UUID) -> Response:
        """Steps with their times, what is left, and the outcome, as the journal tells them now."""
        return Response(StopSerializer(_find(request, pk).page).data)


@extend_schema(tags=["Emergency stop"])
class StopReasonView(APIView):
    """Why trading was stopped."""

    permission_map = {"post": STOP}

    @extend_schema(
        summary="Say why trading was stopped",
        description="Within 15 minutes, when the press came without a reason.",
        request=ReasonSerializer,
        responses={200: StopSerializer, **problems(400, 403, 404, 409)},
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """Kept in the journal and in the audit trail."""
        found = _find(request, pk)
        given = _checked(ReasonSerializer(data=request.data))
        stops.give_reason(from_request(request), found.stop, given["reason"])
        return Response(StopSerializer(_find(request, pk).page).data)


def _visible(request: Request, name: str) -> Environment:
    environment = Environment.objects.visible_to(request.user).filter(name=name).first()
    if environment is None:
        raise Http404(f"There is no environment {name!r} that you may see.")
    return environment


def _find(request: Request, pk: UUID) -> stop_pages.Found:
    found = stop_pages.find(request.user, pk)
    if found is None:
        raise Http404("There is no such emergency stop that you may see.")
    return found


def _pressed(request: Request, environment: Environment, reason: str, *, drill: bool) -> Response:
    pressed = stops.press(from_request(request), environment, reason, drill=drill, via="api")
    body: dict[str, Any] = {
        "id": pressed.id,
        "joined": pressed.joined,
        "environment": environment.name,
        "drill": pressed.drill,
    }
    headers = {"Location": reverse("api:stop", args=[pressed.id])}
    return Response(PressedSerializer(body).data, status=202, headers=headers)


def _checked(serializer: serializers.Serializer) -> Any:  # type: ignore[type-arg]
    serializer.is_valid(raise_exception=True)
    return serializer.validated_data
