"""An answer that gets lost on the way: the act is tried again, and done once."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from audit.models import Record
from tests.opsctl.conftest import Shell

pytestmark = pytest.mark.django_db(transaction=True)


class Cut:
    """A way to the console on which the answers to the first POSTs are lost after the console gave them."""

    def __init__(self, upstream: str, cuts: int) -> None:
        where = urlsplit(upstream)
        self._upstream, self._cuts = (where.hostname, where.port), cuts
        self.keys: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client:
            head = self._request(client)  # first, so that a try counts even when the console is too busy to be reached
            lost = head.startswith(b"POST") and len(self.keys) <= self._cuts
            with socket.create_connection(self._upstream) as server:
                server.sendall(head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                while piece := server.recv(65_536):
                    if not lost:
                        client.sendall(piece)

    def _request(self, client: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.recv(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if head.startswith(b"POST"):
            self.keys.append(fields[b"idempotency-key"].decode())
        kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        while len(body) < int(fields.get(b"content-length", b"0")):
            body += client.recv(65_536)
        return b"\r\n".join(kept) + b"\r\n\r\n" + body


@pytest.fixture
def cut(live_server) -> Iterator[Callable[[int], Cut]]:
    made: list[Cut] = []

    def make(cuts: int) -> Cut:
        made.append(Cut(live_server.url, cuts))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_lost_answer_is_asked_for_again_with_the_same_key(cut, shell_of, admin, deployment):
    deployment("running")
    way = cut(2)
    shell: Shell = shell_of(admin)
    done = shell.run("hold", OPSCTL_URL=way.url)
    assert done.returncode == 0, done.stderr
    assert len(way.keys) == 3 and len(set(way.keys)) == 1
    assert Record.objects.filter(action="deployment.held").count() == 1


def test_it_is_given_up_after_some_tries(cut, shell_of, admin, deployment):
    deployment("running")
    way = cut(100)
    shell: Shell = shell_of(admin)
    done = shell.run("hold", OPSCTL_URL=way.url)
    assert done.returncode == 6 and way.url in done.stderr
    # Four tries, of which a console that is too busy may not have taken each.
    assert 1 < len(way.keys) <= 4 and len(set(way.keys)) == 1
