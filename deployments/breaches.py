"""Alerts about deployments: a release beyond its limits, a deployment that failed, a rollback that did."""

from __future__ import annotations

from django.urls import reverse

from alerts.actions import clear, raise_alert
from deployments.models import Deployment

KIND = "breach"


def decision_wanted(deployment: Deployment, reason: str) -> None:
    """A rule recommends a rollback and somebody has to decide."""
    _raise(deployment, "warning", f"{deployment.to_release.version} is beyond a limit: decide", reason)


def failed(deployment: Deployment, reason: str) -> None:
    """A deployment failed and is undone by itself, or a rollback failed, which takes a person."""
    version, where = deployment.to_release.version, deployment.environment.name
    what = f"Rollback to {version} failed in {where}" if deployment.is_rollback else f"{version} failed in {where}"
    _raise(deployment, "critical", what, reason)


def over(deployment: Deployment) -> None:
    """Nothing of it is beyond a limit any more, or it ended well."""
    clear(KIND, _key(deployment))


def _raise(deployment: Deployment, severity: str, title: str, reason: str) -> None:
    raise_alert(
        KIND,
        _key(deployment),
        severity=severity,
        title=title,
        environment=deployment.environment,
        detail=reason,
        link=reverse("deployment", args=[deployment.pk]),
    )


def _key(deployment: Deployment) -> str:
    return f"{deployment.environment.name}:{deployment.pk}"
