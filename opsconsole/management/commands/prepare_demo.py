"""``manage.py prepare_demo``: all that the demo needs in its database, in one go; running it again is harmless."""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_datetime

from audit.actors import system
from deployments.actions import register_release, restart_watch
from deployments.models import Deployment, Release
from deployments.test_reports import report
from environments import adapters
from environments.models import Service, Slot


class Command(BaseCommand):
    help = (
        "Migrate, apply demo/system.yaml, create the people of the demo, register its releases, start what should run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--releases", type=Path, required=True, help="folder with the built releases")
        parser.add_argument("--keys", type=Path, required=True, help="JSON file for the API keys")

    def handle(self, *args: object, releases: Path, keys: Path, **options: object) -> None:
        if not settings.DEMO:
            raise CommandError("prepare_demo works with the demo settings only.")
        call_command("protect_audit", migrate=True, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        call_command("apply_system", str(Path(settings.BASE_DIR) / "demo/system.yaml"))
        call_command("demo_people", keys=keys)
        call_command("load_checklists", Path(settings.BASE_DIR) / "demo/checklists")
        for description in sorted(releases.glob("v*.json")):
            _register(releases, json.loads(description.read_text()))
        _start_slots()


def _register(folder: Path, described: dict[str, Any]) -> None:
    service = Service.objects.get(name=described.pop("service"))
    if Release.objects.filter(service=service, version=described["version"]).exists():
        return
    described["artifact"] = str(folder / described["artifact"])
    described["released_at"] = parse_datetime(described["released_at"])
    described.pop("size")
    reports = described.pop("reports")
    register_release(system("demo"), service, **described)
    for one in reports:
        report(system("CI (demo)"), service, digest=described["digest"], **one)


def _start_slots() -> None:
    """After a pause, start the processes of every slot that is not meant to be stopped; a watch begins anew."""
    for slot in Slot.objects.exclude(role=Slot.Role.STOPPED).select_related("environment"):
        driver = adapters.driver(slot.environment)
        for instance in slot.instances.all():
            driver.start(adapters.instance_spec(instance))
    for deployment in Deployment.objects.active().filter(promoted_at__isnull=False, reverts=None):
        restart_watch(system("demo"), deployment, "The demo was stopped and started again")
