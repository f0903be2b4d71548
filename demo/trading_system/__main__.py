"""Starts one instance: `python -m trading_system` in an unpacked release, configured by OPSC_* variables."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop

from .app import App
from .book import Book, BookUnavailable
from .config import ConfigError
from .settings import Release, Settings, SettingsError, read_release, read_settings
from .store import StoreError
from .system import System

log = logging.getLogger("trading_system")
# Longer than the load balancer keeps an idle connection, so that never the server is the side that closes first.
KEEP_ALIVE_SECONDS = 120
GRACE_SECONDS = 1


def main() -> int:
    """Serves until SIGTERM; answers the exit status: 0, or with a message when it cannot start: 1 when the database
    does not answer (trying again later may help), else 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        release, settings = read_release(), read_settings(os.environ)
        book = Book(settings.database_url_file, settings.instance)
        book.open()
        listener = socket.create_server(("127.0.0.1", settings.port), backlog=1024)
    except SettingsError as error:
        print(f"trading system cannot start: {error}", file=sys.stderr)
        return 2
    except BookUnavailable as error:
        print(f"trading system cannot start: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"trading system cannot start: port {settings.port}: {error.strerror}", file=sys.stderr)
        return 2
    try:
        uvloop.run(serve(settings, release, book, listener))
    except (ConfigError, StoreError) as error:
        print(f"trading system cannot start: {error}", file=sys.stderr)
        return 2
    return 0


async def serve(settings: Settings, release: Release, book: Book, listener: socket.socket) -> None:
    """Runs the instance until a stop signal. Raises ConfigError and StoreError before it serves."""
    system = System(settings, release, book)
    await system.start()
    config = uvicorn.Config(
        App(system),
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    log.info("%s %s on port %d", settings.instance, release.release_id, listener.getsockname()[1])
    await Server(config, system).serve(sockets=[listener])
    await system.stop()


class Server(uvicorn.Server):
    """uvicorn with the signals of this system: SIGTERM ends with status 0, SIGHUP reloads the configuration."""

    def __init__(self, config: uvicorn.Config, system: System) -> None:
        super().__init__(config)
        self._system = system

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Installs the handlers; uvicorn's own would raise SIGTERM again after the shutdown."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._terminate)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        yield

    def _terminate(self) -> None:
        # Trading ends at once; requests that are under way are still answered.
        self._system.stop_trading()
        self.should_exit = True

    def _reload(self) -> None:
        if self._system.grant.latch:
            log.error("SIGHUP: refused while the emergency latch holds")
            return
        try:
            self._system.reload_config()
        except ConfigError as error:
            log.error("SIGHUP: the configuration is not valid, nothing was changed: %s", error)


if __name__ == "__main__":
    sys.exit(main())
