"""The entry: which commands there are, what they share, and how an error becomes an exit code.

A command's file is read only when the command runs or its help is shown, and it reads the client and the drawing only
when it needs them: ``opsctl --help`` answers at once, and a command that must work without the console can.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from opsctl import VERSION
from opsctl.config import Options
from opsctl.errors import EXIT_WORDS, Exit, OpsctlError
from opsctl.output import Output

COMMANDS = {
    "login": ("access", "Sign in with an SSH key, or open a browser session"),
    "logout": ("access", "End the sign-in"),
    "whoami": ("access", "Who you are here, and what you may do"),
    "status": ("status", "What is live, how it is, and what runs"),
    "releases": ("status", "The releases that can be deployed"),
    "deploy": ("deploy", "Start a deployment, or ask for one"),
    "report": ("report", "Report tests, a review or benchmarks of a release"),
    "watch": ("watch", "Follow a deployment until it ends"),
    "promote": ("acts", "Move to the new version, or keep it"),
    "hold": ("acts", "Pause between two steps"),
    "resume": ("acts", "Go on after a hold"),
    "abort": ("acts", "Stop before the promotion"),
    "rollback": ("rollback", "Return to the earlier release, and see it done"),
    "rollback-report": ("rollback_report", "What was taken back and why: show, write"),
    "emergency-stop": ("emergency", "Stop trading now: the kill switch; needs no console"),
    "approvals": ("approvals", "Requests that wait for another person"),
    "approve": ("approvals", "Approve a request of somebody else"),
    "reject": ("approvals", "Reject a request"),
    "withdraw": ("approvals", "Take back a request of your own"),
    "alerts": ("alerts", "What somebody has to know; acknowledge it"),
    "positions": ("positions", "Open positions: what the system keeps, what the exchange says"),
    "orders": ("positions", "Open orders of both"),
    "close": ("positions", "Close one position, also directly at the exchange"),
    "cancel": ("positions", "Cancel orders, also directly at the exchange"),
    "reconcile": ("positions", "Compare positions with the exchange, take over the exchange's"),
    "breaker": ("breaker", "Circuit breakers: show, open, answer, reset"),
    "trading": ("trading", "Leave to trade again: ask, approve, reject"),
    "db": ("db", "The trading system's database: list, backup, verify, restore"),
    "audit": ("audit", "Who did what, when, and why"),
    "keys": ("keys", "API keys: list, create, rotate, revoke"),
    "completion": ("shell", "Completion for bash, zsh or fish"),
    "version": ("shell", "The version of opsctl"),
}
"""Name of each command, its file in ``opsctl/commands``, and its line in the list of commands."""
SECTIONS = {
    "Sign in": ("login", "logout", "whoami"),
    "Look": ("status", "releases", "watch", "alerts", "audit"),
    "Deploy": ("report", "deploy", "promote", "hold", "resume"),
    "Safety": ("emergency-stop", "abort", "rollback", "rollback-report"),
    "Trading": ("positions", "orders", "close", "cancel", "reconcile", "breaker", "trading", "db"),
    "Approvals": ("approvals", "approve", "reject", "withdraw"),
    "More": ("keys", "completion", "version"),
}
EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {int(code):>3}  {words}" for code, words in EXIT_WORDS.items())
HELP = """The command line of OpsConsole.

\b
Examples:
  opsctl login --url https://ops.example.com
  opsctl status
  opsctl deploy staging v1.2.5 --reason "Fix of the slippage" --watch
  opsctl rollback --env production

Every command takes --json, --url, --context and --token-file; each explains itself with --help. A sign-in is kept
for 15 minutes and renewed by your SSH key; scripts put an API key into OPSCTL_TOKEN.
"""


class Commands(click.Group):
    """The commands, each read from its file when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, in the order in which they are listed."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"opsctl.commands.{COMMANDS[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the arguments; a wrong name is answered with those that are near."""
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=2)
            hint = f" Do you mean {' or '.join(near)}?" if near else " opsctl --help lists them."
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands by section, without reading their files."""
        for section, names in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name, COMMANDS[name][1]) for name in names])


@click.command(cls=Commands, help=HELP, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--url", default="", metavar="URL", help="Address of the console.")
@click.option("--context", default="", metavar="NAME", help="A console of the settings file.")
@click.option("--token-file", default="", metavar="FILE", help="A file with an API key.")
@click.option("--insecure-http", is_flag=True, help="Allow plain http to another machine.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.version_option(VERSION, message="opsctl %(version)s")
@click.pass_context
def cli(ctx: click.Context, url: str, context: str, token_file: str, insecure_http: bool, as_json: bool) -> None:
    """Kept for the command, whose own options go before these."""
    ctx.obj = {"options": Options(url, context, token_file, insecure_http), "as_json": as_json}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    output = Output(as_json="--json" in given)
    try:
        code = cli.main(given, prog_name="opsctl", standalone_mode=False, complete_var="_OPSCTL_COMPLETE")
        return int(code or 0)
    except OpsctlError as error:
        output.fail(error)
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        output.document({"error": {"code": "usage", "detail": error.format_message(), "exit_code": int(Exit.USAGE)}})
        return int(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        output.note("\nStopped. What was sent to the console before stays done.")
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:  # the reader of the pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.DONE)
    except Exception as error:
        if os.environ.get("OPSCTL_DEBUG"):
            raise
        output.note(f"opsctl: an error of its own: {type(error).__name__}: {error}. OPSCTL_DEBUG=1 shows where.")
        output.note("  Whether something was done, the console knows: opsctl status, opsctl audit.")
        return int(Exit.FAILED)
