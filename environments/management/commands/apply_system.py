"""``manage.py apply_system FILE``: bring the inventory to a system definition."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.actors import Actor
from environments.actions import apply_definition
from environments.definition import DefinitionError, load


class Command(BaseCommand):
    help = (
        "Create or update the service, its environments, slots and instances from a YAML file (see demo/system.yaml)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the definition file")

    def handle(self, *args: object, file: Path, **options: object) -> None:
        try:
            definition = load(file, set(settings.CONFIG.target_hosts))
            apply_definition(Actor(name="apply_system", via="cli", role="System"), definition)
        except DefinitionError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Applied {definition.service}: {', '.join(definition.environments)}.")
