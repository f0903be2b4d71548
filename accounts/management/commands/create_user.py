"""``manage.py create_user USERNAME --name "Full Name" --role Admin``."""

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import actions
from accounts.actors import from_command_line
from accounts.roles import Role


class Command(BaseCommand):
    help = "Create a person with one role. There are no passwords: print a sign-in link with sign_in_link."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", required=True, metavar="FULL NAME", help="as it shall stand in the audit trail")
        parser.add_argument("--role", required=True, choices=[role.value for role in Role])

    def handle(self, *args: object, username: str, name: str, role: str, **options: object) -> None:
        try:
            user = actions.create_user(from_command_line(), username, name, role)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"Created {user.display_name} ({username}), {role}. Next: manage.py sign_in_link {username}")
