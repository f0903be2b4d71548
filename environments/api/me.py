"""Who am I, and what may I do: for command lines and scripts."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import sessions
from accounts.api.serializers import PersonSerializer
from accounts.models import APIKey
from accounts.openapi import problems
from accounts.permissions import SIGNED_IN
from accounts.roles import VIEW
from environments.models import Environment
from environments.permissions import permissions_of


class MyKeySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The key that was sent."""

    prefix = serializers.CharField()
    name = serializers.CharField()
    expires_at = serializers.DateTimeField()
    scopes = serializers.ListField(child=serializers.CharField())
    environments = serializers.ListField(child=serializers.CharField(), allow_null=True, help_text="null for all.")


class MyEnvironmentSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """What the caller may do in one environment, the bounds of the key applied."""

    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=Environment.Kind.choices)
    permissions = serializers.ListField(child=serializers.CharField())


class MeSerializer(PersonSerializer):
    """The caller."""

    via = serializers.ChoiceField(
        choices=["session", "key", "login"], help_text="login: signed in at a command line with an SSH key."
    )
    key = MyKeySerializer(allow_null=True)
    environments = MyEnvironmentSerializer(many=True)
    second_factor = serializers.BooleanField(help_text="Whether a passkey or an authenticator app is enrolled.")


class MeView(APIView):
    """The caller of the API."""

    permission_map = {"get": SIGNED_IN}

    @extend_schema(tags=["Account"], summary="Who am I", responses={200: MeSerializer, **problems(403)})
    def get(self, request: Request) -> Response:
        """Person, key and permissions in each environment that the caller sees."""
        user = request.user
        key = request.auth if isinstance(request.auth, APIKey) else None
        environments = list(Environment.objects.only("name", "kind"))
        permissions = permissions_of(user, environments)
        answer = {
            "username": user.get_username(),
            "display_name": user.display_name,  # type: ignore[union-attr]
            "role": user.role,  # type: ignore[union-attr]
            "via": key.kind if key else "session",
            "key": key,
            "environments": [
                {"name": one.name, "kind": one.kind, "permissions": sorted(permissions[one.name])}
                for one in environments
                if VIEW in permissions[one.name]
            ],
            "second_factor": sessions.has_second_factor(user),  # type: ignore[arg-type]
        }
        return Response(MeSerializer(answer).data)
