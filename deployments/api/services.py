"""Which service a request means."""

from __future__ import annotations

from rest_framework import serializers
from rest_framework.request import Request

from environments.models import Environment, Service


def service_for(request: Request, name: str | None) -> Service:
    """The named service; without a name the only one there is.

    Raises:
        rest_framework.exceptions.ValidationError: there is none of that name that the person may see, or several.
    """
    visible = Environment.objects.visible_to(request.user)
    services = {one.name: one for one in Service.objects.filter(environments__in=visible).distinct()}
    known = ", ".join(sorted(services)) or "none"
    if name is not None and name not in services:
        raise serializers.ValidationError(
            {"service": [f"There is no service {name!r} that you may see. Known: {known}."]}
        )
    if name is None and len(services) != 1:
        raise serializers.ValidationError({"service": [f"Say which service. Known: {known}."]})
    return services[name] if name is not None else next(iter(services.values()))
