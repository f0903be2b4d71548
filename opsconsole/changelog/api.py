"""The change log over the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from accounts.openapi import problems
from accounts.roles import VIEW
from opsconsole.changelog import filters
from opsconsole.changelog.collect import Found, collect, scope
from opsconsole.changelog.entries import Entry, Kind, place
from opsconsole.changelog.markdown import state_words

PAGE_SIZE, MOST = 50, 200
_TIME = "A date or a moment, in UTC unless it says otherwise: 2026-01-21, 2026-01-21T14:02:11Z; or 2h, 7d ago."
FILTERS = [
    OpenApiParameter(
        "kind",
        str,
        enum=[kind.value for kind in Kind],
        description="Only this kind; a deployment that failed is an incident too, one that brought another "
        "configuration revision also a change of the configuration.",
    ),
    OpenApiParameter("environment", str, description="Only entries of this environment."),
    OpenApiParameter("since", str, description=f"From this moment on. {_TIME}"),
    OpenApiParameter("until", str, description="Before this moment; a date: to the end of that day. As since."),
    OpenApiParameter("before", str, description="A place in the list; take the whole address from next."),
    OpenApiParameter("page_size", int, description=f"Entries a page: {PAGE_SIZE}, at most {MOST}."),
]


class ChangeLogLinkSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A page of the console that tells more."""

    title = serializers.CharField()
    path = serializers.CharField()


class ChangeLogEntrySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One deployment, configuration change or incident."""

    id = serializers.CharField(help_text="Stays the same when the entry changes.")
    at = serializers.DateTimeField(help_text="When it began.")
    changed_at = serializers.DateTimeField(allow_null=True, help_text="Last change of what it tells.")
    kinds = serializers.ListField(child=serializers.CharField(), help_text="deployment, configuration, incident.")
    title = serializers.CharField()
    status = serializers.CharField(allow_null=True, help_text="In words; null for an act that was simply done.")
    details = serializers.ListField(child=serializers.CharField(), help_text="Why, and what came of it: sentences.")
    who = serializers.CharField(allow_blank=True)
    environment = serializers.CharField(allow_null=True)
    links = ChangeLogLinkSerializer(many=True)


PAGE_OF_ENTRIES = inline_serializer(
    "PageOfChangeLogEntries",
    {
        "next": serializers.URLField(allow_null=True, help_text="Address of the older entries."),
        "results": ChangeLogEntrySerializer(many=True),
    },
)


class ChangeLogView(APIView):
    """Deployments, configuration changes and incidents."""

    permission_map = {"get": VIEW}

    @extend_schema(
        tags=["Change log"],
        summary="List what changed and what went wrong",
        operation_id="changelog_list",
        parameters=FILTERS,
        responses={200: PAGE_OF_ENTRIES, **problems(400)},
    )
    def get(self, request: Request) -> Response:
        """Newest first. You see what you may see elsewhere: your environments, and of the audit trail your part."""
        wanted, unusable = filters.read(request.query_params)
        if unusable:
            raise serializers.ValidationError(unusable)
        before = request.query_params.get("before", "")
        after = place(before)
        if before and after is None:
            raise NotFound("There is no such page. Begin at the first: leave out before.")
        found = collect(scope(request.user), wanted, _size(request), after)
        return Response(
            {
                "next": _next(request, found),
                "results": ChangeLogEntrySerializer([_plain(entry) for entry in found.entries], many=True).data,
            }
        )


def _size(request: Request) -> int:
    text = request.query_params.get("page_size", "")
    return min(MOST, int(text)) if text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) else PAGE_SIZE


def _next(request: Request, found: Found) -> str | None:
    if found.older is None:
        return None
    return str(replace_query_param(request.build_absolute_uri(), "before", str(found.older)))


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "changed_at": entry.changed_at,
        "kinds": [kind.value for kind in entry.kinds],
        "title": entry.title,
        "status": state_words(entry) or None,
        "details": [sentence for sentence in entry.details if sentence],
        "who": entry.who,
        "environment": entry.environment or None,
        "links": [{"title": word, "path": path} for word, path in entry.links],
    }
