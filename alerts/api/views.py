"""Alerts over the API. Views parse and render; ``alerts/actions.py`` does."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import from_request
from accounts.idempotency import idempotent
from accounts.openapi import IDEMPOTENCY_KEY, problems
from accounts.roles import VIEW
from alerts import actions, queries
from alerts.api.serializers import (
    AcknowledgeSerializer,
    AlertFilterSerializer,
    AlertSerializer,
    AlertSummarySerializer,
)
from alerts.filters import STATES
from alerts.models import Alert

FILTERS = [
    OpenApiParameter("q", str, description="Text in title, detail, key or note."),
    OpenApiParameter("environment", str, description="Only alerts of this environment."),
    OpenApiParameter("kind", str, description="Only this kind, for example mismatch."),
    OpenApiParameter("severity", str, enum=Alert.Severity.values, description="Only this severity."),
    OpenApiParameter(
        "state",
        str,
        enum=list(STATES),
        description="open: the cause is there, or nobody acknowledged it; waiting: nobody acknowledged it; "
        "acknowledged: somebody did, and the cause is still there; cleared: the cause is gone.",
    ),
]


@extend_schema(tags=["Alerts"])
class AlertViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """What somebody has to know."""

    permission_map = {"list": VIEW, "retrieve": VIEW, "acknowledge": VIEW}
    serializer_class = AlertSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Alert.objects.none()

    def get_queryset(self) -> QuerySet[Alert]:
        """Those that the person may see, open ones first."""
        return queries.in_order(Alert.objects.visible_to(self.request.user))

    @extend_schema(
        summary="List alerts", parameters=FILTERS, responses={200: AlertSummarySerializer(many=True), **problems(400)}
    )
    def list(self, request: Request) -> Response:
        """Open ones first, of these the critical ones first, then the newest."""
        query = AlertFilterSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data["wanted"]
        page = self.paginate_queryset(wanted.of(self.get_queryset()))
        return self.get_paginated_response(AlertSummarySerializer(page, many=True).data)

    @extend_schema(summary="Show an alert", responses={200: AlertSerializer, **problems(404)})
    def retrieve(self, request: Request, pk: str) -> Response:
        """With what was sent out of it."""
        return Response(AlertSerializer(self.get_object()).data)

    @extend_schema(
        summary="Acknowledge an alert",
        description="Somebody knows: it is not sent out again. Again with a note: the note is replaced.",
        request=AcknowledgeSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: AlertSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def acknowledge(self, request: Request, pk: str) -> Response:
        """For whoever has work where it is."""
        alert = self.get_object()
        body = AcknowledgeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        given: dict[str, Any] = body.validated_data
        actions.acknowledge(from_request(request), alert, given.get("note", ""), seen=given.get("seen", ""))
        return Response(AlertSerializer(self.get_object()).data)
