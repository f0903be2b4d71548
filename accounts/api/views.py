"""Keys, and signing in from a command line, over the API."""

from __future__ import annotations

from django.http import Http404
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import key_actions, queries, rate_limit, ssh, ssh_actions
from accounts.actors import from_request
from accounts.api.serializers import (
    BrowserLinkSerializer,
    ChallengeRequestSerializer,
    ChallengeSerializer,
    KeySerializer,
    LoginSerializer,
    MadeKeySerializer,
    NewKeySerializer,
    RevokeSerializer,
    RotateSerializer,
    SSHLoginSerializer,
)
from accounts.errors import KeyStateError
from accounts.limits import SCOPES
from accounts.models import APIKey
from accounts.openapi import problems
from accounts.permissions import PUBLIC, SIGNED_IN

_NO_REPEAT = "The answer holds a secret that is kept nowhere, so an Idempotency-Key has no effect here. "


@extend_schema(tags=["Keys"])
class KeyViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """One's own API keys."""

    permission_map = {
        "list": SIGNED_IN,
        "retrieve": SIGNED_IN,
        "create": SIGNED_IN,
        "rotate": SIGNED_IN,
        "revoke": SIGNED_IN,
    }
    serializer_class = KeySerializer
    lookup_field = "prefix"
    lookup_value_regex = "[a-z0-9]+"
    queryset = APIKey.objects.none()

    @extend_schema(
        summary="List your API keys",
        parameters=[OpenApiParameter("due", bool, description="true: only those that end soon and have no newer key.")],
        responses={200: KeySerializer(many=True), **problems()},
    )
    def list(self, request: Request) -> Response:
        """Newest first; with ?due=true the one that ends next first."""
        found = queries.keys_of(request.user)  # type: ignore[arg-type]  # ActionPermission lets nobody else here
        if request.query_params.get("due", "").lower() in {"true", "1"}:
            found = queries.keys_due().filter(owner=request.user.pk)
        page = self.paginate_queryset(found)
        return self.get_paginated_response(KeySerializer(page, many=True).data)

    @extend_schema(summary="Show one of your API keys", responses={200: KeySerializer, **problems(404)})
    def retrieve(self, request: Request, prefix: str) -> Response:
        """Everything but its secret."""
        return Response(KeySerializer(_own(request, prefix)).data)

    @extend_schema(
        summary="Make an API key for yourself",
        description=_NO_REPEAT + "With an API key you make keys within its own bounds only.",
        request=NewKeySerializer,
        responses={201: MadeKeySerializer, **problems(400, 403)},
    )
    def create(self, request: Request) -> Response:
        """A new key; its text is in the answer and nowhere else."""
        given = NewKeySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        owner = request.user
        key, text = key_actions.create_api_key(from_request(request), owner, **given.validated_data)  # type: ignore[arg-type]
        return _made(key, text)

    @extend_schema(
        summary="Rotate an API key",
        description=_NO_REPEAT + "Makes a key with the same bounds; the old one goes on for overlap_hours.",
        request=RotateSerializer,
        responses={201: MadeKeySerializer, **problems(400, 403, 404, 409)},
    )
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, prefix: str) -> Response:
        """The new key; its text is in the answer and nowhere else."""
        given = RotateSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        key, text = key_actions.rotate_api_key(from_request(request), _own(request, prefix), **given.validated_data)
        return _made(key, text)

    @extend_schema(
        summary="Revoke an API key",
        request=RevokeSerializer,
        responses={200: KeySerializer, **problems(400, 403, 404)},
    )
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, prefix: str) -> Response:
        """It ends at once; revoking it again changes nothing."""
        given = RevokeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        key_actions.revoke_api_key(from_request(request), _own(request, prefix), **given.validated_data)
        return Response(KeySerializer(_own(request, prefix)).data)


class SSHChallengeView(APIView):
    """The first half of signing in with an SSH key."""

    permission_map = {"post": PUBLIC}
    authentication_classes = ()

    @extend_schema(
        tags=["Sign-in"],
        summary="Ask for a challenge to sign with an SSH key",
        description="The answer is the same for keys that are enrolled and for others.",
        request=ChallengeRequestSerializer,
        responses={200: ChallengeSerializer, **problems(400, 429)},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """A text with this console's address, a nonce and its end, 60 seconds from now."""
        rate_limit.check(rate_limit.address_of(request))
        given = ChallengeRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        challenge, message = ssh_actions.new_challenge(_origin(request), given.validated_data["fingerprint"])
        answer = {
            "challenge": challenge.pk,
            "message": message,
            "namespace": ssh.NAMESPACE,
            "expires_at": challenge.expires_at,
        }
        return Response(ChallengeSerializer(answer).data)


class SSHLoginView(APIView):
    """The second half of signing in with an SSH key."""

    permission_map = {"post": PUBLIC}
    authentication_classes = ()

    @extend_schema(
        tags=["Sign-in"],
        summary="Sign in with a signed challenge",
        description="A wrong answer uses the challenge up, too. Codes of a 401: challenge_invalid, signature_invalid, "
        "key_unknown, account_inactive.",
        request=SSHLoginSerializer,
        responses={201: LoginSerializer, **problems(400, 429)},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """A token for 15 minutes."""
        given = SSHLoginSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        login, text = ssh_actions.sign_in(
            request,
            _origin(request),
            str(data["challenge"]),
            data["signature"],
            data.get("scopes", SCOPES),
            data["environments"],
        )
        answer = {"token": text, "expires_at": login.expires_at, "user": login.owner}
        return Response(LoginSerializer(answer).data, status=201)


class BrowserLoginView(APIView):
    """From the command line to the browser."""

    permission_map = {"post": PUBLIC}

    @extend_schema(
        tags=["Sign-in"],
        summary="Get a link that opens a browser session",
        description="For somebody who is signed in with an SSH key; API keys cannot do it. Whoever has a second factor "
        "shows it there.",
        request=None,
        responses={201: BrowserLinkSerializer, **problems(409)},
    )
    def post(self, request: Request) -> Response:
        """A link that works once, within a minute."""
        login = _login_of(request)
        token = ssh_actions.browser_link(from_request(request), login)
        url = request.build_absolute_uri(reverse("sign_in_link", args=[token]))
        return Response(BrowserLinkSerializer({"url": url}).data, status=201)


class LogoutView(APIView):
    """The end of a command line sign-in."""

    permission_map = {"post": PUBLIC}

    @extend_schema(
        tags=["Sign-in"],
        summary="End a command line sign-in",
        request=None,
        responses={204: None, **problems(409)},
    )
    def post(self, request: Request) -> Response:
        """The token opens nothing any more."""
        login = _login_of(request)
        if not isinstance(login, APIKey) or login.kind != APIKey.Kind.LOGIN:
            raise KeyStateError("This is no command line sign-in. An API key ends with /api/v1/keys/<prefix>/revoke/.")
        key_actions.revoke_api_key(from_request(request), login)
        return Response(status=204)


def _origin(request: Request) -> str:
    """This console's address as the caller knows it; Django has checked that it is one of its names."""
    return f"{request.scheme}://{request.get_host()}".lower()


def _login_of(request: Request) -> object:
    """What somebody is signed in with. Open to an Admin without a second factor, so that one can be enrolled.

    Raises:
        NotAuthenticated: nobody is.
    """
    if not request.user.is_authenticated:
        raise NotAuthenticated
    return request.auth


def _own(request: Request, prefix: str) -> APIKey:
    key = queries.keys_of(request.user).filter(prefix=prefix).first()  # type: ignore[arg-type]
    if key is None:
        raise Http404(f"You have no API key opsc_{prefix}_…")
    return key


def _made(key: APIKey, text: str) -> Response:
    data = {**KeySerializer(key).data, "token": text}
    where = reverse("api:key-detail", args=[key.prefix])
    return Response(data, status=201, headers={"Location": where, "Cache-Control": "no-store"})
