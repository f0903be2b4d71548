"""The question that precedes a dangerous act (level L3), for scripts: the console's own pages and session clients."""

from __future__ import annotations

from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import step_up
from accounts.errors import StepUpRequired
from accounts.models import APIKey
from accounts.openapi import StrictSerializer, problems
from accounts.permissions import SIGNED_IN


class StepUpRequestSerializer(StrictSerializer):
    """Which act shall be confirmed."""

    action = serializers.RegexField(
        r"^[a-z_]+\.[a-z_]+\Z",
        max_length=60,
        help_text="The act as the audit trail names it, for example passkey.removed.",
    )
    object = serializers.RegexField(
        r"^[^\x00-\x1f]*\Z", max_length=200, help_text="What it is done to, as <kind>:<id>, for example passkey:3."
    )


class StepUpSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The question. Answer it within the request of the act: {"step_up": {"challenge", "code" or "assertion"}}."""

    challenge = serializers.CharField(help_text="Id of the question; it can be answered once.")
    expires_at = serializers.DateTimeField(help_text="60 seconds from now.")
    public_key = serializers.JSONField(
        allow_null=True, help_text="What navigator.credentials.get is given; null for somebody without a passkey."
    )


class StepUpView(APIView):
    """Asks for the fresh proof that a dangerous act takes."""

    permission_map = {"post": SIGNED_IN}

    @extend_schema(
        tags=["Account"],
        summary="Ask for the question that a dangerous act takes",
        request=StepUpRequestSerializer,
        responses={200: StepUpSerializer, **problems(400, 403)},
    )
    def post(self, request: Request) -> Response:
        """A challenge for one act by the signed-in person; API keys get 403, since they can never do such an act."""
        if isinstance(request.auth, APIKey):
            raise StepUpRequired(
                "An API key cannot do this: a person confirms it on the page, with a passkey or a code."
            )
        given = StepUpRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        asked = step_up.question(request, given.validated_data["action"], given.validated_data["object"])
        return Response(StepUpSerializer(asked).data)


urlpatterns = [path("step-up/", StepUpView.as_view(), name="step_up")]
