"""Thin Celery tasks of trading. A message only says "look now"."""

from __future__ import annotations

from celery import shared_task

from environments.models import Environment
from trading import reconciliation
from trading.database_tasks import carry_out, look_at_databases

__all__ = ["carry_out", "check_positions", "check_positions_of", "look_at_databases", "prune_comparisons"]


@shared_task
def check_positions() -> None:
    """Ask for a comparison of every environment that has an exchange account; beat calls it each minute."""
    for pk in Environment.objects.exclude(exchange={}).values_list("pk", flat=True):
        check_positions_of.apply_async((pk,), expires=50)


@shared_task
def check_positions_of(environment_id: int) -> None:
    """Compare one environment's positions with the exchange's."""
    environment = Environment.objects.filter(pk=environment_id).first()
    if environment is not None:
        reconciliation.check(environment)


@shared_task
def prune_comparisons() -> None:
    """Delete old comparisons that found nothing."""
    reconciliation.prune()
