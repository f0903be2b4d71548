"""Settings of the demo: the ordinary ones, and a page that signs in with one click.

This module refuses to load when the console could be reached from another machine, and the ordinary settings
have no such page, so one-click sign-in cannot be switched on outside the demo.
"""

from django.core.exceptions import ImproperlyConfigured

from opsconsole.settings import *  # noqa: F403
from opsconsole.settings import ALLOWED_HOSTS, OPSC_IS_LOOPBACK

if not OPSC_IS_LOOPBACK:
    raise ImproperlyConfigured(
        f"The demo settings work on loopback only, but OPSC_HOST or OPSC_ALLOWED_HOSTS ({', '.join(ALLOWED_HOSTS)}) "
        "name another address. Use opsconsole.settings for a console that others reach."
    )

DEMO = True
ROOT_URLCONF = "opsconsole.demo_urls"
LOGIN_URL = "/demo/"
