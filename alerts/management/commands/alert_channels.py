"""``manage.py alert_channels``: list, check, or try the channels on which alerts go out."""

from __future__ import annotations

import uuid
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from alerts import channels, sending
from alerts.channels import Channel, ChannelsError
from alerts.decide import RAISED
from alerts.messages import Message
from alerts.models import Alert
from alerts.transport import Undelivered
from environments.models import Environment
from environments.secrets import SecretMissing


class Command(BaseCommand):
    help = "List the channels on which alerts go out; --check looks for mistakes, --test sends a message on one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--file", type=Path, help="another file than OPSC_ALERT_CHANNELS names")
        parser.add_argument("--check", action="store_true", help="also look for the secrets and the environments")
        parser.add_argument("--test", metavar="NAME", help="send a test message on this channel")

    def handle(self, *args: object, file: Path | None, check: bool, test: str | None, **options: object) -> None:
        path = file or settings.ALERT_CHANNELS
        if path is None:
            raise CommandError(
                "OPSC_ALERT_CHANNELS names no file, so alerts are shown on the pages only. "
                "demo/alert-channels.yaml is an example."
            )
        try:
            found = channels.load(path)
        except ChannelsError as error:
            raise CommandError(str(error)) from error
        if test:
            self._test(found, test)
        else:
            self._list(found, check=check)

    def _list(self, found: tuple[Channel, ...], *, check: bool) -> None:
        known = set(Environment.objects.values_list("name", flat=True)) if check else set()
        wrong = 0
        for channel in found:
            self.stdout.write(f"{channel.name}: {channel.kind}, {' and '.join(channel.severities)}, {_where(channel)}")
            if check:
                problems = channels.problems(channel)
                problems += [f"there is no environment {name}" for name in channel.environments if name not in known]
                wrong += len(problems)
                for problem in problems:
                    self.stdout.write(f"  wrong: {problem}")
        if not found:
            self.stdout.write("No channel: alerts are shown on the pages only.")
        if wrong:
            raise CommandError(f"{wrong} mistake{'s' if wrong > 1 else ''} found. Nothing was sent.")
        if check and found:
            self.stdout.write("No mistake found. --test NAME sends a message.")

    def _test(self, found: tuple[Channel, ...], name: str) -> None:
        channel = next((one for one in found if one.name == name), None)
        if channel is None:
            raise CommandError(f"There is no channel {name!r}. There are: {', '.join(one.name for one in found)}.")
        now = timezone.now()
        alert = Alert(
            pk=0,
            kind="test",
            key="test",
            severity=Alert.Severity.WARNING,
            title="Test of this channel",
            detail="Somebody tries whether alerts arrive here. There is nothing to do.",
            raised_at=now,
            seen_at=now,
        )
        try:
            sending.deliver(channel, Message(uuid.uuid4(), [(alert, RAISED)]), now)
        except (Undelivered, SecretMissing) as error:
            raise CommandError(f"{name}: {error}") from error
        self.stdout.write(f"Sent on {name}. Look whether it arrived.")


def _where(channel: Channel) -> str:
    places = ", ".join(channel.environments) or "everywhere"
    return f"{places}, {', '.join(channel.kinds)}" if channel.kinds else places
