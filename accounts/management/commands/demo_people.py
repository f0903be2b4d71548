"""``manage.py demo_people --keys PATH``: the people of the demo and their API keys."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import AuthenticationFailed

from accounts import actions, key_actions
from accounts.actors import from_command_line
from accounts.authentication import check_bearer
from accounts.demo_people import PEOPLE
from accounts.limits import SCOPES
from accounts.models import APIKey, User
from audit.actors import Actor

KEY_NAME = "Demo"


class Command(BaseCommand):
    help = "Create the people of the demo with an API key each. Running it again keeps valid keys."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--keys", type=Path, required=True, help="JSON file for the keys, mode 600")

    def handle(self, *args: object, keys: Path, **options: object) -> None:
        if not settings.DEMO:
            raise CommandError(
                "demo_people works with the demo settings only (DJANGO_SETTINGS_MODULE=opsconsole.demo_settings)."
            )
        actor, kept, wanted = from_command_line(), _read(keys), {}
        for person in PEOPLE:
            user = User.objects.filter(username=person.username).first()
            user = user or actions.create_user(actor, person.username, person.full_name, person.role)
            wanted[person.key] = _valid(kept.get(person.key), user) or _new_key(actor, user)
        _write(keys, wanted)
        self.stdout.write(f"{', '.join(person.full_name for person in PEOPLE)}: API keys in {keys}")


def _read(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):  # not there, or not readable as JSON: new keys are made
        return {}
    return found if isinstance(found, dict) else {}


def _valid(text: object, user: User) -> str | None:
    try:
        return str(text) if check_bearer(str(text)).owner_id == user.pk else None
    except AuthenticationFailed:
        return None


def _new_key(actor: Actor, user: User) -> str:
    """A fresh key; the demo's earlier ones, whose text is lost, end."""
    for lost in APIKey.objects.filter(owner=user, name=KEY_NAME, revoked_at=None):
        key_actions.revoke_api_key(actor, lost)
    return key_actions.create_api_key(actor, user, KEY_NAME, scopes=SCOPES, environments=None, networks=())[1]


def _write(path: Path, keys: dict[str, str]) -> None:
    """Replace the file in one step; it is never readable by others, not even for a moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made with mode 600
    with os.fdopen(handle, "w") as file:
        file.write(json.dumps(keys, indent=2) + "\n")
    Path(temporary).replace(path)
