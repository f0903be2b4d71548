"""Comparisons of a trading system's positions with those of the exchange."""

from __future__ import annotations

from django.db import models

from environments.models import Environment


class Comparison(models.Model):
    """One comparison; no rows are changed later. Kept for 90 days, those with differences for ever."""

    class Verdict(models.TextChoices):
        PASS = "pass", "Equal"
        FAIL = "fail", "Different"
        NO_DATA = "no_data", "No data"

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="comparisons")
    at = models.DateTimeField()
    verdict = models.CharField(max_length=10, choices=Verdict)
    differences = models.JSONField(default=list, help_text="symbol, internal, exchange, delta, class of each.")
    detail = models.TextField(blank=True, help_text="Why there is no data, or what was adopted.")
    adopted = models.JSONField(default=list, help_text="Symbols for which the exchange's position was taken over.")
    actor_name = models.CharField(max_length=150, blank=True, help_text="Empty for the scheduled check.")

    class Meta:
        ordering = ("-at",)
        indexes = [models.Index(fields=["environment", "-at"], name="comparison_latest")]

    def __str__(self) -> str:
        return f"{self.environment_id} {self.at:%H:%M:%S} {self.verdict}"
