"""Runs a runbook's diagnostic command: an argument list without a shell, cut off in time and in length."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from runbooks.runbook_parts import PLACES, fill

LONGEST_OUTPUT = 20_000
"""Characters that are kept; who says more is stopped."""
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "TERM": "dumb"}
"""All that a command gets of an environment: the console's own holds its secrets."""
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command gave."""

    code: int | None
    """Its exit code; None when it was stopped or did not begin."""
    output: str
    """Both of its outputs, as they came."""
    words: str
    """How it ended: ``exit code 0 after 0.2 s``."""


def run(arguments: list[str], limit: float, values: Mapping[str, str]) -> Ran:
    """Run a command and wait for it.

    Args:
        arguments: the program and its arguments; the places in them are filled.
        limit: seconds after which it is killed, with everything that it started.
        values: what the places stand for.
    """
    filled = [fill(one, values) for one in arguments]
    if refused := _refusal(arguments, values):
        return Ran(None, "", refused)
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            filled,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        return Ran(None, "", f"{filled[0]} did not begin: {error.strerror or error}")
    try:
        data, is_whole = _read(process, began + limit)
    finally:
        _end(process)
    text = _plain(data)
    seconds = time.monotonic() - began
    if not is_whole and len(data) > LONGEST_OUTPUT:
        return Ran(None, text, f"stopped after {LONGEST_OUTPUT:,} characters of output")
    if not is_whole:
        return Ran(None, text, f"stopped: it was not done after {limit:g} s")
    return Ran(process.returncode, text, f"exit code {process.returncode} after {seconds:.1f} s")


def _refusal(arguments: list[str], values: Mapping[str, str]) -> str:
    """Why it is not begun: a place without a value, or with one that a program could take for an option."""
    for name in PLACES:
        if any(f"{{{name}}}" in one for one in arguments):
            value = values.get(name, "")
            if not value:
                return f"not begun: there is no {name} to put into it"
            if not _SAFE.fullmatch(value):
                return f"not begun: the {name} is called {value[:60]!r}, which no command gets"
    return ""


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    """What it writes until it ends; False when it had to be stopped."""
    assert process.stdout is not None
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            piece = os.read(process.stdout.fileno(), 65_536)
            data += piece
            if len(data) > LONGEST_OUTPUT:
                return bytes(data), False
            if not piece:  # both outputs are closed: it ends, or has gone on without them
                return bytes(data), _ends(process, deadline)
    return bytes(data), process.poll() is not None


def _ends(process: subprocess.Popen[bytes], deadline: float) -> bool:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of it: the process leads a group of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _plain(data: bytes) -> str:
    text = _ESCAPE.sub("", data.decode(errors="replace").replace("\r\n", "\n"))
    return text[:LONGEST_OUTPUT].rstrip()
