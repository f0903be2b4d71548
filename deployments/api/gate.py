"""What the deployment gate looks at, over the API: reports of the build system, and freezes."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.actors import from_request
from accounts.idempotency import idempotent
from accounts.openapi import IDEMPOTENCY_KEY, StrictSerializer, problems
from accounts.roles import CONFIGURE, REPORT, VIEW
from deployments import freezes, test_reports
from deployments.api.checked import checked
from deployments.api.services import service_for
from deployments.models import Freeze, Release, TestReport
from environments.models import Environment, Service

KINDS = "tests, review or benchmarks"
NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name of the environment.")


class TestReportSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One report about an artifact."""

    service = serializers.CharField(source="service.name", read_only=True)
    # No enumeration in the schema: a generated client must not break when a kind is added.
    kind = serializers.CharField(read_only=True, help_text=KINDS)
    data = serializers.DictField(read_only=True, help_text="Counts, reviewers or figures, by kind.")
    reported_by = serializers.CharField(source="reported_by_name", read_only=True)

    class Meta:
        model = TestReport
        fields = ("id", "service", "digest", "kind", "passed", "summary", "data", "url", "reported_by", "reported_at")
        read_only_fields = fields


class NewTestReportSerializer(StrictSerializer):
    """A report to keep. Say the digest, or the version of a registered release."""

    service = serializers.CharField(
        max_length=60, required=False, help_text="May be left out when there is one service."
    )
    digest = serializers.CharField(
        max_length=80, required=False, help_text="sha256:… of the artifact; its release may be registered later."
    )
    release = serializers.CharField(max_length=40, required=False, help_text="Version of a registered release.")
    kind = serializers.ChoiceField(choices=TestReport.Kind.choices, help_text=KINDS)
    passed = serializers.BooleanField(help_text="Whether it lets the release pass.")
    summary = serializers.CharField(max_length=test_reports.SUMMARY_LIMIT, help_text="412 passed, 0 failed.")
    data = serializers.DictField(
        required=False, help_text="tests: counts; review: author and reviewers, who must differ; benchmarks: figures."
    )
    url = serializers.CharField(
        max_length=test_reports.URL_LIMIT, required=False, allow_blank=True, help_text="Where the whole report is."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one of digest and release."""
        if ("digest" in attrs) == ("release" in attrs):
            raise serializers.ValidationError({"digest": ["Say either the digest or the release."]})
        return attrs


class TestReportFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of reports."""

    service = serializers.CharField(required=False, max_length=60)
    digest = serializers.CharField(required=False, max_length=80)
    release = serializers.CharField(required=False, max_length=40)
    kind = serializers.ChoiceField(required=False, choices=TestReport.Kind.choices)


@extend_schema(tags=["Releases"])
class TestReportViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Reports of tests, reviews and benchmarks, which the deployment gate asks for."""

    permission_map = {"list": VIEW, "create": REPORT}
    serializer_class = TestReportSerializer
    queryset = TestReport.objects.none()

    def get_queryset(self) -> QuerySet[TestReport]:
        """Reports about services of which the person may see an environment."""
        return test_reports.visible_to(self.request.user)

    @extend_schema(
        summary="List test reports",
        parameters=[TestReportFilterSerializer],
        responses={200: TestReportSerializer(many=True), **problems(400)},
    )
    def list(self, request: Request) -> Response:
        """Newest first; the newest of a kind is the one that counts."""
        wanted = checked(TestReportFilterSerializer(data=request.query_params)).validated_data
        found = self.get_queryset()
        if "service" in wanted:
            found = found.filter(service__name=wanted["service"])
        if "digest" in wanted:
            found = found.filter(digest=wanted["digest"])
        if "release" in wanted:
            releases = Release.objects.filter(version=wanted["release"], service__in=found.values("service"))
            found = found.filter(digest__in=releases.values("digest"))
        if "kind" in wanted:
            found = found.filter(kind=wanted["kind"])
        return self.get_paginated_response(TestReportSerializer(self.paginate_queryset(found), many=True).data)

    @extend_schema(
        summary="Report tests, a review or benchmarks",
        description="About one artifact. A report is never changed; the newest of a kind counts, so a failed one "
        "revokes an earlier pass.",
        request=NewTestReportSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={201: TestReportSerializer, **problems(400, 403, 422)},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Kept as it is given."""
        data = dict(checked(NewTestReportSerializer(data=request.data)).validated_data)
        service = service_for(request, data.pop("service", None))
        if (version := data.pop("release", None)) is not None:
            data["digest"] = _digest(service, version)
        made = test_reports.report(from_request(request), service, **data)
        return Response(TestReportSerializer(made).data, status=201)


def _digest(service: Service, version: str) -> str:
    found = Release.objects.filter(service=service, version=version).values_list("digest", flat=True).first()
    if found is None:
        raise serializers.ValidationError(
            {"release": [f"{service} has no release {version!r}. Register it, or say the digest."]}
        )
    return str(found)


class FreezeSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One freeze."""

    environment = serializers.CharField(source="environment.name", read_only=True)
    set_by = serializers.CharField(source="set_by.display_name", read_only=True)
    lifted_by = serializers.CharField(
        source="lifted_by.display_name", default=None, allow_null=True, read_only=True, help_text="Null: not lifted."
    )

    class Meta:
        model = Freeze
        fields = ("id", "environment", "starts_at", "ends_at", "reason", "set_by", "set_at", "lifted_by", "lifted_at")
        read_only_fields = fields


class NewFreezeSerializer(StrictSerializer):
    """A freeze to set."""

    starts_at = serializers.DateTimeField(required=False, allow_null=True, help_text="From when; left out: now.")
    ends_at = serializers.DateTimeField(help_text="Until when; an ISO 8601 time, UTC unless it says a zone.")
    reason = serializers.CharField(max_length=2000, help_text="Why; whoever may not deploy meanwhile reads it.")


class LiftSerializer(StrictSerializer):
    """Lifting a freeze."""

    reason = serializers.CharField(max_length=2000, help_text="Why; kept in the audit trail.")


@extend_schema(tags=["Environments"])
class FreezesView(generics.GenericAPIView):  # type: ignore[type-arg]
    """The freezes of an environment."""

    permission_map = {"get": VIEW, "post": CONFIGURE}
    serializer_class = FreezeSerializer
    queryset = Freeze.objects.none()

    @extend_schema(
        summary="List freezes", parameters=[NAME], responses={200: FreezeSerializer(many=True), **problems(404)}
    )
    def get(self, request: Request, name: str) -> Response:
        """The latest beginning first, ended and lifted ones too."""
        found = freezes.of(_environment(request, name)).select_related("environment", "set_by", "lifted_by")
        return self.get_paginated_response(FreezeSerializer(self.paginate_queryset(found), many=True).data)

    @extend_schema(
        summary="Freeze deployments",
        description="Nothing is started or promoted there meanwhile. A rollback is never frozen.",
        request=NewFreezeSerializer,
        parameters=[NAME, IDEMPOTENCY_KEY],
        responses={201: FreezeSerializer, **problems(400, 403, 404, 422)},
    )
    @idempotent
    def post(self, request: Request, name: str) -> Response:
        """Several may overlap; each is lifted on its own."""
        environment = _environment(request, name)
        data = checked(NewFreezeSerializer(data=request.data)).validated_data
        made = freezes.freeze(
            from_request(request), environment, data["ends_at"], data["reason"], data.get("starts_at")
        )
        return Response(FreezeSerializer(made).data, status=201)


@extend_schema(tags=["Environments"])
class FreezeLiftView(APIView):
    """One freeze of an environment."""

    permission_map = {"post": CONFIGURE}

    @extend_schema(
        summary="Lift a freeze",
        request=LiftSerializer,
        parameters=[NAME, IDEMPOTENCY_KEY],
        responses={200: FreezeSerializer, **problems(400, 403, 404, 409, 422)},
    )
    @idempotent
    def post(self, request: Request, name: str, pk: int) -> Response:
        """It ends at once; 409 when it ended before."""
        environment = _environment(request, name)
        found = freezes.of(environment).select_related("environment").filter(pk=pk).first()
        if found is None:
            raise Http404(f"There is no freeze {pk} of {environment}.")
        data = checked(LiftSerializer(data=request.data)).validated_data
        lifted = freezes.lift(from_request(request), found, data["reason"])
        return Response(FreezeSerializer(lifted).data)


def _environment(request: Request, name: str) -> Environment:
    found = Environment.objects.visible_to(request.user).filter(name=name).first()
    if found is None:
        raise Http404(f"There is no environment {name!r} that you may see.")
    return found
