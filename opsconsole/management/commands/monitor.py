"""``manage.py monitor``: sample, judge, repair drift, and ring for due work, until stopped."""

import signal

from django.core.management.base import BaseCommand

from opsconsole.monitor import Monitor


class Command(BaseCommand):
    help = "Sample every instance, judge deployments, repair drift and ring workers for due work. Runs until stopped."

    def handle(self, *args: object, **options: object) -> None:
        monitor = Monitor()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: monitor.stop())
        monitor.run()
