"""``manage.py ssh_key add|list|remove``: the SSH keys with which people sign in from a command line."""

import sys
from pathlib import Path

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import ssh_actions
from accounts.actors import from_command_line
from accounts.models import SSHKey, User


class Command(BaseCommand):
    help = "Add, list and remove the SSH keys with which people sign in from a command line."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        add = acts.add_parser("add", help="enrol a public key")
        add.add_argument("username")
        add.add_argument("file", help="the public key, such as ~/.ssh/id_ed25519.pub; - reads standard input")
        add.add_argument("--name", default="", help="how it is listed (default: the comment of the key)")
        acts.add_parser("list", help="every key").add_argument("--username")
        acts.add_parser("remove", help="remove a key").add_argument("fingerprint", help="SHA256:…, as list shows it")

    def handle(self, *args: object, act: str, **options: object) -> None:
        getattr(self, act)({name: str(value) for name, value in options.items() if value is not None})

    def add(self, options: dict[str, str]) -> None:
        """Enrol the key of a file."""
        try:
            user = User.objects.get(username=options["username"])
            text = sys.stdin.read() if options["file"] == "-" else Path(options["file"]).expanduser().read_text()
            key = ssh_actions.add_ssh_key(from_command_line(), user, text, options["name"])
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user {options['username']!r}.") from error
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text file"
            raise CommandError(f"Cannot read {options['file']}: {why}.") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"Added {key.fingerprint} ({key.name}) for {user.display_name}. Next: opsctl login")

    def list(self, options: dict[str, str]) -> None:
        """One line a key."""
        found = SSHKey.objects.select_related("user")
        if "username" in options:
            found = found.filter(user__username=options["username"])
        for key in found:
            kind = key.public_key.partition(" ")[0]
            self.stdout.write(f"{key.fingerprint}  {key.user.username}  {kind}  {key.name}")

    def remove(self, options: dict[str, str]) -> None:
        """Remove one key."""
        key = SSHKey.objects.select_related("user").filter(fingerprint=options["fingerprint"]).first()
        if key is None:
            raise CommandError(f"There is no SSH key {options['fingerprint']}; manage.py ssh_key list shows them.")
        ssh_actions.remove_ssh_key(from_command_line(), key)
        self.stdout.write(f"Removed {options['fingerprint']} of {key.user.display_name}.")
