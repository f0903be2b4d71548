"""The entry point of the web server: HTTP by Django, sockets by Channels."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconsole.settings")
http = get_asgi_application()

from opsconsole.routing import websockets  # noqa: E402  needs the apps loaded
from trading.exchange.open import preload  # noqa: E402
from trading.stop import tasks  # noqa: E402

tasks.start(preload, name="preload")  # the first press of the kill switch must not wait for an import

application = ProtocolTypeRouter({"http": http, "websocket": websockets})
