"""The entry point of the web server: HTTP by Django, sockets by Channels."""

import gc
import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsconsole.settings")
http = get_asgi_application()

from opsconsole.routing import websockets  # noqa: E402  needs the apps loaded
from trading.exchange.open import preload  # noqa: E402
from trading.stop import tasks  # noqa: E402

tasks.start(preload, name="preload")  # the first press of the kill switch must not wait for an import

# What the start has made lives for ever; looking through it again and again held pages up for 0.1 s now and then.
gc.collect()
gc.freeze()

application = ProtocolTypeRouter({"http": http, "websocket": websockets})
