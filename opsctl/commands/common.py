"""What the commands share: their common options, the client, and which deployment is meant."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import click

from opsctl import render
from opsctl.config import Options, Settings, resolve
from opsctl.errors import Refused, UsageProblem
from opsctl.output import Output
from opsctl.session import Credentials
from opsctl.store import Store

UNFINISHED = "pending,running,held,watching,aborting,failing"
NOT_STATED = "Not stated"
"""The reason of a safety act for which none was given: it must not wait for one."""
SAFETY_REASON = "Why; kept in the audit trail. May be left out: stopping comes first."
REASON = "Why; kept in the audit trail. Asked for when it is left out."


class App:
    """What a command works with: where to write, which console, as whom."""

    def __init__(self, options: Options, *, as_json: bool) -> None:
        self.output = Output(as_json=as_json)
        self.options = options
        self.store = Store(os.environ)

    @cached_property
    def settings(self) -> Settings:
        """Console and credential. Raises UsageProblem."""
        return resolve(self.options, os.environ, self.store.last_url())

    @cached_property
    def credentials(self) -> Credentials:
        """As whom. Raises UsageProblem."""
        return Credentials(self.settings, self.store, os.environ, interactive=self.output.interactive)

    @cached_property
    def client(self) -> Any:
        """The API's client. Raises UsageProblem."""
        from opsctl.api import Client

        return Client(self.settings.url, self.credentials, lambda text: self.output.note(f"opsctl: {text}"))

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment variables."""
        return os.environ

    def sign_in_changed(self) -> None:
        """Read the kept sign-in anew at the next request."""
        for name in ("credentials", "client"):
            self.__dict__.pop(name, None)

    def get(self, path: str, **query: Any) -> Any:
        """The answer to a GET, as it is written: for a person without control characters."""
        return self.shown(self.client.get(path, **query))

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, once: bool = False) -> Any:
        """The answer to a POST, as it is written; ``once``: a secret, for which is not asked again."""
        return self.shown(self.client.post(path, body, once=once))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """The answer to a PATCH, as it is written."""
        return self.shown(self.client.patch(path, body))

    def listed(self, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """The first entries of a list, as they are written."""
        found: list[dict[str, Any]] = self.shown(self.client.listed(path, limit, **query))
        return found

    def shown(self, data: Any) -> Any:
        """Data as it may be written."""
        return data if self.output.as_json else render.plain(data)


COMMON = (
    click.Option(["--json", "as_json"], is_flag=True, help="One JSON document on stdout."),
    click.Option(["--url"], default="", metavar="URL", help="Address of the console."),
    click.Option(["--context"], default="", metavar="NAME", help="A console of the settings file."),
    click.Option(["--token-file"], default="", metavar="FILE", help="A file with an API key."),
    click.Option(["--insecure-http"], is_flag=True, help="Allow plain http to another machine."),
)


class Command(click.Command):
    """A command with the common options; its function gets an ``App`` first."""

    def __init__(self, *arguments: Any, examples: str = "", **members: Any) -> None:
        members["params"] = [*(members.get("params") or []), *COMMON]
        if examples:
            members["epilog"] = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples.strip().splitlines())
        super().__init__(*arguments, **members)

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; the options of the command go before those before its name."""
        app = app_of(ctx)
        params = {name: value for name, value in ctx.params.items() if name not in _COMMON_NAMES}
        return None if self.callback is None else ctx.invoke(self.callback, app, **params)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, then the common ones."""
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (line := parameter.get_help_record(ctx)) is not None:
                (common if parameter.name in _COMMON_NAMES else own).append(line)
        for name, lines in (("Options", own), ("Common options", common)):
            if lines:
                with formatter.section(name):
                    formatter.write_dl(lines)


_COMMON_NAMES = frozenset(str(option.name) for option in COMMON)


def app_of(ctx: click.Context) -> App:
    """The App of a command's context, also while its arguments are being completed."""
    outer = ctx.find_root().obj or {"options": Options(), "as_json": False}
    before: Options = outer["options"]
    given = ctx.params
    options = Options(
        url=given.get("url") or before.url,
        context=given.get("context") or before.context,
        token_file=given.get("token_file") or before.token_file,
        insecure_http=bool(given.get("insecure_http")) or before.insecure_http,
    )
    return App(options, as_json=bool(given.get("as_json")) or outer["as_json"])


def path_part(name: str) -> str:
    """A name as part of an address: it cannot lead to another one."""
    from urllib.parse import quote

    return quote(name, safe="").replace(".", "%2E") if set(name) <= {"."} else quote(name, safe="")


def pick(app: App, deployment_id: int | None, environment: str | None, *, last: bool = False) -> dict[str, Any]:
    """The deployment that is meant: by its id, else the one under way.

    Args:
        environment: only of this environment; without one, of all that the person sees.
        last: when none is under way, the newest of the environment.

    Raises:
        UsageProblem: several are under way and none is named.
        Refused: none is.
    """
    if deployment_id is not None:
        found: dict[str, Any] = app.get(f"deployments/{deployment_id}/")
        return found
    running = app.listed("deployments/", 20, environment=environment, status=UNFINISHED)
    running = [one for one in running if not _is_taken_back(one, running)]
    if len(running) > 1:
        names = "; ".join(f"{one['id']} ({one['environment']}, {render.versions(one)})" for one in running)
        raise UsageProblem(f"Several deployments are under way: {names}.", "Name one by its number, or add --env.")
    if not running and last:
        running = app.listed("deployments/", 1, environment=environment)
    if not running:
        where = f" in {environment}" if environment else ""
        raise Refused(f"No deployment is under way{where}.", "opsctl status shows what is live.")
    full: dict[str, Any] = app.get(f"deployments/{running[0]['id']}/")
    return full


def _is_taken_back(deployment: Mapping[str, Any], running: list[dict[str, Any]]) -> bool:
    """Whether its rollback is under way as well: then that one is meant."""
    return any(other["reverts"] == deployment["id"] for other in running)
