"""HAProxy and its fence: weights, epochs, faults, and traffic that fails no request."""

import bisect
import http.client
import os
import random
import signal
import socket
import statistics
import subprocess
import threading
import time
from pathlib import Path

import pytest

from environments.traffic.base import ReadBackDiffers, RouterRefused, RouterUnreachable, StaleEpoch
from environments.traffic.config import ConfigError, Front, Server, haproxy_binary, haproxy_program, render
from environments.traffic.haproxy import HAProxyRouter
from opsconsole.local.ports import free_ports
from tests.environments.haproxy_stack import Stack
from tests.environments.httpload import Load, wait_until

SHIFTS = 400


def get(port: int, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, "/", headers=headers or {}, body=b"{}" if method == "POST" else None)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def misrouted(load: Load, moves: list[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Answers by a server that had no weight from before the request was asked until after it was answered.

    moves: (shift begun, shift confirmed, server). A server may answer from the begin of the shift to it until the
    confirmation of the next shift.
    """
    begins = [begun for begun, _, _ in moves]
    wrong = []
    for asked, answered, server in load.answers:
        last = bisect.bisect_right(begins, answered) - 1
        first = last
        while first > 0 and moves[first][1] > asked:
            first -= 1
        if last >= 0 and moves[0][1] < asked and server not in {name for _, _, name in moves[first : last + 1]}:
            wrong.append((asked, answered, server))
    return wrong


def test_shift_sets_reads_back_and_moves_every_request(stack: Stack) -> None:
    for server in ("green", "blue", "green", "blue"):
        other = {"blue": "green", "green": "blue"}[server]
        epoch = stack.next_epoch()
        state = stack.production.shift({server: 100, other: 0}, epoch)
        assert state.weights == {server: 100, other: 0}
        assert (state.epoch, stack.production.read()) == (epoch, state)
        assert {get(stack.production_port) for _ in range(8)} == {(200, server)}


def test_weights_share_the_requests(stack: Stack) -> None:
    stack.production.shift({"blue": 30, "green": 10}, stack.next_epoch())
    answers = [get(stack.production_port)[1] for _ in range(80)]
    # Round robin starts somewhere in its cycle.
    assert abs(answers.count("blue") - 60) <= 4
    assert len(answers) == answers.count("blue") + answers.count("green")


def test_an_old_epoch_is_refused_and_changes_nothing(stack: Stack) -> None:
    stack.shift_to("blue")
    held = stack.epoch
    with pytest.raises(StaleEpoch) as refusal:
        stack.production.shift({"blue": 0, "green": 100}, held - 1)
    assert refusal.value.current == held
    assert stack.production.read().weights == {"blue": 100, "green": 0}


def test_an_equal_epoch_is_accepted_again(stack: Stack) -> None:
    stack.shift_to("blue")
    again = stack.production.shift({"blue": 100, "green": 0}, stack.epoch)
    assert (again.epoch, again.weights) == (stack.epoch, {"blue": 100, "green": 0})


def test_fence_raises_the_epoch_and_moves_nothing(stack: Stack) -> None:
    stack.shift_to("blue")
    old = stack.epoch
    state = stack.production.fence(stack.next_epoch())
    assert (state.epoch, state.weights) == (stack.epoch, {"blue": 100, "green": 0})
    with pytest.raises(StaleEpoch):
        stack.production.shift({"blue": 0, "green": 100}, old)


def test_environments_have_epochs_of_their_own(stack: Stack) -> None:
    stack.shift_to("blue")
    before = stack.production.read()
    state = stack.staging.shift({"green": 7}, 1)
    assert (state.epoch, state.weights) == (1, {"blue": 100, "green": 7})
    assert stack.production.read() == before


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("opsc shift nowhere {epoch} blue=1", "error unknown backend nowhere"),
        ("opsc shift production {epoch} red=1 blue=0", "error unknown server red"),
        ("opsc shift production {epoch} blue=257 green=1", "error weight 257 of blue is outside 0..256"),
        ("opsc shift production {epoch} blue=-1", "error cannot read blue=-1"),
        ("opsc shift production {epoch} blue=1 blue=2", "error server blue is named twice"),
        ("opsc shift production {epoch}", "error no <server>=<weight> given"),
        ("opsc shift production soon blue=0", "error epoch soon is not a whole number"),
        ("opsc shift", "error no <server>=<weight> given"),
        ("opsc show", "error no backend given"),
    ],
)
def test_a_bad_command_is_named_and_changes_nothing(stack: Stack, line: str, answer: str) -> None:
    stack.shift_to("blue")
    before = stack.production.read()
    assert stack.command(line.format(epoch=stack.next_epoch())).startswith(answer)
    assert stack.production.read() == before


def test_the_router_names_what_was_refused(stack: Stack) -> None:
    with pytest.raises(RouterRefused, match="unknown server red"):
        stack.production.shift({"red": 1}, stack.next_epoch())
    with pytest.raises(RouterRefused, match="unknown backend nowhere"):
        HAProxyRouter(stack.address, "nowhere").read()
    with pytest.raises(RouterRefused, match="letters, digits"):
        stack.production.shift({"blue=0; shutdown sessions": 1}, stack.next_epoch())


def test_a_change_by_hand_is_seen_and_repaired(stack: Stack) -> None:
    stack.shift_to("blue")
    stack.command("set server production/green weight 50")
    assert stack.production.read().weights == {"blue": 100, "green": 50}
    stack.command("set server production/blue state maint")
    assert stack.production.read().states["blue"] == "MAINT"
    state = stack.production.shift({"blue": 100, "green": 0}, stack.epoch)
    assert state.weights == {"blue": 100, "green": 0}
    assert state.states["blue"] == "no_check"
    assert get(stack.production_port) == (200, "blue")


def test_a_request_in_flight_is_finished_by_the_server_that_has_it(stack: Stack) -> None:
    stack.shift_to("blue")
    answers: list[tuple[int, str]] = []
    slow = threading.Thread(target=lambda: answers.append(get(stack.production_port, {"X-Delay-Ms": "600"})))
    slow.start()
    wait_until(lambda: "scur=1" in _blue_sessions(stack), 5, "the request is with blue")
    stack.shift_to("green")
    assert get(stack.production_port) == (200, "green")
    slow.join()
    assert answers == [(200, "blue")]


def _blue_sessions(stack: Stack) -> str:
    for line in stack.command("show stat").splitlines():
        fields = line.split(",")
        if fields[:2] == ["production", "blue"]:
            return f"scur={fields[4]}"
    return ""


def test_an_unreachable_or_hung_router_is_told_in_time(stack: Stack) -> None:
    with pytest.raises(RouterUnreachable):
        HAProxyRouter(f"unix:{stack.directory}/none.sock", "production").read()
    worker = stack.worker()
    worker.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(RouterUnreachable):
            stack.production.shift({"blue": 100}, stack.epoch)
        assert time.monotonic() - began < 1.5
    finally:
        worker.send_signal(signal.SIGCONT)
    wait_until(stack.answers, 5, "HAProxy answers again")


def test_no_request_fails_over_many_shifts(stack: Stack, record_property) -> None:  # type: ignore[no-untyped-def]
    stack.shift_to("blue")
    moves, durations = [], []
    with Load(stack.production_port) as load:
        for number in range(SHIFTS):
            server = ("green", "blue")[number % 2]
            begun = time.monotonic()
            stack.shift_to(server)
            moves.append((begun, time.monotonic(), server))
            durations.append(moves[-1][1] - begun)
            asked = len(load.answers)
            wait_until(lambda asked=asked: len(load.answers) >= asked + 10, 5, "requests between two shifts")
    durations.sort()
    figures = {
        "requests": len(load.answers),
        "rate": round(load.rate),
        "shift_ms_median": round(statistics.median(durations) * 1000, 2),
        "shift_ms_p99": round(durations[int(len(durations) * 0.99)] * 1000, 2),
    }
    for name, value in figures.items():
        record_property(name, value)
    print(figures)
    assert load.failures == []
    assert misrouted(load, moves) == []
    assert figures["shift_ms_p99"] < 100


def test_killed_between_shifts_it_never_serves_from_a_server_without_weight(stack: Stack) -> None:
    seed = int(os.environ.get("OPSC_TEST_SEED", random.randrange(10**6)))
    print(f"OPSC_TEST_SEED={seed}")
    chance = random.Random(seed)
    stack.shift_to("blue")
    moves: list[tuple[float, float, str]] = []
    with Load(stack.production_port) as load:
        for number in range(12):
            server = ("green", "blue")[number % 2]
            begun = time.monotonic()
            stack.shift_to(server)
            moves.append((begun, time.monotonic(), server))
            master, victim = stack.master(), chance.choice([stack.master(), stack.worker()])
            victim.kill()
            wait_until(lambda master=master: stack.supervisor.pid("haproxy") not in (None, master.pid), 10, "restart")
            wait_until(stack.answers, 10, "HAProxy answers after a kill")
            state = stack.production.read()
            assert (state.epoch, state.weights[server]) == (stack.epoch, 100)
            asked = len(load.answers)
            wait_until(lambda asked=asked: len(load.answers) >= asked + 300, 10, "requests after a kill")
    assert misrouted(load, moves) == []
    assert len(load.failures) > 0, "the kills must have been felt, or nothing was tested"
    assert len({server for *_, server in load.answers}) == 2


def test_a_reload_under_load_fails_no_request_and_keeps_epoch_and_weights(stack: Stack) -> None:
    stack.shift_to("green")
    with Load(stack.production_port) as load:
        for _ in range(3):
            before, epoch = stack.worker(), stack.epoch
            stack.supervisor.signal("haproxy", "USR2")
            wait_until(lambda before=before: stack.answers(not_by=before.pid), 10, "a new worker has taken over")
            state = stack.production.read()
            assert (state.epoch, state.weights) == (epoch, {"blue": 0, "green": 100})
            asked = len(load.answers)
            wait_until(lambda asked=asked: len(load.answers) >= asked + 100, 10, "requests after a reload")
    assert load.failures == []
    assert {server for *_, server in load.answers} == {"green"}


def test_a_process_that_read_older_state_catches_up(stack: Stack) -> None:
    """What another process accepted meanwhile (kill, reload) is in the file and wins, without a command."""
    stack.shift_to("blue")
    path = stack.directory / "fence.state"
    lines = path.read_text().splitlines()
    name, sequence, _, *_ = next(line for line in lines if line.startswith("production ")).split()
    newer = f"{name} {int(sequence) + 1} {stack.next_epoch()} blue=0 green=100"
    path.with_suffix(".new").write_text("\n".join([newer, *(x for x in lines if not x.startswith("production "))]))
    path.with_suffix(".new").rename(path)
    wait_until(lambda: get(stack.production_port) == (200, "green"), 2, "traffic follows the file")
    assert stack.production.read().epoch == stack.epoch


def test_a_removed_state_file_never_lowers_the_epoch(stack: Stack) -> None:
    stack.shift_to("blue")
    (stack.directory / "fence.state").unlink()
    with pytest.raises(StaleEpoch):
        stack.production.shift({"green": 100}, stack.epoch - 1)
    stack.shift_to("green")
    assert (stack.directory / "fence.state").exists()


def test_a_state_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    program = haproxy_program(tmp_path, [Front("p", port, (Server("s", "127.0.0.1", 1),))], _short(tmp_path))
    (tmp_path / "fence.state").write_text("p 3 nonsense s=1\n")
    done = subprocess.run(program.command, capture_output=True, text=True, timeout=10)
    assert done.returncode != 0
    assert "has a line that cannot be read: p 3 nonsense s=1" in done.stderr + done.stdout


def test_requests_are_sent_again_only_when_that_does_no_harm(tmp_path: Path) -> None:
    front, back = free_ports(2)
    program = haproxy_program(tmp_path, [Front("p", front, (Server("s", "127.0.0.1", back, 1),))], _short(tmp_path))
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", back)) as mute:
        threading.Thread(target=_close_without_answer, args=(mute, received), daemon=True).start()
        process = subprocess.Popen(program.command, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: not _refuses(front), 10, "HAProxy listens")
            assert get(front, method="POST")[0] == 502
            assert [line[:4] for line in received] == [b"POST"]
            received.clear()
            assert get(front)[0] == 502
            assert [line[:3] for line in received] == [b"GET"] * 3
        finally:
            process.terminate()
            process.wait(10)


def _close_without_answer(listener: socket.socket, received: list[bytes]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            received.append(connection.recv(4096))


def _refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _short(path: Path) -> str:
    (port,) = free_ports(1)
    return f"tcp:127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("ok epoch=3 blue=100:x green=0:x\n\nok epoch=3 blue=100:x green=5:x\n\n", ReadBackDiffers),
        ("ok epoch=3 blue=100:x green=0:x\n\nok epoch=4 blue=0:x green=100:x\n\n", StaleEpoch),
        ("ok epoch=3 blue=100:x green=0:x\n\n", RouterUnreachable),
        ("", RouterUnreachable),
    ],
)
def test_only_what_was_read_back_counts(answer: str, error: type[Exception]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer.encode())

        threading.Thread(target=serve, daemon=True).start()
        router = HAProxyRouter(f"tcp:127.0.0.1:{listener.getsockname()[1]}", "production")
        with pytest.raises(error):
            router.shift({"blue": 100, "green": 0}, 3)


@pytest.mark.parametrize(
    ("fronts", "address", "message"),
    [
        ([], "tcp:127.0.0.1:1", "at least one environment"),
        ([Front("a b", 1, (Server("s", "h", 1),))], "tcp:127.0.0.1:1", "'a b'"),
        ([Front("a", 1, (Server("s", "h", 1), Server("s", "h", 2)))], "tcp:127.0.0.1:1", "different names"),
        ([Front("a", 1, (Server("s", "h", 1, 300),))], "tcp:127.0.0.1:1", "weight 300 of a/s"),
        ([Front("a", 1, (Server("s", "h", 1),))] * 2, "tcp:127.0.0.1:1", "environment given twice: a"),
        ([Front("a", 1, (Server("s", "h", 1),))], "unix:/" + "x" * 100, "longer than 90 bytes"),
        ([Front("a", 1, (Server("s", "h", 1),))], "localhost", "neither unix:/path nor tcp:host:port"),
    ],
)
def test_a_bad_description_is_named(fronts: list[Front], address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        render(fronts, address, Path("/tmp/state"))


def test_haproxy_itself_checks_the_configuration(tmp_path: Path) -> None:
    fronts = [Front("a", 99999, (Server("s", "127.0.0.1", 1),))]
    with pytest.raises(ConfigError, match="99999"):
        haproxy_program(tmp_path, fronts, _short(tmp_path))
    assert haproxy_binary().exists()


@pytest.mark.parametrize("address", ["unix:relative", "tcp:host", "tcp::80", "host:80", ""])
def test_a_bad_address_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="neither unix:/path nor tcp:host:port"):
        HAProxyRouter(address, "production")
