"""Pages of the inventory."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from environments import pages
from environments.live import may_see_everything
from environments.models import Environment


@require_safe
def environment_list(request: HttpRequest) -> HttpResponse:
    """``/environments/``: every environment that the person may see."""
    context = {"views": pages.environments(request.user), "is_live": may_see_everything(request.user)}
    return render(request, "environments/list.html", context)


@require_safe
def environment_detail(request: HttpRequest, name: str) -> HttpResponse:
    """``/environments/<name>/``: slots side by side, live numbers, policy in words, and what is under way."""
    try:
        view = pages.environment(request.user, name)
    except Environment.DoesNotExist:
        raise Http404(f"There is no environment {name} that you may see.") from None
    policy, place = view.environment.policy, view.environment
    second, gated = place.needs_second_person, place.is_gated
    context = {
        "view": view,
        "environment": view.environment,
        "policy": pages.policy_in_words(policy, needs_second_person=second, is_gated=gated),
        "rules": pages.rules_in_words(policy),
        "freezes": pages.freezes(view.environment),
    }
    return render(request, "environments/detail.html", context)
