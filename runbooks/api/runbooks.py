"""Runbooks and their runs over the API. Views parse and render; ``runbook_actions.py`` does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.idempotency import idempotent
from accounts.openapi import IDEMPOTENCY_KEY, problems
from accounts.roles import VIEW
from alerts.models import Alert
from environments.models import Environment
from runbooks import library, runbook_about, runbook_actions, runbook_queries
from runbooks.api.runbook_serializers import (
    RunbookActSerializer,
    RunbookDiagnoseSerializer,
    RunbookFinishSerializer,
    RunbookNoteSerializer,
    RunbookOutputSerializer,
    RunbookReasonSerializer,
    RunbookRemedySerializer,
    RunbookRunFilterSerializer,
    RunbookRunSerializer,
    RunbookRunSummarySerializer,
    RunbookSerializer,
    RunbookSkipSerializer,
    RunbookSummarySerializer,
    StartRunbookSerializer,
)
from runbooks.models import RunbookRun

FILTERS = [
    OpenApiParameter("environment", str, description="Only runs in this environment."),
    OpenApiParameter("runbook", str, description="Only runs of the runbook with this slug."),
    OpenApiParameter("status", str, enum=RunbookRun.Status.values, description="Only runs with this status."),
    OpenApiParameter("alert", int, description="Only runs about this alert."),
    OpenApiParameter("deployment", int, description="Only runs about this deployment."),
]
_FIELDS = {"environment": "environment__name", "runbook": "text__slug"}


@extend_schema(tags=["Runbooks"])
class RunbookViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """What to do when something is wrong, as files."""

    permission_map = {"list": VIEW, "retrieve": VIEW}
    serializer_class = RunbookSerializer
    lookup_field = "slug"
    lookup_value_regex = "[a-z0-9-]{1,60}"
    queryset = RunbookRun.objects.none()

    @extend_schema(summary="List runbooks", responses={200: RunbookSummarySerializer(many=True), **problems()})
    def list(self, request: Request) -> Response:
        """By title; broken files too, with what is wrong in them."""
        page = self.paginate_queryset(library.entries())  # type: ignore[arg-type]
        return self.get_paginated_response(RunbookSummarySerializer(page, many=True).data)

    @extend_schema(
        summary="Show a runbook",
        parameters=[OpenApiParameter("slug", str, OpenApiParameter.PATH)],
        responses={200: RunbookSerializer, **problems(404)},
    )
    def retrieve(self, request: Request, slug: str) -> Response:
        """With its steps, as the file has them now."""
        entry = library.entry(slug)
        if entry is None:
            raise Http404(f"There is no runbook {slug!r} that can be used.")
        return Response(RunbookSerializer(entry).data)


def _checked(kind: type[serializers.Serializer[Any]], given: Any) -> dict[str, Any]:
    body = kind(data=given)
    body.is_valid(raise_exception=True)
    found: dict[str, Any] = body.validated_data
    return found


def _act(summary: str, kind: type[Any], *, can_repeat: bool = True) -> Callable[..., Any]:
    """The schema of an act on a run."""
    parameters = [IDEMPOTENCY_KEY] if can_repeat else []
    statuses = (400, 403, 404, 409, 422) if can_repeat else (400, 403, 404, 409)
    answers: dict[Any, Any] = {200: RunbookRunSerializer, **problems(*statuses)}
    return extend_schema(summary=summary, request=kind, parameters=parameters, responses=answers)


@extend_schema(tags=["Runbooks"])
class RunbookRunViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Runbooks that are or were carried out."""

    permission_map = {
        "list": VIEW,
        "retrieve": VIEW,
        "create": VIEW,
        "diagnose": VIEW,
        "remedy": VIEW,
        "done": VIEW,
        "failed": VIEW,
        "skip": VIEW,
        "note": VIEW,
        "take_over": VIEW,
        "finish": VIEW,
        "abandon": VIEW,
    }
    serializer_class = RunbookRunSerializer
    lookup_value_regex = "[0-9]{1,9}"
    queryset = RunbookRun.objects.none()

    def get_queryset(self) -> QuerySet[RunbookRun]:
        """Those that the person may see, newest first."""
        return runbook_queries.runs(self.request.user)

    @extend_schema(
        summary="List runs",
        parameters=FILTERS,
        responses={200: RunbookRunSummarySerializer(many=True), **problems(400)},
    )
    def list(self, request: Request) -> Response:
        """Newest first."""
        wanted = _checked(RunbookRunFilterSerializer, request.query_params)
        found = self.get_queryset().filter(**{_FIELDS.get(name, name): value for name, value in wanted.items()})
        page = self.paginate_queryset(found)
        return self.get_paginated_response(RunbookRunSummarySerializer(page, many=True).data)

    @extend_schema(summary="Show a run", responses={200: RunbookRunSerializer, **problems(404)})
    def retrieve(self, request: Request, pk: str) -> Response:
        """With the current step and everything that was done."""
        return self._answer(self.get_object())

    @extend_schema(
        summary="Start a run",
        request=StartRunbookSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: RunbookRunSerializer, **problems(400, 403, 404, 422)},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """At its first step; the caller has control."""
        given = _checked(StartRunbookSerializer, request.data)
        places = Environment.objects.visible_to(request.user).select_related("service")
        place = places.filter(name=given["environment"]).first()
        if place is None:
            raise InvalidRequest("environment", f"There is no environment {given['environment']!r} that you may see.")
        alert = Alert.objects.visible_to(request.user).filter(pk=given["alert"]).first() if "alert" in given else None
        if "alert" in given and alert is None:
            raise InvalidRequest("alert", f"There is no alert {given['alert']} that you may see.")
        number = given.get("deployment")
        if number is not None and runbook_about.deployment(number, request.user) is None:
            raise InvalidRequest("deployment", f"There is no deployment {number} that you may see.")
        actor = from_request(request)
        run = runbook_actions.start(actor, place, given["runbook"], alert=alert, deployment=number)
        return self._answer(run, 201)

    # A remedy and a diagnostic act outside of transactions, so they take no Idempotency-Key, which would hold one open;
    # the revision does its work.
    @extend_schema(
        summary="Run a diagnostic",
        description="A command of more than 10 s is answered at once with the state running; read the run again.",
        request=RunbookDiagnoseSerializer,
        responses={200: RunbookOutputSerializer, **problems(400, 403, 404, 409)},
    )
    @action(detail=True, methods=["post"])
    def diagnose(self, request: Request, pk: str) -> Response:
        """It only looks."""
        given = _checked(RunbookDiagnoseSerializer, request.data)
        return Response(
            RunbookOutputSerializer(runbook_actions.diagnose(from_request(request), self.get_object(), **given)).data
        )

    @extend_schema(
        summary="Carry out a remedy",
        description="Asks for nothing more. Send the revision: a repeat is then refused (409). What the product "
        "refused is told in the answer (state fail).",
        request=RunbookRemedySerializer,
        responses={200: RunbookOutputSerializer, **problems(400, 403, 404, 409)},
    )
    @action(detail=True, methods=["post"])
    def remedy(self, request: Request, pk: str) -> Response:
        """It takes the permission of the remedy."""
        given = _checked(RunbookRemedySerializer, request.data)
        return Response(
            RunbookOutputSerializer(runbook_actions.remedy(from_request(request), self.get_object(), **given)).data
        )

    @_act("Say that a step is done", RunbookActSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def done(self, request: Request, pk: str) -> Response:
        """The next step, or where "If yes" leads, is current."""
        return self._do(runbook_actions.done, RunbookActSerializer)

    @_act("Say that a step failed", RunbookReasonSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def failed(self, request: Request, pk: str) -> Response:
        """Where "If no" leads, else the next step, is current."""
        return self._do(runbook_actions.failed, RunbookReasonSerializer)

    @_act("Leave a step out", RunbookSkipSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def skip(self, request: Request, pk: str) -> Response:
        """Or go to another one."""
        return self._do(runbook_actions.skip, RunbookSkipSerializer)

    @_act("Keep notes", RunbookNoteSerializer, can_repeat=False)
    @action(detail=True, methods=["post"])
    def note(self, request: Request, pk: str) -> Response:
        """They replace the earlier notes."""
        return self._do(runbook_actions.note, RunbookNoteSerializer)

    @_act("Take over a run", RunbookActSerializer)
    @action(detail=True, methods=["post"], url_path="take-over")
    @idempotent
    def take_over(self, request: Request, pk: str) -> Response:
        """From whoever has control."""
        return self._do(runbook_actions.take_over, RunbookActSerializer)

    @_act("Finish a run", RunbookFinishSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def finish(self, request: Request, pk: str) -> Response:
        """From any step."""
        return self._do(runbook_actions.finish, RunbookFinishSerializer)

    @_act("Abandon a run", RunbookReasonSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def abandon(self, request: Request, pk: str) -> Response:
        """It stays as it is."""
        return self._do(runbook_actions.abandon, RunbookReasonSerializer)

    def _do(self, act: Callable[..., RunbookRun], kind: type[Any]) -> Response:
        run = self.get_object()
        return self._answer(act(from_request(self.request), run, **_checked(kind, self.request.data)))

    def _answer(self, run: RunbookRun, status: int = 200) -> Response:
        view = runbook_queries.seen(self.request.user, self.get_queryset().get(pk=run.pk))
        return Response(RunbookRunSerializer(view).data, status=status)
