"""Rollback reports over the API. Views parse and render; ``rollback_reports.py`` does."""

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
from accounts.roles import APPROVE, CHECKLISTS, VIEW
from deployments import rollback_report_queries as queries
from deployments import rollback_reports as reports
from deployments.api.checked import checked
from deployments.models import RollbackReport
from deployments.rollback_report_facts import proposal
from deployments.starting import REASON_LIMIT

HIGHEST = 2**53
FILTERS = [
    OpenApiParameter("environment", str, description="Only those of this environment."),
    OpenApiParameter("state", str, enum=list(queries.STATES), description="owed: nobody has finished it."),
    OpenApiParameter("version", str, description="Only those of releases whose version contains this."),
    OpenApiParameter("deployment", int, description="The one of this deployment, or of the rollback of this number."),
]


class RollbackReportSummarySerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One report in a list."""

    state = serializers.SerializerMethodField(help_text="owed or complete.")
    environment = serializers.CharField(source="rollback.environment.name", read_only=True)
    deployment = serializers.IntegerField(
        source="rollback.reverts_id", read_only=True, help_text="The deployment that was taken back."
    )
    rollback = serializers.IntegerField(source="rollback_id", read_only=True, help_text="Its rollback.")
    release = serializers.CharField(source="rollback.reverts.to_release.version", read_only=True)
    back_to = serializers.CharField(source="rollback.to_release.version", read_only=True)
    asked_by = serializers.CharField(
        source="rollback.requested_by_name", read_only=True, help_text="Who asked for the rollback, guard: by itself."
    )
    touched_by = serializers.CharField(source="touched_by.display_name", default=None, allow_null=True, read_only=True)
    completed_by = serializers.CharField(
        source="completed_by.display_name", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = RollbackReport
        fields: tuple[str, ...] = (
            "id",
            "state",
            "environment",
            "deployment",
            "rollback",
            "release",
            "back_to",
            "asked_by",
            "what_failed",
            "why_rollback",
            "prevention",
            "revision",
            "created_at",
            "touched_at",
            "touched_by",
            "completed_at",
            "completed_by",
        )
        read_only_fields = fields

    def get_state(self, report: RollbackReport) -> str:
        """From whether it is finished."""
        return reports.state_of(report)


class ProposalSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """What the measurements say for the first two questions."""

    what_failed = serializers.CharField()
    why_rollback = serializers.CharField()


class RollbackReportSerializer(RollbackReportSummarySerializer):
    """One report with its facts."""

    facts = serializers.SerializerMethodField(
        help_text="Time line, times and measurements: as they are now, and frozen once the report is complete."
    )
    proposed = serializers.SerializerMethodField(help_text="Text from the facts, to be corrected and completed.")

    class Meta(RollbackReportSummarySerializer.Meta):
        fields = (*RollbackReportSummarySerializer.Meta.fields, "facts", "proposed")
        read_only_fields = fields

    def to_representation(self, instance: RollbackReport) -> dict[str, Any]:
        """The facts are read once for both members that show them."""
        self._facts = queries.facts_of(instance)
        shown: dict[str, Any] = super().to_representation(instance)
        return shown

    @extend_schema_field(serializers.DictField())
    def get_facts(self, report: RollbackReport) -> dict[str, Any]:
        """See ``rollback_report_facts.py`` for its members."""
        return self._facts.as_json()

    @extend_schema_field(ProposalSerializer(allow_null=True))
    def get_proposed(self, report: RollbackReport) -> dict[str, str] | None:
        """Null once the report is complete."""
        if report.completed_at is not None:
            return None
        found = proposal(self._facts)
        return {"what_failed": found.what_failed, "why_rollback": found.why_rollback}


def _text(question: str) -> serializers.CharField:
    return serializers.CharField(
        required=False, allow_blank=True, max_length=reports.TEXT_LIMIT, help_text=f"{question} Left out: it stays."
    )


class AnswersSerializer(StrictSerializer):
    """Answers to the three questions, and the revision that they were written for."""

    revision = serializers.IntegerField(
        min_value=0, max_value=HIGHEST, help_text="Of the report that you read; when it is another one now: 409."
    )
    what_failed = _text(reports.QUESTIONS["what_failed"])
    why_rollback = _text(reports.QUESTIONS["why_rollback"])
    prevention = _text(reports.QUESTIONS["prevention"])


class ReopenSerializer(StrictSerializer):
    """Why a complete report is opened again."""

    reason = serializers.CharField(max_length=REASON_LIMIT, help_text="Kept in the audit trail.")


class RollbackReportFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of reports."""

    environment = serializers.CharField(required=False, max_length=60)
    state = serializers.ChoiceField(required=False, choices=list(queries.STATES.items()))
    version = serializers.CharField(required=False, max_length=40)
    deployment = serializers.IntegerField(required=False, min_value=1, max_value=HIGHEST)


@extend_schema(tags=["Rollback reports"])
class RollbackReportViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """What failed, why it was rolled back, and how to prevent it."""

    permission_map = {
        "list": VIEW,
        "retrieve": VIEW,
        "partial_update": CHECKLISTS,
        "complete": CHECKLISTS,
        "reopen": APPROVE,
    }
    serializer_class = RollbackReportSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = RollbackReport.objects.none()

    def get_queryset(self) -> QuerySet[RollbackReport]:
        """Reports of environments that the person may see."""
        found = queries.related(RollbackReport.objects.visible_to(self.request.user))
        return found if self.action == "list" else queries.with_evidence(found)

    @extend_schema(
        summary="List rollback reports",
        parameters=FILTERS,
        responses={200: RollbackReportSummarySerializer(many=True), **problems(400)},
    )
    def list(self, request: Request) -> Response:
        """Owed ones first, then the newest."""
        given = checked(RollbackReportFilterSerializer(data=request.query_params)).validated_data
        page = self.paginate_queryset(queries.listed(request.user, queries.Wanted(**given)))
        return self.get_paginated_response(RollbackReportSummarySerializer(page, many=True).data)

    @extend_schema(summary="Show a rollback report", responses={200: RollbackReportSerializer, **problems(404)})
    def retrieve(self, request: Request, pk: str) -> Response:
        """With time line and measurements."""
        return Response(RollbackReportSerializer(self.get_object()).data)

    @extend_schema(
        summary="Save a draft",
        description="Answers that are left out stay. For whoever ticks checklists or deploys in the environment.",
        request=AnswersSerializer,
        responses={200: RollbackReportSerializer, **problems(400, 403, 404, 409)},
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """409 when somebody else changed it since it was read, or it is complete."""
        report = self.get_object()
        given = dict(checked(AnswersSerializer(data=request.data)).validated_data)
        reports.save(from_request(request), report, revision=given.pop("revision"), texts=given)
        return self._shown(report)

    @extend_schema(
        summary="Complete a rollback report",
        description="All three questions need an answer, and the rollback must have ended. The facts are frozen, and "
        "the next deployment to the environment no longer waits for this report.",
        request=AnswersSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: RollbackReportSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def complete(self, request: Request, pk: str) -> Response:
        """Answers may be sent with it."""
        report = self.get_object()
        given = dict(checked(AnswersSerializer(data=request.data)).validated_data)
        reports.complete(from_request(request), report, revision=given.pop("revision"), texts=given)
        return self._shown(report)

    @extend_schema(
        summary="Reopen a rollback report",
        description="For an Admin. It is owed again until somebody completes it.",
        request=ReopenSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: RollbackReportSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def reopen(self, request: Request, pk: str) -> Response:
        """Needs a reason."""
        report = self.get_object()
        given = checked(ReopenSerializer(data=request.data)).validated_data
        reports.reopen(from_request(request), report, given["reason"])
        return self._shown(report)

    def _shown(self, report: RollbackReport) -> Response:
        return Response(RollbackReportSerializer(self.get_queryset().get(pk=report.pk)).data)
