"""``manage.py sign_in_link USERNAME``: a link that signs in once."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from accounts import actions, links
from accounts.actors import from_command_line
from accounts.models import User


class Command(BaseCommand):
    help = "Print a link that signs a person in. It works once, for ten minutes, until the person's next sign-in."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--base-url", help="where the console is reached (default: OPSC_ORIGIN)")
        parser.add_argument(
            "--enrol", action="store_true", help="for 24 hours, and leads to enrolling a passkey: for somebody new"
        )

    def handle(
        self, *args: object, username: str, base_url: str | None, enrol: bool = False, **options: object
    ) -> None:
        try:
            user = User.objects.get(username=username)
            token = actions.issue_sign_in_link(from_command_line(), user, enrol=enrol)
        except User.DoesNotExist as error:
            known = ", ".join(User.objects.order_by("username").values_list("username", flat=True)[:20]) or "nobody yet"
            raise CommandError(f"There is no user {username!r}. Known: {known}.") from error
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write((base_url or settings.OPSC_ORIGIN).rstrip("/") + reverse("sign_in_link", args=[token]))
        lifetime = links.lifetime_in_words(links.Kind.ENROL if enrol else links.Kind.SIGN_IN)
        self.stderr.write(f"It works once, within {lifetime}. Whoever has it enters as {username}.")
