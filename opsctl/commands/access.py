"""``login``, ``logout``, ``whoami``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opsctl import render, ssh
from opsctl.commands.common import App, Command
from opsctl.errors import NotSignedIn, OpsctlError
from opsctl.session import Bounds, keep, try_keys
from opsctl.store import SignIn


@click.command(
    cls=Command,
    examples="""
opsctl login --url https://ops.example.com
opsctl login --key ~/.ssh/id_ed25519
opsctl login --scope deploy_environment --env staging
opsctl login --browser
""",
)
@click.option("--key", "key_file", type=click.Path(path_type=Path), help="The SSH key; either half may be named.")
@click.option(
    "--scope", "scopes", multiple=True, metavar="NAME", help="Ask for less: only this permission. Repeatable."
)
@click.option("--env", "environments", multiple=True, metavar="ENV", help="Only for this environment. Repeatable.")
@click.option("--browser", is_flag=True, help="Print, and open, an address that signs a browser in once.")
def login(
    app: App, key_file: Path | None, scopes: tuple[str, ...], environments: tuple[str, ...], browser: bool
) -> None:
    """Sign in with an SSH key that is in your account.

    The console gives a text to sign; ssh-keygen signs it with a key of your agent, of ~/.ssh, or the one you name. It
    is not signed when it is for another console than the one that is talked to. The token that comes back holds for
    15 minutes and is renewed with the same key.
    """
    bounds = Bounds(list(scopes) or None, list(environments) or None)
    found = _sign_in(app, key_file, bounds)
    if browser:
        return _open_browser(app)
    app.output.document({"url": found.url, "user": found.user, "expires_at": found.expires_at, "key": found.key})
    app.output.say(f"Signed in to {found.url} as {found.user} until {render.clock(found.expires_at)}.")
    app.output.say(
        f"Key: {found.key or 'of the agent'} ({found.fingerprint}). It signs in again by itself when needed."
    )
    return None


def _sign_in(app: App, key_file: Path | None, bounds: Bounds) -> SignIn:
    settings = app.settings
    if settings.token:
        raise NotSignedIn(
            f"An API key is set ({settings.token_from}); it would be used instead of this sign-in.",
            "Take it away first, or do not sign in: the key is enough.",
        )
    keys = ssh.candidates(key_file or settings.key, app.environ)
    kept = app.store.load(settings.url)
    if kept is not None and key_file is None:  # the one that was good last time goes first
        keys.sort(key=lambda key: key.fingerprint != kept.fingerprint)
    found = try_keys(app.client.open_post, settings.url, keys, bounds, interactive=app.output.interactive)
    keep(app.store, found)
    app.sign_in_changed()
    return found


def _open_browser(app: App) -> None:
    address = str(app.client.post("login/browser/", once=True)["url"])
    if not address.startswith(app.settings.url + "/"):
        raise OpsctlError(f"The console named an address elsewhere, which was not opened: {render.plain(address)}")
    app.output.document({"url": address})
    app.output.say(address)
    app.output.note("It signs in the browser that opens it, once, within a minute.")
    if app.output.is_terminal:
        import webbrowser

        webbrowser.open(address)


@click.command(cls=Command)
def logout(app: App) -> None:
    """End the sign-in, here and at the console."""
    kept = app.store.load(app.settings.url)
    if kept is None:
        app.output.say(f"You were not signed in to {app.settings.url}.")
        app.output.document({"url": app.settings.url, "ended": False})
        return
    told = True
    if kept.is_usable():
        try:
            app.client.post("logout/")
        except OpsctlError as error:
            told = False
            app.output.note(f"opsctl: the console could not be told ({error}). Its token ends by itself.")
    app.store.forget(app.settings.url)
    app.output.say(f"Signed out of {app.settings.url}.")
    app.output.document({"url": app.settings.url, "ended": True, "console_told": told})


@click.command(cls=Command)
def whoami(app: App) -> None:
    """Who you are here, how you are signed in, and what you may do."""
    me = app.get("me/")
    app.output.document(me)
    app.output.say(f"{me['name']} ({me['username']}), {me['role'] or 'no role'}, at {app.settings.url}")
    app.output.say_all(_means(app, me))
    rows = [(one["name"], one["kind"], ", ".join(one["permissions"]) or "nothing") for one in me["environments"]]
    app.output.say()
    app.output.say_all(render.table(("ENVIRONMENT", "KIND", "MAY"), rows))


def _means(app: App, me: dict[str, Any]) -> list[str]:
    key = me.get("key")
    if not key:
        return [f"By {me['via']}"]
    ends = render.clock(key["expires_at"])
    scopes = ", ".join(key["scopes"]) or "may only look"
    where = ", ".join(key["environments"]) if key["environments"] is not None else "every environment of yours"
    kind = "sign-in" if me["via"] == "login" else f"API key {key['prefix']} ({key['name']})"
    return [f"By {kind}, until {ends}", f"Bounds: {scopes}; {where}"]
