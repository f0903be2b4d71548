"""Trips of a trading system's circuit breaker, and how each was ended."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from environments.models import Environment, Instance


class BreakerTripQuerySet(models.QuerySet["BreakerTrip"]):
    def visible_to(self, user) -> BreakerTripQuerySet:  # type: ignore[no-untyped-def]
        """Those of the environments that a person may see."""
        return self.filter(environment__in=Environment.objects.visible_to(user).values("pk"))

    def open(self) -> BreakerTripQuerySet:
        """Those that are not reset."""
        return self.filter(reset_at=None)


class BreakerTrip(models.Model):
    """From the trip to the reset. At most one is open for each instance."""

    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="breaker_trips")
    instance = models.ForeignKey(Instance, null=True, on_delete=models.SET_NULL, related_name="breaker_trips")
    instance_name = models.CharField(max_length=80)
    reason_code = models.CharField(max_length=60)
    reason = models.TextField(blank=True)
    observed = models.CharField(max_length=60, blank=True)
    threshold = models.CharField(max_length=60, blank=True)
    tripped_at = models.DateTimeField()
    seen_at = models.DateTimeField(auto_now_add=True)
    tripped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who opened it by hand; null when the trading system did.",
    )
    answers = models.JSONField(default=list, help_text="The validation before the reset: question, answer, note, seen.")
    reset_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    reset_at = models.DateTimeField(null=True)
    reset_reason = models.TextField(blank=True)

    objects = BreakerTripQuerySet.as_manager()

    class Meta:
        ordering = ("-tripped_at",)
        constraints = [
            models.UniqueConstraint(
                fields=["instance_name"], condition=models.Q(reset_at__isnull=True), name="one_open_trip"
            )
        ]

    def __str__(self) -> str:
        return f"{self.instance_name} {self.reason_code}"

    @property
    def is_open(self) -> bool:
        """Whether it is not reset."""
        return self.reset_at is None
