"""The migrations say what the models say."""

from __future__ import annotations

from django.core.management import call_command


def test_no_model_changed_without_its_migration(db, capsys):
    try:
        call_command("makemigrations", check=True, dry_run=True, verbosity=1)
    except SystemExit:
        raise AssertionError(f"a migration is missing:\n{capsys.readouterr().out}") from None
    assert "No changes detected" in capsys.readouterr().out
