"""Environments over the API."""

from __future__ import annotations

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.openapi import problems
from accounts.roles import VIEW
from environments import pages
from environments.api.serializers import EnvironmentSerializer
from environments.models import Environment


@extend_schema(tags=["Environments"])
class EnvironmentViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Where the service runs, and how it is."""

    permission_map = {"list": VIEW, "retrieve": VIEW}
    serializer_class = EnvironmentSerializer
    lookup_field = "name"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    queryset = Environment.objects.none()

    @extend_schema(summary="List environments", responses={200: EnvironmentSerializer(many=True), **problems()})
    def list(self, request: Request) -> Response:
        """In the order of the system's definition."""
        page = self.paginate_queryset(pages.environments(request.user))
        return self.get_paginated_response(EnvironmentSerializer(page, many=True).data)

    @extend_schema(
        summary="Show an environment",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name of the environment.")],
        responses={200: EnvironmentSerializer, **problems(404)},
    )
    def retrieve(self, request: Request, name: str) -> Response:
        """Slots with their instances, the live slot's numbers, and the deployment under way."""
        try:
            view = pages.environment(request.user, name)
        except Environment.DoesNotExist:
            raise Http404(f"There is no environment {name!r} that you may see.") from None
        return Response(EnvironmentSerializer(view).data)
