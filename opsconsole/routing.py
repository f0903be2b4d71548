"""Web sockets: one address, whose topics each app registers in its ``live.py``."""

from channels.routing import URLRouter
from django.urls import path, re_path
from django.utils.module_loading import autodiscover_modules

from accounts.live import LiveConsumer

autodiscover_modules("live")


async def not_found(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    """Refuse a socket at an unknown address."""
    await send({"type": "websocket.close", "code": 4404})


websockets = URLRouter([path("ws/live/", LiveConsumer.as_asgi()), re_path(r"", not_found)])
