"""Which console, with which credential: the documented order, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from opsctl.config import Options, clean_url, resolve, settings_file
from opsctl.errors import UsageProblem

FILE = """
default = "main"
[contexts.main]
url = "https://ops.example.com"
key = "~/.ssh/work"
[contexts.demo]
url = "http://127.0.0.1:8000"
token_file = "TOKEN"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    token = tmp_path / "token"
    token.write_text("opsc_of_the_context\n")
    config = tmp_path / "config.toml"
    config.write_text(FILE.replace("TOKEN", str(token)))
    return {"HOME": str(tmp_path), "OPSCTL_CONFIG": str(config)}


def test_the_order_of_addresses(environ):
    """Each way, with every weaker one present as well."""
    last = "https://last.example.com"
    assert resolve(Options(), {"HOME": environ["HOME"]}, last).url == last
    assert resolve(Options(), environ, last).url == "https://ops.example.com"
    named = environ | {"OPSCTL_CONTEXT": "demo"}
    assert resolve(Options(), named, last).url == "http://127.0.0.1:8000"
    variable = named | {"OPSCTL_URL": "https://variable.example.com"}
    assert resolve(Options(), variable, last).url == "https://variable.example.com"
    assert resolve(Options(context="main"), variable, last).url == "https://ops.example.com"
    assert (
        resolve(Options(context="main", url="https://given.example.com"), variable).url == "https://given.example.com"
    )


def test_the_order_of_credentials(environ, tmp_path):
    given = tmp_path / "given"
    given.write_text("opsc_given")
    in_context = environ | {"OPSCTL_CONTEXT": "demo"}
    assert resolve(Options(), environ).token == ""
    assert resolve(Options(), in_context).token == "opsc_of_the_context"
    in_variable = in_context | {"OPSCTL_TOKEN": " opsc_variable\n"}
    assert resolve(Options(), in_variable).token == "opsc_variable"
    found = resolve(Options(token_file=str(given)), in_variable)
    assert (found.token, found.token_from) == ("opsc_given", "--token-file")


def test_the_key_of_a_context(environ):
    assert resolve(Options(context="main"), environ).key == Path("~/.ssh/work").expanduser()
    assert resolve(Options(context="demo"), environ).key is None


def test_where_the_settings_file_is():
    assert settings_file({"HOME": "/h"}) == Path("/h/.config/opsctl/config.toml")
    assert settings_file({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}) == Path("/x/opsctl/config.toml")
    assert settings_file({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}) == Path("/h/.config/opsctl/config.toml")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://OPS.example.com/", "https://ops.example.com"),
        ("https://ops.example.com:443", "https://ops.example.com"),
        ("https://ops.example.com:8443", "https://ops.example.com:8443"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
    ],
)
def test_addresses_are_made_alike(text, clean):
    assert clean_url(text, "--url") == clean


@pytest.mark.parametrize(
    "text",
    [
        "ops.example.com",
        "ftp://ops.example.com",
        "https://",
        "https://user@ops.example.com",
        "https://ops.example.com/api",
        "https://ops.example.com:port",
        "http://ops.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0",
    ],
)
def test_addresses_that_are_refused(text):
    with pytest.raises(UsageProblem, match="--url"):
        clean_url(text, "--url")


def test_plain_http_to_elsewhere_only_when_asked_for():
    assert clean_url("http://ops.example.com", "--url", insecure_http=True) == "http://ops.example.com"


@pytest.mark.parametrize(
    "text",
    ["[contexts.a]\nurl = 'https://a'\ntoken = 'opsc_x'", "[contexts.a]\nkey = 'x'", "[other]\n", "not = toml ="],
)
def test_a_settings_file_that_says_something_else_is_named(tmp_path, text):
    config = tmp_path / "config.toml"
    config.write_text(text)
    with pytest.raises(UsageProblem, match=str(config)):
        resolve(Options(), {"HOME": str(tmp_path), "OPSCTL_CONFIG": str(config)}, "https://last.example.com")


def test_no_console_at_all(tmp_path):
    with pytest.raises(UsageProblem) as refusal:
        resolve(Options(), {"HOME": str(tmp_path)})
    assert "opsctl login --url" in refusal.value.todo


def test_an_unknown_context_names_the_known(environ):
    with pytest.raises(UsageProblem, match="Known: demo, main"):
        resolve(Options(context="prod"), environ)


@pytest.mark.parametrize("content", [None, "", "one two"])
def test_a_token_file_without_one_key(tmp_path, content):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageProblem, match="--token-file"):
        resolve(Options(url="https://a.example.com", token_file=str(path)), {"HOME": str(tmp_path)})
