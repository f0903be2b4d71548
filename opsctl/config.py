"""Which console, and with what sign-in: options, environment variables, the settings file, the last sign-in.

Order for the address: ``--url``, ``--context``, ``OPSCTL_URL``, ``OPSCTL_CONTEXT``, ``default`` of the settings file,
the console of the last ``opsctl login``. Order for the credential: ``--token-file``, ``OPSCTL_TOKEN``, ``token_file``
of the context, the kept sign-in of that console.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from opsctl.errors import UsageProblem

CONTEXT_MEMBERS = frozenset({"url", "key", "token_file", "insecure_http"})
_PORTS = {"http": 80, "https": 443}
_HOW = "Name the console: opsctl login --url https://ops.example.com, or set OPSCTL_URL."


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line; empty members were not."""

    url: str = ""
    context: str = ""
    token_file: str = ""
    insecure_http: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What a command works with."""

    url: str
    """Origin of the console: scheme, host, port; no path."""
    url_from: str
    """Where the address was found, in words."""
    token: str = ""
    """An API key; empty when the kept sign-in is used."""
    token_from: str = ""
    key: Path | None = None
    """The SSH key to sign in with; None to look for one."""


@dataclass(frozen=True, slots=True)
class Context:
    """One named console of the settings file."""

    name: str
    url: str
    key: str = ""
    token_file: str = ""
    insecure_http: bool = False


def settings_file(environ: Mapping[str, str]) -> Path:
    """``OPSCTL_CONFIG``, else ``opsctl/config.toml`` below ``XDG_CONFIG_HOME`` (``~/.config``)."""
    if named := environ.get("OPSCTL_CONFIG"):
        return Path(named).expanduser()
    return folder(environ, "XDG_CONFIG_HOME", ".config") / "config.toml"


def folder(environ: Mapping[str, str], variable: str, otherwise: str) -> Path:
    """The folder ``opsctl`` below an XDG base directory (specifications.freedesktop.org/basedir-spec)."""
    base = environ.get(variable, "")
    home = Path(environ.get("HOME") or Path.home())
    return (Path(base) if base.startswith("/") else home / otherwise) / "opsctl"


def resolve(options: Options, environ: Mapping[str, str], last_url: str = "") -> Settings:
    """The settings of one command; ``last_url`` is the console of the last sign-in.

    Raises:
        UsageProblem: no console is named, or what is named is wrong; the text says where.
    """
    default, contexts = read_contexts(settings_file(environ))
    address, origin, context = _address(options, environ, default, contexts, last_url)
    if not address:
        raise UsageProblem("It is not known which console is meant.", _HOW)
    insecure = options.insecure_http or bool(context and context.insecure_http)
    token, token_from = _token(options, environ, context)
    key = Path(context.key).expanduser() if context and context.key else None
    return Settings(clean_url(address, origin, insecure_http=insecure), origin, token, token_from, key)


def _address(
    options: Options, environ: Mapping[str, str], default: str, contexts: Mapping[str, Context], last_url: str
) -> tuple[str, str, Context | None]:
    if options.url:
        return options.url, "--url", None
    if options.context:
        return _named(options.context, "--context", contexts)
    if environ.get("OPSCTL_URL"):
        return environ["OPSCTL_URL"], "OPSCTL_URL", None
    if environ.get("OPSCTL_CONTEXT"):
        return _named(environ["OPSCTL_CONTEXT"], "OPSCTL_CONTEXT", contexts)
    if default:
        return _named(default, "default of the settings file", contexts)
    return last_url, "the last sign-in", None


def _named(name: str, origin: str, contexts: Mapping[str, Context]) -> tuple[str, str, Context]:
    if name not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise UsageProblem(f"{origin}: there is no context {name!r} in the settings file. Known: {known}.")
    return contexts[name].url, f"context {name}", contexts[name]


def _token(options: Options, environ: Mapping[str, str], context: Context | None) -> tuple[str, str]:
    if options.token_file:
        return _read_token(Path(options.token_file), "--token-file"), "--token-file"
    if token := environ.get("OPSCTL_TOKEN", "").strip():
        return token, "OPSCTL_TOKEN"
    if context and context.token_file:
        return _read_token(Path(context.token_file).expanduser(), "token_file"), f"token_file of context {context.name}"
    return "", ""


def _read_token(path: Path, origin: str) -> str:
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{origin}: {path} cannot be read ({error}).") from None
    if len(words) != 1:
        raise UsageProblem(f"{origin}: {path} must hold one API key and nothing else.")
    return words[0]


def read_contexts(path: Path) -> tuple[str, dict[str, Context]]:
    """The default context's name, and every context of the settings file; nothing when there is no file.

    Raises:
        UsageProblem: it cannot be read, or says something unknown.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "", {}
    except (OSError, ValueError) as error:
        raise UsageProblem(f"The settings file {path} cannot be read: {error}.") from None
    tables = data.get("contexts", {})
    if not isinstance(tables, dict) or set(data) - {"default", "contexts", "stops"}:
        raise UsageProblem(f"{path}: write default = NAME, stops = FOLDER and tables [contexts.NAME], nothing else.")
    return str(data.get("default", "")), {name: _context(path, name, table) for name, table in tables.items()}


def _context(path: Path, name: str, table: object) -> Context:
    if not isinstance(table, dict) or not table.get("url") or set(table) - CONTEXT_MEMBERS:
        known = ", ".join(sorted(CONTEXT_MEMBERS))
        raise UsageProblem(f"{path}: context {name!r} needs a url, and may have: {known}.")
    members = {member: str(table.get(member, "")) for member in ("url", "key", "token_file")}
    return Context(name, **members, insecure_http=table.get("insecure_http") is True)


def clean_url(text: str, origin: str, *, insecure_http: bool = False) -> str:
    """``https://host[:port]`` of an address. Plain http only to this machine, unless it is asked for.

    Raises:
        UsageProblem: it is no such address.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise UsageProblem(f"{origin}: {text!r} is no address.") from None
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not host or parts.username is not None:
        raise UsageProblem(f"{origin}: {text!r} is no address like https://ops.example.com.")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageProblem(f"{origin}: give the console's address only, without a path: {parts.scheme}://{host}.")
    if parts.scheme == "http" and not insecure_http and not is_loopback(host):
        raise UsageProblem(
            f"{origin}: {text} would send your sign-in unencrypted.",
            "Use https, or --insecure-http if you know the network.",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port and port != _PORTS[parts.scheme] else "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its name or number."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
