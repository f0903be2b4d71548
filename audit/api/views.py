"""The audit trail over the API."""

from __future__ import annotations

import re

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from audit import pages
from audit.api.serializers import RecordFilterSerializer, RecordSerializer
from audit.models import Outcome, Record

_RECORD_ID = re.compile(r"[0-9]{1,18}")


class RecordPagination(CursorPagination):
    """``{"next", "previous", "results"}``: a cursor stays right while records are added, and no page is slow."""

    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The cursor of the query; a made-up one is a 404 like any page that does not exist."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not _RECORD_ID.fullmatch(cursor.position):
            raise NotFound(self.invalid_cursor_message)
        return cursor


@extend_schema(tags=["Audit"])
class RecordViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Who did what, when, and why."""

    permission_map = {"list": "view_environment"}
    serializer_class = RecordSerializer
    pagination_class = RecordPagination
    queryset = Record.objects.none()

    def get_queryset(self) -> QuerySet[Record]:
        """Records that the person may read, by the same rule as on the pages."""
        return pages.visible_to(self.request.user)

    @extend_schema(
        summary="List audit records",
        parameters=[
            OpenApiParameter("action", str, description="Only this action, for example deployment.started."),
            OpenApiParameter("environment", str, description="Only records of this environment."),
            OpenApiParameter(
                "object", str, description="Only records on this object: TYPE or TYPE:ID, as in deployment:42."
            ),
            OpenApiParameter(
                "actor", str, description="Only acts of this person: user name, or the name in the record."
            ),
            OpenApiParameter(
                "outcome", str, description="Only acts that ended so.", enum=[outcome.value for outcome in Outcome]
            ),
        ],
        responses={200: RecordSerializer(many=True)},
    )
    def list(self, request: Request) -> Response:
        """Newest first. Admins read all records, others those of the environments that they may see."""
        query = RecordFilterSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        page = self.paginate_queryset(_filtered(self.get_queryset(), query.validated_data))
        return self.get_paginated_response(RecordSerializer(page, many=True).data)


def _filtered(found: QuerySet[Record], wanted: dict[str, str]) -> QuerySet[Record]:
    for name in ("action", "environment", "outcome"):
        if name in wanted:
            found = found.filter(**{name: wanted[name]})
    if "actor" in wanted:
        found = found.filter(Q(actor_name=wanted["actor"]) | Q(actor__username=wanted["actor"]))
    if "object" in wanted:
        kind, _, key = wanted["object"].partition(":")
        found = found.filter(object_type=kind, **({"object_id": key} if key else {}))
    return found
