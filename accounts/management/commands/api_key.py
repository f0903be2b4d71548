"""``manage.py api_key create|list|revoke``: API keys from the command line."""

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import actions
from accounts.actors import from_command_line
from accounts.models import APIKey, User


class Command(BaseCommand):
    help = "Create, list and revoke API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        create = acts.add_parser("create", help="make a key and print it, this once")
        create.add_argument("username")
        create.add_argument("--name", required=True, help="what it is for")
        create.add_argument("--days", type=int, default=APIKey.LIFETIME.days, help="validity in days, at most 90")
        acts.add_parser("list", help="every key, without its secret").add_argument("--username")
        acts.add_parser("revoke", help="end a key at once").add_argument("prefix", help="the part after opsc_")

    def handle(self, *args: object, act: str, **options: object) -> None:
        getattr(self, act)(options)

    def create(self, options: dict[str, object]) -> None:
        """Print a new key on standard output, and only that, so that it can be piped."""
        try:
            owner = User.objects.get(username=options["username"])
            key, text = actions.create_api_key(
                from_command_line(), owner, str(options["name"]), days=int(str(options["days"]))
            )
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user {options['username']!r}.") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(text)
        self.stderr.write(f"For {owner.display_name}, until {key.expires_at:%Y-%m-%d}. It is shown only now.")

    def list(self, options: dict[str, object]) -> None:
        """One line a key."""
        found = APIKey.objects.select_related("owner")
        if options["username"]:
            found = found.filter(owner__username=options["username"])
        for key in found:
            state = "usable" if key.is_usable else "not usable"
            self.stdout.write(
                f"{key.prefix}  {key.owner.username}  {key.name}  until {key.expires_at:%Y-%m-%d}  {state}"
            )

    def revoke(self, options: dict[str, object]) -> None:
        """End one key."""
        prefix = str(options["prefix"])
        key = APIKey.objects.filter(prefix=prefix).first()
        if key is None:
            raise CommandError(f"There is no key opsc_{prefix}_…; manage.py api_key list shows the prefixes.")
        actions.revoke_api_key(from_command_line(), key)
        self.stdout.write(f"Revoked opsc_{prefix}_… ({key.name}).")
