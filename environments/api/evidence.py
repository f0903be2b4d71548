"""Evidence over the API: what checklists and runbooks can read, and one reading of this moment."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.openapi import problems
from accounts.roles import VIEW
from environments import evidence
from environments.evidence import Subject, Verdict
from environments.models import Environment


class EvidenceNameSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Something that can be read."""

    name = serializers.CharField(help_text="As checklists and runbooks write it.")
    title = serializers.CharField()


class EvidenceQuerySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of a reading."""

    environment = serializers.CharField(max_length=60)
    release = serializers.CharField(max_length=40, required=False, default="", allow_blank=True)


class EvidenceSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A reading of this moment."""

    name = serializers.CharField()
    title = serializers.CharField()
    environment = serializers.CharField()
    at = serializers.DateTimeField()
    value = serializers.CharField(source="reading.value", help_text="In words, with numbers and units.")
    # No enumeration in the schema: a generated client must not break when a verdict is added.
    verdict = serializers.CharField(
        source="reading.verdict.value",
        help_text=f"{', '.join(list(Verdict)[:-1])}, or no_data: it could not be read, and says nothing.",
    )
    link = serializers.CharField(source="reading.link", help_text="Path of a page that shows more; empty without one.")
    detail = serializers.CharField(source="reading.detail", help_text="Lines of plain text; empty without any.")


@extend_schema(tags=["Evidence"])
class EvidenceNamesView(APIView):
    """What can be read."""

    permission_map = {"get": VIEW}

    @extend_schema(
        summary="List what can be read",
        operation_id="evidence_list",
        responses={200: EvidenceNameSerializer(many=True), **problems()},
    )
    def get(self, request: Request) -> Response:
        """Every name with its title, in alphabetical order. The same in every environment."""
        return Response(EvidenceNameSerializer(list(evidence.providers().values()), many=True).data)


@extend_schema(tags=["Evidence"])
class EvidenceView(APIView):
    """One reading."""

    permission_map = {"get": VIEW}

    @extend_schema(
        summary="Read one now",
        operation_id="evidence_read",
        parameters=[
            OpenApiParameter("name", str, OpenApiParameter.PATH, description="For example trading.reconciliation."),
            OpenApiParameter("environment", str, required=True, description="Name of the environment."),
            OpenApiParameter("release", str, description="Version that the deployments.… names about a release need."),
        ],
        responses={200: EvidenceSerializer, **problems(400, 404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """Asks the trading system or the exchange, where it must; ends within about three seconds. Changes nothing."""
        query = EvidenceQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data["environment"]
        visible = Environment.objects.visible_to(request.user).select_related("service", "live_slot", "writer_slot")
        environment = visible.filter(name=wanted).first()
        if environment is None:
            raise Http404(f"There is no environment {wanted!r} that you may see.")
        if name not in evidence.providers():
            raise Http404(f"Nothing is read under the name {name!r}; GET /api/v1/evidence/ lists the names.")
        found = evidence.read(name, Subject(environment, query.validated_data["release"]))
        shown = {"name": found.name, "title": found.title, "environment": environment.name}
        return Response(EvidenceSerializer({**shown, "at": found.at, "reading": found.reading}).data)
