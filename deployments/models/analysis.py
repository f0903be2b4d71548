"""What was measured during a deployment; kept with it."""

from __future__ import annotations

from django.db import models

from deployments.models.deployment import Deployment


class Measurement(models.Model):
    """The numbers of the serving slot over one sampling interval of a deployment."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="measurements")
    at = models.DateTimeField()
    slot = models.CharField(max_length=20)
    version = models.CharField(max_length=40)
    values = models.JSONField(
        help_text="error_rate (share), latency_p99_ms, win_rate (share), requests, errors, trades …"
    )

    class Meta:
        ordering = ("at",)
        indexes = [models.Index(fields=["deployment", "at"], name="measurement_at")]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.at:%H:%M:%S}"


class VerdictRow(models.Model):
    """One verdict of one rule; a row is added when the verdict changes, and its numbers follow until then."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="verdicts")
    rule = models.CharField(max_length=60)
    kind = models.CharField(max_length=30)
    verdict = models.CharField(max_length=10)
    action = models.CharField(max_length=10)
    value = models.FloatField(null=True)
    baseline = models.FloatField(null=True)
    limit = models.FloatField(null=True)
    unit = models.CharField(max_length=10, blank=True)
    reason = models.TextField(blank=True)
    supported = models.BooleanField(default=False, help_text="The finding has the stated certainty.")
    hold = models.CharField(max_length=5, default="no", help_text="What missing data asks for: no, later, now.")
    since = models.DateTimeField(help_text="The verdict stands since.")
    at = models.DateTimeField(help_text="Last judged.")
    is_current = models.BooleanField(default=True)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "rule"], condition=models.Q(is_current=True), name="one_current_verdict"
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule}: {self.verdict}"

    @property
    def advises_rollback(self) -> bool:
        """Failed, or a certain warning of a rule that leaves the decision to the operator (specification, part 7)."""
        return self.verdict == "fail" or (self.verdict == "warn" and self.supported and self.action == "recommend")


class Trade(models.Model):
    """A trade that the live slot reported during a deployment."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="trades")
    instance = models.CharField(max_length=80)
    trade_id = models.CharField(max_length=60)
    at = models.DateTimeField()
    strategy = models.CharField(max_length=40)
    symbol = models.CharField(max_length=20)
    side = models.CharField(max_length=10)
    size = models.CharField(max_length=40)
    price = models.CharField(max_length=40)
    pnl = models.CharField(max_length=40, blank=True)
    outcome = models.CharField(max_length=10)

    class Meta:
        ordering = ("-at", "-id")
        constraints = [models.UniqueConstraint(fields=["deployment", "instance", "trade_id"], name="trade_once")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.side} {self.size}"
