"""``manage.py create_user USERNAME --name "Full Name" --role Admin``."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from accounts import actions, links
from accounts.actors import from_command_line
from accounts.roles import Role


class Command(BaseCommand):
    help = "Create a person with one role, and print the one-time link with which they enter. There are no passwords."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", required=True, metavar="FULL NAME", help="as it shall stand in the audit trail")
        parser.add_argument("--role", required=True, choices=[role.value for role in Role])

    def handle(self, *args: object, username: str, name: str, role: str, **options: object) -> None:
        try:
            user = actions.create_user(from_command_line(), username, name, role)
            token = actions.issue_sign_in_link(from_command_line(), user, enrol=True)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"Created {user.display_name} ({username}), {role}. The link to enter and enrol a passkey:")
        self.stdout.write(settings.OPSC_ORIGIN + reverse("sign_in_link", args=[token]))
        lifetime = links.lifetime_in_words(links.Kind.ENROL)
        self.stdout.write(f"It works once, within {lifetime}. Another one: manage.py sign_in_link {username} --enrol")
