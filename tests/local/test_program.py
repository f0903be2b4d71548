"""Programs as supervisord's configuration: what goes in comes out, what cannot is refused by name."""

import configparser
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.datatypes import dict_of_key_value_pairs

from environments.drivers.program import Program, render_program

PLAIN = Program("a-1", ("/bin/echo", "x"), Path("/"), Path("/tmp/a.log"))


def _section(text: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(text)
    return parser["program:a-1"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=40))
def test_an_environment_value_arrives_or_is_refused(value: str) -> None:
    try:
        text = render_program(replace(PLAIN, env={"KEY": value}))
    except ValueError as error:
        assert "program a-1" in str(error)
        return
    read = dict_of_key_value_pairs(_section(text)["environment"] % {})
    assert read == {"KEY": value}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a b"}, "program name 'a b'"),
        ({"command": ("x", "a ;b")}, "program a-1: .* after a space"),
        ({"command": ("x", "a\nb")}, "line end"),
        ({"env": {"A-B": "x"}}, "environment name 'A-B'"),
        ({"env": {"A": '"it\'s"'}}, "environment A has quotes"),
        ({"cwd": Path("/a #b")}, "after a space"),
    ],
)
def test_what_the_format_cannot_carry_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_program(replace(PLAIN, **change))


def test_a_percent_sign_is_no_expansion() -> None:
    text = render_program(replace(PLAIN, command=("x", "100%(here)s"), env={"A": "5 %"}))
    assert _section(text)["command"] % {} == "x '100%(here)s'"
    assert dict_of_key_value_pairs(_section(text)["environment"] % {}) == {"A": "5 %"}
