"""``completion`` and ``version``: they need no console."""

from __future__ import annotations

import click

from opsctl import VERSION
from opsctl.commands.common import App, Command


@click.command(
    cls=Command,
    examples="""
opsctl completion bash > ~/.local/share/bash-completion/completions/opsctl
opsctl completion zsh > ~/.zfunc/_opsctl
opsctl completion fish > ~/.config/fish/completions/opsctl.fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(app: App, shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands and options, and also environments, versions, deployments and approvals as the console
    names them; when the console does not answer within a second, only the former.
    """
    from click.shell_completion import get_completion_class

    from opsctl.cli import cli

    found = get_completion_class(shell)
    assert found is not None  # click has all three
    script = found(cli, {}, "opsctl", "_OPSCTL_COMPLETE").source()
    app.output.document({"shell": shell, "script": script})
    app.output.say(script)


@click.command(cls=Command)
def version(app: App) -> None:
    """Print the version of opsctl."""
    app.output.document({"version": VERSION})
    app.output.say(f"opsctl {VERSION}")
