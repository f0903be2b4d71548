"""Checklists over the API. Views parse and render; ``checklist_actions.py`` and ``checklist_versions.py`` do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import from_request
from accounts.domain import InvalidRequest
from accounts.idempotency import idempotent
from accounts.models import User
from accounts.openapi import IDEMPOTENCY_KEY, problems
from accounts.roles import CHECKLISTS, CONFIGURE, VIEW
from environments.models import Environment, Service
from runbooks import checklist_actions, checklist_export, checklist_queries, checklist_versions
from runbooks.api import checklist_serializers as says
from runbooks.checklist_export import MEDIA, Form
from runbooks.checklist_queries import RunView
from runbooks.models import Checklist, ChecklistRun

SERVICE = OpenApiParameter("service", str, description="Needed only when two services have a list of that name.")
FILTERS = [
    OpenApiParameter("environment", str, description="Only runs in this environment."),
    OpenApiParameter("checklist", str, description="Only runs of this list, for example daily."),
    OpenApiParameter(
        "status", str, enum=says.STATUSES, description="late: open and overdue, or completed after it was due."
    ),
    OpenApiParameter("since", OpenApiTypes.DATE, description="Opened on this day (UTC) or later."),
    OpenApiParameter("until", OpenApiTypes.DATE, description="Opened on this day (UTC) or before."),
]


def act(summary: str, request: Any, description: str | None = None) -> Any:
    """What the schema says of an act on a run."""
    return extend_schema(
        summary=summary,
        description=description,
        request=request,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: says.ChecklistRunSerializer, **problems(400, 403, 404, 409, 422)},
    )


class AnyAnswer(BaseContentNegotiation):
    """A file comes as what ``as`` says, whatever ``Accept`` says; errors come as JSON."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> tuple[BaseRenderer, str]:
        """The JSON renderer, which only errors use."""
        return renderers[0], renderers[0].media_type


@extend_schema(tags=["Checklists"])
class ChecklistViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """The lists and their texts."""

    permission_map = {
        "list": VIEW,
        "retrieve": VIEW,
        "update": CONFIGURE,
        "validate": VIEW,
        "retire": CONFIGURE,
        "begin": CHECKLISTS,
    }
    serializer_class = says.ChecklistSerializer
    queryset = Checklist.objects.none()
    lookup_field = "slug"
    lookup_value_regex = "[a-z][a-z0-9-]{0,58}"

    @extend_schema(summary="List checklists", responses={200: says.ChecklistSummarySerializer(many=True)})
    def list(self, request: Request) -> Response:
        """Retired ones, too."""
        page = self.paginate_queryset(checklist_queries.checklists(request.user))  # type: ignore[arg-type]
        return self.get_paginated_response(says.ChecklistSummarySerializer(page, many=True).data)

    @extend_schema(
        summary="Show a checklist", parameters=[SERVICE], responses={200: says.ChecklistSerializer, **problems(404)}
    )
    def retrieve(self, request: Request, slug: str) -> Response:
        """With every version of its text."""
        return Response(_whole(_checklist(request, slug)))

    @extend_schema(
        summary="Change a checklist",
        description="A new version of its text, for what opens from now on; runs that are open keep theirs. With "
        "based_on 0 a new list. It takes the permission to configure every environment of the list.",
        request=says.NewChecklistVersionSerializer,
        responses={200: says.ChecklistSerializer, **problems(400, 403, 404, 409)},
    )
    def update(self, request: Request, slug: str) -> Response:
        """409 when there is a newer version than the one that was edited. The same text again changes nothing."""
        given = _checked(says.NewChecklistVersionSerializer(data=request.data))
        service = _service(request, given)
        if given["based_on"]:
            service = _checklist(request, slug, given.get("service", "")).service
        checklist_versions.save_version(
            from_request(request), service, slug, given["text"], given["reason"], based_on=given["based_on"]
        )
        return Response(_whole(_checklist(request, slug, service.name)))

    @extend_schema(
        summary="Check the text of a checklist",
        request=says.ChecklistTextSerializer,
        parameters=[IDEMPOTENCY_KEY],
        responses={200: says.CheckedChecklistSerializer, **problems(400, 404, 422)},
    )
    @action(detail=False, methods=["post"])
    @idempotent
    def validate(self, request: Request) -> Response:
        """Changes nothing; says when it would be due. 400 names each place and what is wrong there."""
        given = _checked(says.ChecklistTextSerializer(data=request.data))
        service = _service(request, given)
        said = checklist_versions.check_text(service, given["text"])
        seen = Environment.objects.visible_to(request.user).filter(service=service)
        upcoming = [
            {"environment": place.name, **{name: getattr(one, name) for name in one.__slots__}}
            for place in checklist_queries.environments_of(said, seen)
            for one in checklist_queries.upcoming(said, place)
        ]
        body = {"title": said.title, "every": said.schedule.every, "items": len(said.items), "upcoming": upcoming}
        return Response(says.CheckedChecklistSerializer(body).data)

    @extend_schema(
        summary="Retire a checklist",
        request=says.RetireChecklistSerializer,
        parameters=[SERVICE, IDEMPOTENCY_KEY],
        responses={200: says.ChecklistSerializer, **problems(400, 403, 404, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def retire(self, request: Request, slug: str) -> Response:
        """No occurrence is opened any more; its history stays."""
        given = _checked(says.RetireChecklistSerializer(data=request.data))
        found = _checklist(request, slug)
        checklist_versions.retire(from_request(request), found, given["reason"])
        return Response(_whole(_checklist(request, slug, found.service.name)))

    @extend_schema(
        summary="Begin the checklist of a deployment",
        description="The run of a list for deployments, for a release and an environment. When there is one already, "
        "it is that one.",
        request=says.BeginChecklistSerializer,
        parameters=[SERVICE, IDEMPOTENCY_KEY],
        responses={200: says.ChecklistRunSerializer, **problems(400, 403, 404, 422)},
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def begin(self, request: Request, slug: str) -> Response:
        """Who begins it has it."""
        found = _checklist(request, slug)
        given = _checked(says.BeginChecklistSerializer(data=request.data))
        environments = Environment.objects.visible_to(request.user).filter(service=found.service)
        place = environments.filter(name=given["environment"]).first()
        if place is None:
            raise InvalidRequest("environment", f"There is no environment {given['environment']!r} that you may see.")
        run = checklist_actions.begin_deployment_list(from_request(request), place, given["release"], slug)
        return Response(says.ChecklistRunSerializer(_run(request, run.pk)).data)


@extend_schema(tags=["Checklists"])
class ChecklistRunViewSet(viewsets.GenericViewSet):  # type: ignore[type-arg]
    """Every expected occurrence, done or missed."""

    permission_map = {
        "list": VIEW,
        "retrieve": VIEW,
        "export": VIEW,
        "begin": CHECKLISTS,
        "assign": CHECKLISTS,
        "tick": CHECKLISTS,
        "untick": CHECKLISTS,
        "check": CHECKLISTS,
        "complete": CHECKLISTS,
    }
    serializer_class = says.ChecklistRunSerializer
    queryset = ChecklistRun.objects.none()
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(
        summary="List runs of checklists",
        parameters=FILTERS,
        responses={200: says.ChecklistRunSummarySerializer(many=True), **problems(400)},
    )
    def list(self, request: Request) -> Response:
        """Newest first."""
        wanted = _checked(says.ChecklistRunFilterSerializer(data=request.query_params))["wanted"]
        page = self.paginate_queryset(checklist_queries.history(request.user, wanted))
        return self.get_paginated_response(
            says.ChecklistRunSummarySerializer(checklist_queries.rows(page or ()), many=True).data
        )

    @extend_schema(summary="Show a run of a checklist", responses={200: says.ChecklistRunSerializer, **problems(404)})
    def retrieve(self, request: Request, pk: str) -> Response:
        """With its items, answers and the evidence that was kept."""
        return Response(says.ChecklistRunSerializer(_run(request, int(pk))).data)

    @extend_schema(
        summary="Export runs of checklists",
        parameters=[OpenApiParameter("as", str, default=Form.CSV.value, enum=[*Form]), *FILTERS],
        responses={(200, "text/csv"): OpenApiTypes.STR, (200, "application/json"): OpenApiTypes.STR, **problems(400)},
    )
    @action(detail=False, content_negotiation_class=AnyAnswer)
    def export(self, request: Request) -> HttpResponse:
        """csv: a line for each run; json: every answer with its evidence. At most 5,000 runs. It is in the trail."""
        given = _checked(says.ChecklistExportSerializer(data=request.query_params))
        form = Form(given["as"])
        text, name = checklist_export.export(from_request(request), given["wanted"], form)
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return HttpResponse(text, content_type=MEDIA[form], headers=headers)

    @act("Begin a run", says.BeginChecklistRunSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def begin(self, request: Request, pk: str) -> Response:
        """Who begins it has it; 409 when somebody else does."""
        _checked(says.BeginChecklistRunSerializer(data=request.data))
        return _act(request, pk, checklist_actions.begin)

    @act("Take a run over, or give it to somebody", says.AssignChecklistSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def assign(self, request: Request, pk: str) -> Response:
        """Only who has a list ticks its items."""
        run = _run(request, int(pk)).run
        name = _checked(says.AssignChecklistSerializer(data=request.data)).get("to", "")
        to = User.objects.filter(username=name, is_active=True).first() if name else None
        if name and to is None:
            raise InvalidRequest("to", f"There is no active person {name!r}.")
        checklist_actions.assign(from_request(request), run, to)
        return Response(says.ChecklistRunSerializer(_run(request, run.pk)).data)

    @act(
        "Answer an item",
        says.ChecklistAnswerSerializer,
        "Its evidence is read now and kept with the answer. Another response than the expected one, and an expected "
        "one that the evidence speaks against, is a deviation and needs a note.",
    )
    @action(detail=True, methods=["post"])
    @idempotent
    def tick(self, request: Request, pk: str) -> Response:
        """409 when it has an answer already, or somebody else has the list."""
        given = _checked(says.ChecklistAnswerSerializer(data=request.data))
        answer = (given["item"], given["response"], given.get("note", ""))
        return _act(request, pk, lambda actor, run: checklist_actions.tick(actor, run, *answer))

    @act("Take an answer back", says.ChecklistItemNameSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def untick(self, request: Request, pk: str) -> Response:
        """It stays in the run, with who gave it and who took it back."""
        item = _checked(says.ChecklistItemNameSerializer(data=request.data))["item"]
        return _act(request, pk, lambda actor, run: checklist_actions.untick(actor, run, item))

    @act("Confirm an item as the second person", says.ChecklistItemNameSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def check(self, request: Request, pk: str) -> Response:
        """403 for who gave the answer."""
        item = _checked(says.ChecklistItemNameSerializer(data=request.data))["item"]
        return _act(request, pk, lambda actor, run: checklist_actions.check(actor, run, item))

    @act("Complete a run", says.CompleteChecklistSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def complete(self, request: Request, pk: str) -> Response:
        """409 while items are open; it names them."""
        known = _checked(says.CompleteChecklistSerializer(data=request.data)).get("deviations")
        return _act(request, pk, lambda actor, run: checklist_actions.complete(actor, run, seen_deviations=known))


def _act(request: Request, pk: str, act: Callable[[Any, ChecklistRun], object]) -> Response:
    """Do it, and answer with the run as it is now."""
    act(from_request(request), _run(request, int(pk)).run)
    return Response(says.ChecklistRunSerializer(_run(request, int(pk))).data)


def _run(request: Request, pk: int) -> RunView:
    try:
        return checklist_queries.run(request.user, pk)
    except ChecklistRun.DoesNotExist:
        raise Http404(f"There is no run {pk} of a checklist that you may see.") from None


def _checklist(request: Request, slug: str, service: str = "") -> Checklist:
    try:
        return checklist_queries.checklist(request.user, slug, service or request.query_params.get("service", ""))
    except Checklist.DoesNotExist as error:
        raise Http404(str(error)) from None
    except Checklist.MultipleObjectsReturned as error:
        raise InvalidRequest("service", str(error)) from None


def _whole(found: Checklist) -> Any:
    found.all_versions = checklist_queries.versions(found)  # type: ignore[attr-defined]
    return says.ChecklistSerializer(found).data


def _service(request: Request, given: dict[str, Any]) -> Service:
    """The one that is named, or the only one of which the person sees an environment."""
    seen = Environment.objects.visible_to(request.user).order_by().values("service")
    found = list(Service.objects.filter(pk__in=seen, **({"name": given["service"]} if given.get("service") else {})))
    if not found:
        raise Http404("There is no such service that you may see.")
    if len(found) > 1:
        raise InvalidRequest("service", f"Name one of the services {', '.join(sorted(map(str, found)))}.")
    return found[0]


def _checked(serializer: Any) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = serializer.validated_data
    return found
