"""Diagnostic commands are real processes, cut off in time and length, with nothing of the console's environment."""

from __future__ import annotations

import os
import select
import sys
import time

from runbooks.runbook_commands import LONGEST_OUTPUT, run

VALUES = {"environment": "staging", "service": "paper-trader"}


def python(code: str, *more: str) -> list[str]:
    return [sys.executable, "-S", "-c", code, *more]


def test_arguments_stay_arguments(monkeypatch):
    monkeypatch.setenv("OPSC_SECRET_KEY", "very secret")
    code = "import os, sys; print(sys.argv[1:], sorted(os.environ), os.getcwd(), file=sys.stderr)"
    ran = run(python(code, "{environment}", "$(id); {service}"), 10, VALUES)
    assert ran.code == 0 and ran.words.startswith("exit code 0 after")
    assert ran.output.startswith("['staging', '$(id); paper-trader']") and "OPSC" not in ran.output
    assert ran.output.endswith(" /")


def test_a_hanging_command_is_cut_with_everything_that_it_began():
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    began = time.monotonic()
    ran = run(python(code), 1, VALUES)
    assert time.monotonic() - began < 5
    assert ran.code is None and ran.words == "stopped: it was not done after 1 s"
    assert ends(int(ran.output))


def ends(pid: int) -> bool:
    """Whether a process has ended or does so now: it was killed a moment ago."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 5)[0])
    finally:
        os.close(handle)


def test_endless_output_is_cut():
    ran = run(python("while True: print('x' * 1000)"), 10, VALUES)
    assert ran.code is None and "stopped after 20,000 characters" in ran.words
    assert LONGEST_OUTPUT - 100 <= len(ran.output) <= LONGEST_OUTPUT


def test_what_cannot_be_shown_is_left_out():
    ran = run(python(r"import os; os.write(1, b'a\x00b\x1b[31mred\x1b[0m\xff\n')"), 10, VALUES)
    assert ran.output == "abred�"


def test_an_exit_code_and_a_program_that_is_not_there():
    assert run(python("raise SystemExit(3)"), 10, VALUES).code == 3
    ran = run(["/nowhere/lamp"], 10, VALUES)
    assert ran.code is None and ran.words == "/nowhere/lamp did not begin: No such file or directory"


def test_a_place_without_a_fit_value_begins_nothing(tmp_path):
    mark = tmp_path / "mark"
    for values in ({}, {"release": "-rf"}, {"release": "a b"}):
        ran = run([sys.executable, "-c", f"open({os.fspath(mark)!r}, 'w')", "{release}"], 10, values)
        assert ran.code is None and ran.words.startswith("not begun")
    assert not mark.exists()
