"""Starts the paper exchange.

python -m demo.exchange --port 8090 --log var/exchange.log --accounts var/accounts.json --seed 7
"""

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from demo.exchange.app import App
from demo.exchange.book import Book
from demo.exchange.directory import Directory
from demo.exchange.exchange import Exchange
from demo.exchange.journal import Journal, restore
from demo.exchange.market import Market
from demo.exchange.nonces import Nonces

# Longer than any client keeps an idle connection, so that never the server is the side that closes first.
KEEP_ALIVE_SECONDS = 120


def main(arguments: list[str] | None = None) -> int:
    """Serves until SIGTERM or SIGINT; answers the exit status (0, or 1 with a message on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m demo.exchange", description="Paper exchange on 127.0.0.1.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True, help="file that gets one JSON line an order")
    parser.add_argument("--accounts", type=Path, required=True, help="JSON file with accounts and their agents")
    parser.add_argument("--also", action="append", default=[], help="listen on this address, too (127.0.0.2)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the price walk")
    options = parser.parse_args(arguments)
    try:
        exchange = open_exchange(options.log, options.accounts, options.seed)
        hosts = ["127.0.0.1", *options.also]
        listeners = [socket.create_server((host, options.port), backlog=512) for host in hosts]
    except (OSError, ValueError) as error:
        print(f"paper exchange on port {options.port} cannot start: {error}", file=sys.stderr)
        return 1
    uvloop.run(serve(exchange, listeners))
    return 0


def open_exchange(log: Path, accounts: Path, seed: int) -> Exchange:
    """The exchange as the log and its snapshot left it. Raises OSError and ValueError (unreadable file)."""
    book, nonces, directory = Book(Market(seed)), Nonces(), Directory(accounts)
    journal, state_path = Journal(log), log.with_name(log.name + ".state")
    restore(book, nonces, state_path, log)
    return Exchange(book, journal, state_path, directory, nonces)


async def serve(exchange: Exchange, listeners: list[socket.socket]) -> None:
    """Runs server, prices and snapshots until a stop signal, then writes the last snapshot."""
    app = App(exchange)
    config = uvicorn.Config(
        app,
        http=Protocol,
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    tasks = [asyncio.create_task(app.tick_forever()), asyncio.create_task(app.save_forever())]
    server = Server(config)
    await server.serve(sockets=listeners)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    exchange.save()
    exchange.journal.close()


class Protocol(HttpToolsProtocol):
    """HTTP of uvicorn that shows the application its connection, so that a fault can close it without an answer."""

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self.scope["transport"] = self.transport  # type: ignore[typeddict-unknown-key]


class Server(uvicorn.Server):
    """uvicorn that ends with status 0 on SIGTERM instead of raising the signal again after its shutdown."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Turns SIGTERM and SIGINT into an orderly stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, setattr, self, "should_exit", True)
        yield


if __name__ == "__main__":
    sys.exit(main())
