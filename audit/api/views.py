"""The audit trail over the API."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.http import Http404, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param

from audit import export, queries, standing
from audit.api.serializers import (
    ChainStateSerializer,
    ExportSerializer,
    RecordDetailSerializer,
    RecordFilterSerializer,
    RecordSerializer,
)
from audit.export import Form
from audit.models import Outcome, Record
from audit.queries import Edge, Search

PAGE_SIZE, MOST = 50, 200
_TIME = (
    "A date or a moment, in UTC unless it says otherwise: 2026-01-21, 2026-01-21T14:02:11Z; or how long ago: 2h, 7d."
)
FILTERS = [
    OpenApiParameter("action", str, description="Only this action, for example deployment.started."),
    OpenApiParameter("environment", str, description="Only records of this environment."),
    OpenApiParameter("object", str, description="Only records on this object: TYPE or TYPE:ID, as in deployment:42."),
    OpenApiParameter("actor", str, description="Only acts of this person: user name, or the name in the record."),
    OpenApiParameter(
        "outcome", str, description="Only acts that ended so.", enum=[outcome.value for outcome in Outcome]
    ),
    OpenApiParameter("since", str, description=f"From this moment on. {_TIME}"),
    OpenApiParameter("until", str, description="Before this moment; a date: to the end of that day. Written as since."),
    OpenApiParameter(
        "q", str, description="Text in who, action, object or reason (3 or more characters), or a request id."
    ),
    OpenApiParameter("request", str, description="Only what was done in this request (request_id)."),
]
PAGES = [
    OpenApiParameter("cursor", str, description="A place in the list; take the whole address from next or previous."),
    OpenApiParameter("page_size", int, description=f"Records a page: {PAGE_SIZE}, at most {MOST}."),
]
PAGE_OF_RECORDS = inline_serializer(
    "PageOfRecords",
    {
        "next": serializers.URLField(allow_null=True, help_text="Address of the older records."),
        "previous": serializers.URLField(allow_null=True, help_text="Address of the newer records."),
        "results": RecordSerializer(many=True),
    },
)


class AnyAnswer(BaseContentNegotiation):
    """A file comes as what ``as`` says, whatever ``Accept`` says; errors come as JSON."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> tuple[BaseRenderer, str]:
        """The JSON renderer, which only errors use."""
        return renderers[0], renderers[0].media_type


@extend_schema(tags=["Audit"])
class RecordViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Who did what, when, and why."""

    permission_map = {
        "list": "view_environment",
        "retrieve": "view_environment",
        "chain": "view_environment",
        "export": "view_environment",
    }
    serializer_class = RecordSerializer
    pagination_class = None
    queryset = Record.objects.none()
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(summary="List audit records", parameters=[*FILTERS, *PAGES], responses={200: PAGE_OF_RECORDS})
    def list(self, request: Request) -> Response:
        """Newest first. Admins read all records, others those of the environments that they may see, and their own."""
        query = RecordFilterSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        search = Search.of(queries.reader(request.user), query.validated_data["wanted"])
        edge, newer = _cursor(request)
        size = _page_size(request)
        found = search.page(size + 1, edge, newer=newer)
        has_more = len(found) > size
        shown = (found[-size:] if newer else found[:size]) if has_more else found
        older = shown[-1] if shown and (has_more or newer) else None
        back = shown[0] if shown and (edge is not None if not newer else has_more) else None
        body = {
            "next": _address(request, older, newer=False),
            "previous": _address(request, back, newer=True),
            "results": RecordSerializer(shown, many=True).data,
        }
        return Response(body)

    @extend_schema(summary="Read one audit record with its proof", responses={200: RecordDetailSerializer})
    def retrieve(self, request: Request, pk: str) -> Response:
        """Everything that was kept of one act, and its place in the chain, computed anew."""
        record = Record.objects.filter(queries.reader(request.user).q(), pk=int(pk)).first()
        if record is None:
            raise Http404(f"There is no audit record {pk} that you may see.")
        record.chain = standing.proof(record)  # type: ignore[attr-defined]
        return Response(RecordDetailSerializer(record).data)

    @extend_schema(summary="Read how the chain stands", responses={200: ChainStateSerializer})
    @action(detail=False)
    def chain(self, request: Request) -> Response:
        """Up to which entry the chain was verified, and when; what waits to be chained; the newest signature."""
        return Response(ChainStateSerializer(standing.chain_state()).data)

    @extend_schema(
        operation_id="audit_export",
        summary="Export audit records",
        parameters=[OpenApiParameter("as", str, default=Form.CSV.value, enum=[form.value for form in Form]), *FILTERS],
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/x-ndjson"): OpenApiResponse(OpenApiTypes.STR, description="Records with their proof."),
        },
    )
    @action(detail=False, content_negotiation_class=AnyAnswer)
    def export(self, request: Request) -> HttpResponseBase:
        """Every record of a filter as a file, of any size: csv, or jsonl with the proof of the chain.

        The export is itself in the trail before its first byte is sent. manage.py audit_verify --export checks a
        jsonl file.
        """
        query = ExportSerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        return export.answer(request, query.validated_data["wanted"], Form(query.validated_data["as"]))


def _page_size(request: Request) -> int:
    """What the query asks for, between 1 and 200; what is no number is taken as the usual size, as in other lists."""
    text = request.query_params.get("page_size", "")
    return min(int(text), MOST) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) else PAGE_SIZE


def _cursor(request: Request) -> tuple[Edge | None, bool]:
    """The place in the list, and whether the newer records are wanted; a made-up one is a page that does not exist."""
    text = request.query_params.get("cursor", "")
    if not text:
        return None, False
    try:
        direction, _, place = (
            base64.b64decode(text.encode(), validate=True, altchars=b"-_").decode("ascii").partition(":")
        )
    except (binascii.Error, ValueError):
        direction, place = "", ""
    edge = queries.edge(place)
    if edge is None or direction not in ("older", "newer"):
        raise NotFound("There is no such page. Begin at the first: leave out cursor.")
    return edge, direction == "newer"


def _address(request: Request, record: Record | None, *, newer: bool) -> str | None:
    if record is None:
        return None
    place = f"{'newer' if newer else 'older'}:{Edge(record.at, record.pk)}"
    address = remove_query_param(request.build_absolute_uri(), "cursor")
    return replace_query_param(address, "cursor", base64.urlsafe_b64encode(place.encode()).decode())
