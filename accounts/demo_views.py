"""Entering the demo with one click. Only ``opsconsole.demo_urls`` leads here, and only the demo settings use that."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts import passkeys, sessions
from accounts.addresses import is_from_this_machine
from accounts.demo_people import PEOPLE
from accounts.models import User
from accounts.views import safe_next


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def demo(request: HttpRequest) -> HttpResponse:
    """A button for each person; pressing one signs in."""
    _refuse_outside_the_demo(request)
    problem, status = "", 200
    if request.method == "POST":
        wanted = {request.POST.get("username"), request.POST.get("role")}
        username = next((one.username for one in PEOPLE if wanted & {one.username, one.role.value}), None)
        user = User.objects.filter(username=username, is_active=True).first() if username else None
        if user is not None:
            sessions.open(request, user, "demo")
            return redirect(safe_next(request))
        problem, status = "That person does not exist here yet. Create the people with: manage.py demo_people", 400
    elsewhere = passkeys.elsewhere(request)
    context = {"people": PEOPLE, "next": safe_next(request), "problem": problem, "passkeys_at": elsewhere}
    return render(request, "accounts/demo.html", context, status=status)


def _refuse_outside_the_demo(request: HttpRequest) -> None:
    if not settings.DEMO:
        raise Http404
    if not is_from_this_machine(request):
        raise PermissionDenied("The demo is entered from the machine it runs on, without a proxy between.")
