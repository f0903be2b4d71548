"""``manage.py api_key create|list|rotate|revoke``: API keys from the command line."""

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import key_actions, queries
from accounts.actors import from_command_line
from accounts.errors import KeyStateError
from accounts.limits import SCOPES
from accounts.models import APIKey, User


class Command(BaseCommand):
    help = "Create, list, rotate and revoke API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True)
        create = acts.add_parser("create", help="make a key and print it, this once")
        create.add_argument("username")
        create.add_argument("--name", required=True, help="what it is for")
        create.add_argument("--days", type=int, default=APIKey.LIFETIME.days, help="validity in days, at most 90")
        create.add_argument("--scope", action="append", choices=SCOPES, help="what it may do; repeat it. Default: all")
        create.add_argument("--environment", action="append", help="where it may act; repeat it. Default: everywhere")
        create.add_argument("--network", action="append", help="from where (CIDR); repeat it. Default: anywhere")
        listed = acts.add_parser("list", help="every key, without its secret")
        listed.add_argument("--username")
        listed.add_argument("--due", action="store_true", help="only those that end within 14 days")
        rotate = acts.add_parser("rotate", help="make a key with the same bounds and print it, this once")
        rotate.add_argument("prefix", help="the part after opsc_")
        rotate.add_argument("--overlap-hours", type=int, default=key_actions.OVERLAP_HOURS, help="how long both work")
        acts.add_parser("revoke", help="end a key at once").add_argument("prefix", help="the part after opsc_")

    def handle(self, *args: object, act: str, **options: object) -> None:
        try:
            getattr(self, act)(options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except KeyStateError as error:
            raise CommandError(str(error)) from error

    def create(self, options: dict[str, object]) -> None:
        """Print a new key on standard output, and only that, so that it can be piped."""
        try:
            owner = User.objects.get(username=options["username"])
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user {options['username']!r}.") from error
        key, text = key_actions.create_api_key(
            from_command_line(),
            owner,
            str(options["name"]),
            scopes=_texts(options["scope"]) or SCOPES,
            environments=_texts(options["environment"]) or None,
            networks=_texts(options["network"]),
            days=int(str(options["days"])),
        )
        self._show(key, text)

    def list(self, options: dict[str, object]) -> None:
        """One line a key."""
        found = queries.keys_due() if options["due"] else queries.all_keys()
        if options["username"]:
            found = found.filter(owner__username=options["username"])
        for key in found:
            state = "usable" if key.is_usable else "not usable"
            self.stdout.write(
                f"{key.prefix}  {key.owner.username}  {key.name}  until {key.expires_at:%Y-%m-%d}  {state}"
            )

    def rotate(self, options: dict[str, object]) -> None:
        """Print the new key on standard output, and only that."""
        hours = int(str(options["overlap_hours"]))
        new, text = key_actions.rotate_api_key(from_command_line(), _key(options), overlap_hours=hours)
        self._show(new, text)
        self.stderr.write(f"The old key goes on for {hours} hours.")

    def revoke(self, options: dict[str, object]) -> None:
        """End one key."""
        key = key_actions.revoke_api_key(from_command_line(), _key(options))
        self.stdout.write(f"Revoked opsc_{key.prefix}_… ({key.name}).")

    def _show(self, key: APIKey, text: str) -> None:
        self.stdout.write(text)
        self.stderr.write(f"For {key.owner.display_name}, until {key.expires_at:%Y-%m-%d}. It is shown only now.")


def _key(options: dict[str, object]) -> APIKey:
    prefix = str(options["prefix"])
    key = APIKey.objects.select_related("owner").filter(prefix=prefix).first()
    if key is None:
        raise CommandError(f"There is no key opsc_{prefix}_…; manage.py api_key list shows the prefixes.")
    return key


def _texts(given: object) -> list[str]:
    return [str(text) for text in given] if isinstance(given, list) else []
