"""Help that helps, a quick start, and completion that knows the console's names."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from opsctl.cli import COMMANDS, SECTIONS
from opsctl.errors import EXIT_WORDS, Exit

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/opsctl.md").read_text()
FAST = 0.3
"""Seconds in which ``opsctl --help`` answers; of the processor, since other tests keep this machine busy."""
PATIENT = {"OPSCTL_COMPLETION_SECONDS": "30"}


def leaves() -> list[tuple[str, click.Command]]:
    found = []
    for name, (module, _) in COMMANDS.items():
        command = getattr(import_module(f"opsctl.commands.{module}"), name.replace("-", "_"))
        inner = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        found += [(f"{name} {sub}".strip(), one) for sub, one in inner]
    return found


LEAVES = leaves()
each_command = pytest.mark.parametrize(("name", "command"), LEAVES, ids=[name for name, _ in LEAVES])


@each_command
def test_every_command_explains_itself(name, command):
    context = click.Context(command, info_name=f"opsctl {name}", max_content_width=100)
    text = command.get_help(context)
    assert command.help and "--json" in text
    if any(isinstance(parameter, click.Argument) or parameter.name == "reason" for parameter in command.params):
        assert f"opsctl {name}" in (command.epilog or ""), "an example of each command that wants something"
    silent = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert silent == []


@each_command
def test_every_command_is_documented(name, command):
    assert f"`opsctl {name}" in DOCUMENT


def test_every_exit_code_is_documented():
    for code in Exit:
        assert f"| {int(code)} | {EXIT_WORDS[code]} |" in DOCUMENT


def test_every_command_is_in_a_section():
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)


def seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "opsctl", *arguments], cwd=ROOT, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_at_once():
    assert min(seconds("--help") for _ in range(3)) < FAST


@pytest.mark.parametrize("arguments", [["--help"], ["rollback", "--help"], ["version"], ["completion", "zsh"]])
def test_what_needs_no_console_reads_no_client(arguments):
    code = f"import sys; from opsctl.cli import main; main({arguments!r})"
    code += "; print('LOADED', sorted({'httpx', 'rich', 'ssl', 'asyncio', 'django'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stauts"], "Do you mean status?"),
        (["deploy", "production"], "Missing argument 'VERSION'"),
        (["watch", "zero"], "is not a valid integer"),
        (["keys", "rotate"], "Missing argument 'PREFIX'"),
        (["audit", "--url", "https://a.example.com", "--since", "yesterday"], "is no moment"),
        (["audit", "--url", "https://a.example.com", "--export", "x.pdf"], "End it in .csv or .jsonl"),
    ],
)
def test_wrong_usage(shell, arguments, words):
    done = shell.run(*arguments)
    assert done.returncode == Exit.USAGE and words in done.stderr and done.stdout == ""
    assert '"exit_code": 2' in shell.run(*arguments, "--json").stdout


def test_options_before_and_behind_the_command(shell):
    before = shell.run("--url", "http://before.example.com", "status")
    behind = shell.run("--url", "http://before.example.com", "status", "--url", "http://behind.example.com")
    assert "http://before.example.com" in before.stderr and "http://behind.example.com" in behind.stderr


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, name):
    done = shell.run("completion", name)
    assert done.returncode == 0 and "_OPSCTL_COMPLETE" in done.stdout
    if shutil.which(name):
        subprocess.run([name, "-n"], input=done.stdout, text=True, check=True)


def completed(shell, line: str, **variables: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    asked = {"_OPSCTL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = shell.run(**asked, **variables)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [offer.partition(",")[2] for offer in done.stdout.splitlines() if offer]


def test_commands_and_options_are_completed_without_a_console(shell):
    assert completed(shell, "opsctl ro") == ["rollback", "rollback-report"]
    assert completed(shell, "opsctl keys r") == ["revoke", "rotate"]
    assert "--no-wait" in completed(shell, "opsctl rollback --no")
    assert completed(shell, "opsctl deploy ") == [], "silent when nobody knows the names"
    assert completed(shell, "opsctl deploy ", OPSCTL_URL="http://127.0.0.1:9", OPSCTL_TOKEN="opsc_x") == []


@pytest.mark.django_db(transaction=True)
def test_names_are_completed_from_the_console(shell_of, operator, deployment, staging):
    made = deployment("running")
    shell = shell_of(operator)
    assert completed(shell, "opsctl deploy ", **PATIENT) == ["production", "staging"]
    assert completed(shell, "opsctl deploy production v1.2", **PATIENT) == ["v1.2.5", "v1.2.4"]
    assert completed(shell, "opsctl watch ", **PATIENT) == [str(made.pk)]
    assert completed(shell, "opsctl status pro", **PATIENT) == ["production"]
