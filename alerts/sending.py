"""Sends alerts out. What is due is read from Postgres, so a lost message of Celery costs time and no alert.

One message at a time: claimed under a lock of its channel (a ``Delivery`` without an end is the claim), sent outside of
any transaction, and its outcome recorded. Two senders at once, or one that died in between, send nothing twice but what
was under way when it died: whether that arrived nobody knows, so it is sent again.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from alerts import channels, decide, events, transport
from alerts.actions import clear, raise_alert
from alerts.channels import DELIVERY, Channel, ChannelsError
from alerts.decide import Due
from alerts.messages import Message
from alerts.models import Alert, Delivery
from alerts.transport import Undelivered
from audit.actions import record
from audit.actors import system
from environments.secrets import SecretMissing, resolve

logger = logging.getLogger(__name__)
SENDER = system("alerts")
MOST_A_MINUTE = 20
"""Messages of a channel in a minute; what is beyond it goes out together in one message."""
GATHER_SECONDS = 10.0
"""And then at most one message in this time."""
RUN_SECONDS = 15.0
"""Longest work for one channel in one go."""
FAILURES = 3
"""So many failures in a row make a channel an alert itself."""
OLD_NEWS = timedelta(days=1)
"""That a cause is gone is not told later than this."""
FILE = "channels"
"""Key of the alert about the file of channels."""


def names() -> list[str]:
    """The channels there are. A file that cannot be used is an alert on the page, and sends nothing."""
    try:
        found = [channel.name for channel in channels.current()]
    except ChannelsError as error:
        text = "No alert goes out: the file of channels cannot be used"
        raise_alert(DELIVERY, FILE, severity="critical", title=text, detail=str(error), actor=SENDER)
        return []
    clear(DELIVERY, FILE, actor=SENDER)
    _forget_removed(found)
    return found


def send_all() -> int:
    """Send whatever is due on every channel; how many messages arrived. For callers without Celery."""
    return sum(send(name) for name in names())


def send(name: str, now: datetime | None = None) -> int:
    """Send what is due on one channel; how many messages arrived. Harmless at any time, also twice at once.

    Args:
        now: the moment to act for, instead of the clock.
    """
    try:
        channel = next((one for one in channels.current() if one.name == name), None)
    except ChannelsError:
        return 0
    arrived, began = 0, time.monotonic()
    while channel is not None and time.monotonic() - began < RUN_SECONDS:
        message = claim(channel, now or timezone.now())
        if message is None:
            return arrived
        problem = _send(channel, message, now or timezone.now())
        finish(channel, message, problem, now)
        arrived += problem is None
        if problem is not None and problem.is_silent:
            return arrived
    if channel is not None:
        events.ring_sender(name)
    return arrived


@transaction.atomic
def claim(channel: Channel, now: datetime) -> Message | None:
    """Take the next message of a channel; None when nothing is due, or too much was sent lately."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"alerts {channel.name}"])
    found = sorted(_due(channel, now), key=lambda one: (not one[0].is_critical, one[0].raised_at))
    count = _how_many(channel, len(found), now)
    if not count:
        return None
    chosen = found[:count]
    interrupted = Delivery.objects.filter(channel=channel.name, alert__in=[alert for alert, _ in chosen], ok=None)
    interrupted.update(ok=False, finished_at=now, detail="interrupted: whether it arrived is not known")
    message = Message(uuid.uuid4(), [(alert, due.event) for alert, due in chosen])
    Delivery.objects.bulk_create(
        Delivery(
            alert=alert,
            channel=channel.name,
            at=now,
            event=due.event,
            severity=alert.severity,
            tries=due.tries,
            message=message.id,
        )
        for alert, due in chosen
    )
    return message


def _how_many(channel: Channel, waiting: int, now: datetime) -> int:
    """How many of the alerts that wait go into the next message: one, or in a storm all."""
    if not waiting:
        return 0
    lately = Delivery.objects.filter(channel=channel.name, at__gt=now - timedelta(minutes=1)).order_by()
    moments = sorted(lately.values_list("at", "message").distinct())
    left = MOST_A_MINUTE - len(moments)
    if left > 1 or (left == 1 and waiting == 1):
        return 1
    if left <= 0 and (now - moments[-1][0]).total_seconds() < GATHER_SECONDS:
        events.ring_sender(channel.name, after=GATHER_SECONDS)
        return 0
    return waiting


def _due(channel: Channel, now: datetime) -> Iterator[tuple[Alert, Due]]:
    """Every alert of which something is due on a channel. Three queries."""
    own = Delivery.objects.filter(alert=OuterRef("pk"), channel=channel.name, ok=True)
    told = Exists(own) & ~Exists(own.filter(event=decide.CLEARED))
    just_over = Q(cleared_at__gt=now - OLD_NEWS) & told
    alerts = list(
        Alert.objects.filter(Q(cleared_at=None, acknowledged_at=None) | just_over)
        .exclude(kind=DELIVERY)
        .select_related("environment")
    )
    attempts = Delivery.objects.filter(channel=channel.name, alert__in=alerts)
    newest = attempts.order_by("alert_id", "-pk").distinct("alert_id")
    last = {one.alert_id: one for one in newest}
    arrived = {one.alert_id: one for one in newest.filter(ok=True)}
    for alert in alerts:
        found = decide.due(alert, channel, last.get(alert.pk), arrived.get(alert.pk), now)
        if found is not None:
            yield alert, found


def _send(channel: Channel, message: Message, now: datetime) -> Undelivered | None:
    try:
        deliver(channel, message, now)
    except Undelivered as error:
        return error
    except SecretMissing as error:
        return Undelivered(str(error))
    except Exception as error:
        logger.exception("channel %s failed", channel.name)
        return Undelivered(f"an error of the console ({type(error).__name__}), see its log")
    return None


def deliver(channel: Channel, message: Message, now: datetime) -> None:
    """Send one message on a channel, and record nothing.

    Raises:
        Undelivered: it did not arrive; the text says why.
        SecretMissing: the address or the key that signs is not there.
    """
    url = resolve(channel.url)
    if channel.kind == "webhook":
        body = message.body(channel.name, now)
        transport.post(url, resolve(channel.secret), body, int(now.timestamp()), message.id)
    else:
        text = message.text(now)
        transport.apprise(url, message.title, text, is_critical=message.is_critical, is_over=message.is_over)


@transaction.atomic
def finish(channel: Channel, message: Message, problem: Undelivered | None, now: datetime | None = None) -> None:
    """Record what came of a message; a failure asks for the next attempt, and makes a dead channel an alert."""
    at, alerts = now or timezone.now(), [alert.pk for alert, _ in message.items]
    own = Delivery.objects.filter(message=message.id, ok=None)
    several = f"in one message with {len(alerts) - 1} more" if len(alerts) > 1 else ""
    if problem is None:
        own.update(ok=True, finished_at=at, detail=several)
        Alert.objects.filter(pk__in=alerts).update(sent_at=at, changed_at=timezone.now())
        clear(DELIVERY, channel.name, actor=SENDER)
        events.publish()
        return
    logger.warning("channel %s: %s", channel.name, problem)
    given_up = list(own.filter(tries=decide.MOST_TRIES).values_list("alert_id", flat=True))
    tries = max(own.values_list("tries", flat=True), default=1)
    own.update(ok=False, finished_at=at, detail=" ".join(filter(None, (str(problem), several))))
    Alert.objects.filter(pk__in=alerts).update(changed_at=timezone.now())
    _give_up(channel, [alert for alert, _ in message.items if alert.pk in given_up], problem)
    _watch(channel, problem)
    events.publish()
    if tries < decide.MOST_TRIES and decide.PAUSES[tries - 1] <= decide.PAUSES[2]:
        transaction.on_commit(lambda: events.ring_sender(channel.name, after=decide.PAUSES[tries - 1]))


def _give_up(channel: Channel, alerts: Sequence[Alert], problem: Undelivered) -> None:
    for alert in alerts:
        place = alert.environment.name if alert.environment else ""
        reason = f"{channel.name}: {problem}"
        record(SENDER, "alert.undelivered", alert, environment=place, outcome="failed", reason=reason)


def _watch(channel: Channel, problem: Undelivered) -> None:
    """Raise an alert about a channel on which nothing arrives any more; it is shown and goes out nowhere."""
    ended = Delivery.objects.filter(channel=channel.name).exclude(ok=None).order_by("-finished_at", "-pk")
    latest = list(ended.values_list("ok", flat=True)[:FAILURES])
    if len(latest) == FAILURES and not any(latest):
        raise_alert(
            DELIVERY,
            channel.name,
            severity=Alert.Severity.CRITICAL,
            title=f"Alerts do not go out on {channel.name}",
            detail=f"The last attempt: {problem}. Attempts go on. Try it by hand: "
            f"manage.py alert_channels --test {channel.name}",
            actor=SENDER,
        )


def _forget_removed(known: Sequence[str]) -> None:
    """Nobody waits for a channel that is not there any more."""
    for key in Alert.objects.filter(kind=DELIVERY, cleared_at=None).values_list("key", flat=True):
        if key not in (*known, FILE):
            clear(DELIVERY, key, actor=SENDER)
