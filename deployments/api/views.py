"""Releases and deployments over the API. Views parse and render; ``actions.py`` decides and does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db.models import Prefetch, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.actors import from_request
from accounts.idempotency import idempotent
from accounts.openapi import IDEMPOTENCY_KEY, problems
from accounts.roles import DEPLOY, REQUEST, VIEW
from deployments import actions
from deployments.api.checked import checked
from deployments.api.serializers import (
    STATUSES,
    ActSerializer,
    DeploymentFilterSerializer,
    DeploymentSerializer,
    DeploymentSummarySerializer,
    NewReleaseSerializer,
    ReleaseSerializer,
    StartSerializer,
)
from deployments.api.services import service_for
from deployments.checks import Exceptions
from deployments.models import Deployment, Release, VerdictRow
from environments.models import Environment, Service

Act = Callable[..., Deployment]
F = TypeVar("F", bound=Callable[..., Response])


@extend_schema(tags=["Releases"])
class ReleaseViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Versions that can be deployed."""

    permission_map = {"list": VIEW, "retrieve": VIEW, "create": DEPLOY}
    serializer_class = ReleaseSerializer
    lookup_field = "version"
    lookup_value_regex = "[0-9A-Za-z.+-]+"
    queryset = Release.objects.none()

    def get_queryset(self) -> QuerySet[Release]:
        """Releases of services of which the person may see an environment."""
        visible = Environment.objects.visible_to(self.request.user)
        found = Release.objects.filter(service__in=visible.values("service"))
        return found.select_related("service", "created_by")

    @extend_schema(
        summary="List releases",
        parameters=[OpenApiParameter("service", str, description="Only those of this service.")],
        responses={200: ReleaseSerializer(many=True), **problems()},
    )
    def list(self, request: Request) -> Response:
        """Newest version first."""
        found = self.get_queryset()
        if service := request.query_params.get("service"):
            found = found.filter(service=_service(self.get_queryset(), service))
        page = self.paginate_queryset(found)
        return self.get_paginated_response(ReleaseSerializer(page, many=True).data)

    @extend_schema(
        summary="Show a release",
        parameters=[OpenApiParameter("service", str, description="Needed when several services have this version.")],
        responses={200: ReleaseSerializer, **problems(400, 404)},
    )
    def retrieve(self, request: Request, version: str) -> Response:
        """One release by its version."""
        found = self.get_queryset()
        if service := request.query_params.get("service"):
            found = found.filter(service=_service(found, service))
        try:
            release = get_object_or_404(found, version=version)
        except Release.MultipleObjectsReturned:
            raise serializers.ValidationError(
                {"service": [f"Several services have a release {version}. Add ?service=NAME."]}
            ) from None
        return Response(ReleaseSerializer(release).data)

    @extend_schema(
        summary="Register a release",
        description="Who may deploy to any environment of the service may register its releases.",
        request=NewReleaseSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: ReleaseSerializer, **problems(400, 403, 409, 422)},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """A new, immutable release."""
        data = dict(checked(NewReleaseSerializer(data=request.data)).validated_data)
        service = service_for(request, data.pop("service", None))
        release = actions.register_release(from_request(request), service, **data)
        where = reverse("api:release-detail", args=[release.version], request=request)
        return Response(ReleaseSerializer(release).data, status=201, headers={"Location": where})


def _service(releases: QuerySet[Release], name: str) -> Service:
    found = Service.objects.filter(releases__in=releases, name=name).first() if "\x00" not in name else None
    if found is None:
        raise serializers.ValidationError(
            {"service": [f"There is no service {name!r} with releases that you may see."]}
        )
    return found


def act_schema(summary: str, description: str, status: int = 200) -> Callable[[F], F]:
    """What the acts on a deployment have in common in the OpenAPI schema."""
    return extend_schema(
        summary=summary,
        description=description,
        request=ActSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={status: DeploymentSerializer, **problems(400, 403, 404, 409, 422)},
    )


_ACT_MAP = dict.fromkeys(("promote", "hold", "resume", "abort", "rollback"), DEPLOY)


@extend_schema(tags=["Deployments"])
@extend_schema_view(
    retrieve=extend_schema(summary="Show a deployment", responses={200: DeploymentSerializer, **problems(404)})
)
class DeploymentViewSet(mixins.RetrieveModelMixin, viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Deployments, and what can be done with them."""

    permission_map = {"list": VIEW, "retrieve": VIEW, "create": REQUEST, **_ACT_MAP}
    serializer_class = DeploymentSerializer
    lookup_value_regex = "[0-9]{1,18}"
    queryset = Deployment.objects.none()

    def get_queryset(self) -> QuerySet[Deployment]:
        """Deployments of environments that the person may see, with what the list shows."""
        found = Deployment.objects.visible_to(self.request.user)
        found = found.select_related("environment", "from_release", "to_release", "reverted_by", "approval")
        if self.action == "list":
            return found
        return found.prefetch_related("steps", Prefetch("verdicts", VerdictRow.objects.filter(is_current=True)))

    @extend_schema(
        summary="List deployments",
        parameters=[
            OpenApiParameter("environment", str, description="Only those of this environment."),
            OpenApiParameter(
                "status",
                str,
                description=f"Only these statuses, commas between: {STATUSES}.",
            ),
        ],
        responses={200: DeploymentSummarySerializer(many=True), **problems(400)},
    )
    def list(self, request: Request) -> Response:
        """Newest first."""
        query = DeploymentFilterSerializer(data=request.query_params, context={"request": request})
        wanted = checked(query).validated_data
        found = self.get_queryset()
        if "environment" in wanted:
            found = found.filter(environment__name=wanted["environment"])
        if "status" in wanted:
            found = found.filter(status__in=wanted["status"])
        page = self.paginate_queryset(found)
        return self.get_paginated_response(DeploymentSummarySerializer(page, many=True).data)

    @extend_schema(
        summary="Start a deployment, or ask for it",
        description="Where another person must approve, the answer has the status awaiting_approval and its approval.",
        request=StartSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: DeploymentSerializer, **problems(400, 403, 409, 422)},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """409 names the deployment that blocks; 422 lists the checks that do."""
        data = checked(StartSerializer(data=request.data)).validated_data
        environment = _environment(request, data["environment"])
        release = _release(environment, data["release"])
        beyond = Exceptions(data.get("large_change_reason", ""), data.get("override_reason", ""))
        what = (environment, release, data["strategy"], data["reason"])
        deployment = actions.start(from_request(request), *what, beyond)
        return self._shown(deployment, status=201)

    @act_schema("Promote", "Move traffic and trading to the new slot, or keep it.")
    @action(detail=True, methods=["post"])
    @idempotent
    def promote(self, request: Request, pk: str) -> Response:
        """Before the shift: go on. In the watch: keep the new version despite a recommendation."""
        return self._act(actions.promote, request)

    @act_schema("Hold", "Pause between steps.")
    @action(detail=True, methods=["post"])
    @idempotent
    def hold(self, request: Request, pk: str) -> Response:
        """A step that is being carried out ends first."""
        return self._act(actions.hold, request)

    @act_schema("Resume", "Go on after a hold.")
    @action(detail=True, methods=["post"])
    @idempotent
    def resume(self, request: Request, pk: str) -> Response:
        """Go on after a hold."""
        return self._act(actions.resume, request)

    @act_schema("Abort", "Stop before promotion; the live slot keeps serving.")
    @action(detail=True, methods=["post"])
    @idempotent
    def abort(self, request: Request, pk: str) -> Response:
        """After the hand-over began it is too late: roll back instead."""
        return self._act(actions.abort, request)

    @act_schema(
        "Roll back",
        "Return to the earlier release. The answer is the new deployment, whose reverts is this one.",
        status=201,
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def rollback(self, request: Request, pk: str) -> Response:
        """A deployment of its own, on the fast plan."""
        return self._act(actions.roll_back, request, status=201)

    def _act(self, act: Act, request: Request, status: int = 200) -> Response:
        deployment = self.get_object()
        data = checked(ActSerializer(data=request.data)).validated_data
        done = act(from_request(request), deployment, data["reason"], token=data.get("token"))
        return self._shown(done, status=status)

    def _shown(self, deployment: Deployment, status: int) -> Response:
        """The deployment as it is now, read once more with everything the answer shows."""
        fresh = self.get_queryset().get(pk=deployment.pk)
        headers = {}
        if status == 201:
            headers["Location"] = reverse("api:deployment-detail", args=[fresh.pk], request=self.request)
        return Response(DeploymentSerializer(fresh).data, status=status, headers=headers)


def _environment(request: Request, name: str) -> Environment:
    visible = Environment.objects.visible_to(request.user)
    found = visible.select_related("service", "live_slot").filter(name=name).first()
    if found is None:
        known = ", ".join(visible.values_list("name", flat=True)) or "none"
        raise serializers.ValidationError(
            {"environment": [f"There is no environment {name!r} that you may see. Known: {known}."]}
        )
    return found


def _release(environment: Environment, version: str) -> Release:
    found = Release.objects.select_related("service").filter(service=environment.service, version=version).first()
    if found is None:
        newest = Release.objects.filter(service=environment.service).values_list("version", flat=True)[:10]
        known = ", ".join(newest) or "none"
        raise serializers.ValidationError(
            {"release": [f"{environment.service} has no release {version!r}. Newest first: {known}."]}
        )
    return found
