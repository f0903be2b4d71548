"""Trades since deploy: read from the live slot while a deployment runs, and kept with it."""

from __future__ import annotations

import logging
from decimal import Decimal

from django.db.models import BigIntegerField, Max
from django.db.models.functions import Cast

from accounts import doorbell
from deployments.models import Deployment, Trade
from environments import adapters
from environments.models import Instance
from environments.secrets import SecretMissing
from environments.target import TargetError
from environments.target import Trade as Reported

logger = logging.getLogger(__name__)
BATCH = 100


class TradeReader:
    """Reads on where it stopped; after a restart of the monitor, from the last trade that was kept."""

    def __init__(self) -> None:
        self._read_to: dict[tuple[int, int], int] = {}

    def look(self) -> None:
        """Fetch the new trades of every promoted deployment that is not finished."""
        running = Deployment.objects.active().filter(promoted_at__isnull=False).select_related("to_slot")
        for deployment in running:
            for instance in deployment.to_slot.instances.all():
                try:
                    if self._collect(deployment, instance):
                        doorbell.ring((f"deployment.{deployment.pk}",))
                except (TargetError, SecretMissing) as error:
                    logger.info("trades of %s were not read: %s", instance, error)

    def _collect(self, deployment: Deployment, instance: Instance) -> int:
        key = (deployment.pk, instance.pk)
        if key not in self._read_to:
            kept = Trade.objects.filter(deployment=deployment, instance=instance.name)
            self._read_to[key] = kept.aggregate(last=Max(Cast("trade_id", BigIntegerField())))["last"] or 0
        client, new = adapters.client(instance, read_timeout=1.0), 0
        while found := client.trades(after=self._read_to[key], limit=BATCH):
            rows = [_row(deployment, instance, trade) for trade in found if trade.at >= deployment.promoted_at]
            Trade.objects.bulk_create(rows, ignore_conflicts=True)
            moved = found[-1].id > self._read_to[key]
            self._read_to[key], new = found[-1].id, new + len(rows)
            if len(found) < BATCH or not moved:  # one that repeats itself would be read for ever
                break
        return new


def _row(deployment: Deployment, instance: Instance, trade: Reported) -> Trade:
    return Trade(
        deployment=deployment,
        instance=instance.name,
        trade_id=str(trade.id),
        at=trade.at,
        strategy=trade.strategy,
        symbol=trade.symbol,
        side=trade.side,
        size=_text(trade.size),
        price=_text(trade.price),
        pnl=_text(trade.pnl),
        outcome=trade.outcome,
    )


def _text(number: Decimal | None) -> str:
    return "" if number is None else str(number)
