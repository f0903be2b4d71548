"""The databases over the API: what was done, and asking for a backup, a verification or a restore."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import step_up
from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.idempotency import idempotent
from accounts.openapi import IDEMPOTENCY_KEY, StrictSerializer, problems
from accounts.roles import CONFIGURE, VIEW
from environments.models import Environment
from trading import database_pages, databases
from trading.api.questions import StepUpMemberSerializer
from trading.models import DatabaseRun

KINDS = ", ".join(kind.value for kind in DatabaseRun.Kind)  # type: ignore[attr-defined]
STATUSES = ", ".join(status.value for status in DatabaseRun.Status)  # type: ignore[attr-defined]
NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name of the environment.")


class DatabaseRunSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One backup, verification or restore."""

    environment = serializers.CharField(source="environment.name", read_only=True)
    # No enumeration in the schema: a generated client must not break when one is added.
    kind = serializers.CharField(read_only=True, help_text=f"One of: {KINDS}.")
    status = serializers.CharField(read_only=True, help_text=f"One of: {STATUSES}.")
    backup = serializers.UUIDField(
        source="backup_id", allow_null=True, read_only=True, help_text="What is verified or restored; null: the data."
    )
    asked_by = serializers.CharField(source="actor_name", read_only=True)
    has_file = serializers.BooleanField(read_only=True, help_text="It is a backup that can be restored.")
    rows = serializers.SerializerMethodField(help_text="Rows of each table, as far as they were counted.")
    safety = serializers.SerializerMethodField(help_text="Restore: file with the state before; else empty.")
    url = serializers.SerializerMethodField(help_text="Path of its page.")

    class Meta:
        model = DatabaseRun
        fields = (
            "id",
            "environment",
            "kind",
            "status",
            "backup",
            "progress",
            "detail",
            "reason",
            "asked_by",
            "requested_at",
            "started_at",
            "finished_at",
            "path",
            "size",
            "sha256",
            "has_file",
            "rows",
            "safety",
            "url",
        )
        read_only_fields = fields

    def get_rows(self, run: DatabaseRun) -> dict[str, int]:
        """By table."""
        found: dict[str, int] = run.facts.get("rows") or {}
        return found

    def get_safety(self, run: DatabaseRun) -> str:
        """Its path."""
        return str(run.facts.get("safety") or "")

    def get_url(self, run: DatabaseRun) -> str:
        """Where a person follows it."""
        return reverse("database-run", args=[run.pk])


class NewRunSerializer(StrictSerializer):
    """What is to be done with the database."""

    kind = serializers.ChoiceField(choices=DatabaseRun.Kind.choices, help_text=f"One of: {KINDS}.")
    reason = serializers.CharField(max_length=databases.REASON_LIMIT, help_text="Why; kept in the audit trail.")
    backup = serializers.UUIDField(
        required=False, allow_null=True, help_text="A backup of this environment; verify without it reads the data."
    )
    even_if_unreadable = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Restore: go on when the present state is so damaged that it cannot be backed up first.",
    )
    step_up = StepUpMemberSerializer(required=False, help_text="Restore: the fresh proof.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A restore needs a backup, a backup takes none."""
        if attrs["kind"] == DatabaseRun.Kind.RESTORE and not attrs.get("backup"):
            raise serializers.ValidationError({"backup": ["Say which backup is to be restored."]})
        if attrs["kind"] == DatabaseRun.Kind.BACKUP and attrs.get("backup"):
            raise serializers.ValidationError({"backup": ["A backup is made of the data; leave this out."]})
        return attrs


class RunFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list."""

    kind = serializers.ChoiceField(required=False, choices=DatabaseRun.Kind.choices)
    file = serializers.BooleanField(required=False, default=False, help_text="Only backups whose file is kept.")


@extend_schema(tags=["Databases"])
class EnvironmentRunsView(generics.GenericAPIView):  # type: ignore[type-arg]
    """What was and is done with the database of one environment."""

    permission_map = {"get": VIEW, "post": CONFIGURE}
    serializer_class = DatabaseRunSerializer
    queryset = DatabaseRun.objects.none()

    @extend_schema(
        summary="List what was done with a database",
        parameters=[
            NAME,
            OpenApiParameter("kind", str, description=f"Only these: {KINDS}."),
            OpenApiParameter("file", bool, description="Only backups whose file is kept."),
        ],
        responses={200: DatabaseRunSerializer(many=True), **problems(400, 404)},
    )
    def get(self, request: Request, name: str) -> Response:
        """Newest first."""
        wanted = _checked(RunFilterSerializer(data=request.query_params))
        found: QuerySet[DatabaseRun] = DatabaseRun.objects.filter(environment=_visible(request, name))
        if wanted["file"]:
            found = found.backups().exclude(path="")  # type: ignore[attr-defined]
        if "kind" in wanted:
            found = found.filter(kind=wanted["kind"])
        page = self.paginate_queryset(found.select_related("environment"))
        return self.get_paginated_response(DatabaseRunSerializer(page, many=True).data)

    @extend_schema(
        summary="Back up, verify or restore a database",
        description="Answers at once; follow it at Location. A restore takes a fresh proof, so no API key can do it, "
        "and needs trading to be halted.",
        parameters=[NAME, IDEMPOTENCY_KEY],
        request=NewRunSerializer,
        responses={202: DatabaseRunSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """409 while another one is under way in this environment."""
        environment = _visible(request, name)
        given = _checked(NewRunSerializer(data=request.data))
        backup = _backup(environment, given.get("backup"))
        run = _begin(request, environment, given, backup)
        headers = {"Location": reverse("api:database-run", args=[run.pk])}
        return Response(DatabaseRunSerializer(run).data, status=202, headers=headers)


@extend_schema(tags=["Databases"])
class DatabaseRunView(APIView):
    """One backup, verification or restore."""

    permission_map = {"get": VIEW}

    @extend_schema(
        summary="Show a backup, verification or restore",
        responses={200: DatabaseRunSerializer, **problems(404)},
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """With its progress while it is under way."""
        try:
            return Response(DatabaseRunSerializer(database_pages.load(request.user, pk)).data)
        except DatabaseRun.DoesNotExist:
            raise Http404(f"There is no run {pk} that you may see.") from None


def _begin(
    request: Request, environment: Environment, given: dict[str, Any], backup: DatabaseRun | None
) -> DatabaseRun:
    actor, reason = from_request(request), given["reason"]
    if given["kind"] == DatabaseRun.Kind.BACKUP:
        return databases.back_up(actor, environment, reason)
    if given["kind"] == DatabaseRun.Kind.VERIFY or backup is None:
        return databases.verify(actor, environment, reason, backup)
    databases.refuse_restore(actor, environment, backup, reason)
    step_up.confirm(request, databases.RESTORE, backup, environment.name)
    return databases.restore(actor, environment, backup, reason, even_if_unreadable=given["even_if_unreadable"])


def _backup(environment: Environment, pk: UUID | None) -> DatabaseRun | None:
    if pk is None:
        return None
    found = DatabaseRun.objects.filter(environment=environment, pk=pk).first()
    if found is None:
        raise InvalidRequest("backup", f"There is no backup {pk} of {environment.name}.")
    return found


def _visible(request: Request, name: str) -> Environment:
    found = Environment.objects.visible_to(request.user).filter(name=name).first()
    if found is None:
        raise Http404(f"There is no environment {name!r} that you may see.")
    return found


def _checked(serializer: Any) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = serializer.validated_data
    return found
