"""Filters of the runbooks' templates."""

from __future__ import annotations

from django import template

from environments import evidence, remedies
from runbooks import runbook_queries
from runbooks.models import StepOutput

register = template.Library()


@register.filter
def evidence_title(name: str) -> str:
    """What people read for a name of evidence; an unknown one as it is."""
    found = evidence.providers().get(name)
    return found.title if found else name


@register.filter
def remedy_title(name: str) -> str:
    """What people read for a name of a remedy; an unknown one as it is."""
    found = remedies.remedies().get(name)
    return found.title if found else name


@register.filter
def output_state(output: StepOutput) -> str:
    """``running``, ``lost`` or its verdict."""
    return runbook_queries.output_state(output)
