"""``manage.py load_checklists FOLDER``: bring the checklists to the files of a folder."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actors import from_command_line
from environments.models import Service
from runbooks.checklist_versions import load_folder
from runbooks.errors import DefinitionInvalid


class Command(BaseCommand):
    help = (
        "Load each *.yaml file of a folder as a checklist (see demo/checklists). A file that did not change since it "
        "was loaded changes nothing, so a text edited in the console stays until its file changes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="folder with the files, one for each list")
        parser.add_argument("--service", help="whose lists they are; needed when there are several services")

    def handle(self, *args: object, folder: Path, service: str | None, **options: object) -> None:
        services = Service.objects.filter(name=service) if service else Service.objects.all()
        found = list(services.order_by("name")[:2])
        if len(found) != 1:
            names = ", ".join(Service.objects.order_by("name").values_list("name", flat=True)) or "none, apply_system"
            raise CommandError(f"Say with --service whose lists they are. There are: {names}.")
        try:
            loaded = load_folder(from_command_line(), found[0], folder)
        except DefinitionInvalid as error:
            raise CommandError(f"Nothing was loaded.\n{error}") from error
        for one in loaded:
            what = f"version {one.number}{' is new' if one.is_new else ', as before'}"
            self.stdout.write(f"{one.slug}: {what}{f' ({one.note})' if one.note else ''}")
