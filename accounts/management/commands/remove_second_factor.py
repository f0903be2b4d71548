"""``manage.py remove_second_factor USERNAME``: for the day on which the device of the only Admin is lost."""

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import people_actions
from accounts.actors import from_command_line
from accounts.models import User


class Command(BaseCommand):
    help = "Remove passkeys, authenticator app, recovery codes and SSH keys of a person, and end their sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True, help="why; it is kept in the audit trail")

    def handle(self, *args: object, username: str, reason: str, **options: object) -> None:
        try:
            people_actions.remove_second_factor(from_command_line(), User.objects.get(username=username), reason)
        except User.DoesNotExist as error:
            raise CommandError(f"There is no user {username!r}.") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"Removed. Print a link to enter and enrol with: manage.py sign_in_link --enrol {username}")
