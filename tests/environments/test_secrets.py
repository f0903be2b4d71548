"""Secret references: what leads nowhere is told, and nothing tells the secret."""

from __future__ import annotations

import pytest

from environments.secrets import SecretMissing, resolve


def test_from_a_variable_and_from_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("TRADER_TOKEN", "s3cret")
    (tmp_path / "token").write_text("  s3cret\n")
    assert resolve("env:TRADER_TOKEN") == resolve(f"file:{tmp_path}/token") == "s3cret"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("env:NOT_SET_ANYWHERE", "environment variable NOT_SET_ANYWHERE is not set"),
        ("file:/nowhere/token", "cannot read /nowhere/token: No such file"),
        ("file:/etc", "Is a directory"),
        ("file:/nowhere/\x00", "cannot read"),
        ("env:", "env:NAME or file:PATH"),
        ("file:", "env:NAME or file:PATH"),
        ("vault:a", "env:NAME or file:PATH"),
        ("", "env:NAME or file:PATH"),
    ],
)
def test_a_reference_that_leads_nowhere(reference, says):
    with pytest.raises(SecretMissing, match=says):
        resolve(reference)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_secret(tmp_path, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(SecretMissing, match="token"):
        resolve(f"file:{tmp_path}/token")


def test_an_empty_variable_is_no_secret(monkeypatch):
    monkeypatch.setenv("TRADER_TOKEN", "")
    with pytest.raises(SecretMissing, match="TRADER_TOKEN"):
        resolve("env:TRADER_TOKEN")


def test_a_secret_in_place_of_a_reference_is_not_repeated():
    with pytest.raises(SecretMissing) as caught:
        resolve("s3cret-token-itself")
    assert "s3cret" not in str(caught.value)
