"""The texts of lists: edited, loaded from files, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.domain import InvalidRequest, NotFound
from accounts.errors import Forbidden
from audit.models import Record
from environments import evidence
from environments.evidence import Provider, Reading, Verdict
from runbooks.checklist_versions import retire, save_version
from runbooks.errors import DefinitionInvalid, RunChanged
from runbooks.models import Checklist, ChecklistVersion
from tests.runbooks.checklist_cast import TEXT

OTHER = TEXT.replace("Daily operations", "Every day")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _readings(monkeypatch):
    for name in ("test.fine", "test.told"):
        monkeypatch.setitem(evidence._providers, name, Provider(name, name, lambda subject: Reading("", Verdict.PASS)))


@pytest.fixture
def ada(admin, actor_of):
    return actor_of(admin)


@pytest.fixture
def folder(tmp_path, system):
    (tmp_path / "daily.yaml").write_text(TEXT)
    return tmp_path


def load(folder, capsys) -> str:
    call_command("load_checklists", folder)
    return capsys.readouterr().out.strip()


def test_each_edit_is_a_version_with_its_reason(system, ada):
    first = save_version(ada, system, "daily", TEXT, "First", based_on=0)
    assert (first.number, first.created_by, first.source) == (1, ada.user, "")
    second = save_version(ada, system, "daily", OTHER, "Other words", based_on=1)
    assert second.number == 2 and Checklist.objects.get().current == second
    assert save_version(ada, system, "daily", OTHER, "The same", based_on=2) == second
    assert ChecklistVersion.objects.count() == 2
    kept = Record.objects.filter(action="checklist.edited").order_by("pk").last()
    assert kept.reason == "Other words" and kept.before["version"] == 1 and kept.after["text"] == OTHER


def test_an_edit_of_an_older_version_is_refused(system, ada):
    save_version(ada, system, "daily", TEXT, "First", based_on=0)
    save_version(ada, system, "daily", OTHER, "Second", based_on=1)
    with pytest.raises(RunChanged, match="daily is at version 2 now; you edited version 1"):
        save_version(ada, system, "daily", TEXT, "Third", based_on=1)
    with pytest.raises(RunChanged, match="is at version 2 now; you edited version 0"):
        save_version(ada, system, "daily", TEXT, "New", based_on=0)
    with pytest.raises(NotFound):
        save_version(ada, system, "weekly", TEXT, "First", based_on=1)
    assert not Checklist.objects.filter(slug="weekly").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("title: [", "line 1"),
        (TEXT.replace("test.fine", "test.none"), "groups.0.items.0.evidence: there is no evidence 'test.none'"),
        (
            TEXT.replace("production,", "moon,"),
            "environments.0: paper-trader has no environment or kind 'moon'; known: production, staging",
        ),
    ],
)
def test_a_text_that_cannot_be_used_is_refused_with_the_place(system, ada, text, told):
    with pytest.raises(DefinitionInvalid) as refused:
        save_version(ada, system, "daily", text, "First", based_on=0)
    assert str(refused.value).startswith(told) and refused.value.extra()["errors"]["text"]
    assert not Checklist.objects.exists()


def test_reason_and_name_are_needed(system, ada):
    with pytest.raises(InvalidRequest, match="Write why"):
        save_version(ada, system, "daily", TEXT, " ", based_on=0)
    for name in ("Daily", "1st", "new", "parts", "x" * 61):
        with pytest.raises(InvalidRequest, match="lower-case"):
            save_version(ada, system, name, TEXT, "First", based_on=0)


def test_who_may_configure_every_environment_of_the_list(system, ada, operator, developer, actor_of):
    save_version(ada, system, "daily", TEXT, "First", based_on=0)
    only_staging = TEXT.replace("[production, staging]", "[staging]")
    for user in (operator, developer):
        for text in (OTHER, only_staging):  # also leaving production out takes the permission there
            with pytest.raises(Forbidden, match="may not change the configuration"):
                save_version(actor_of(user), system, "daily", text, "Mine", based_on=1)
    assert save_version(actor_of(developer), system, "own", only_staging, "Staging only", based_on=0).number == 1
    with pytest.raises(Forbidden):
        retire(actor_of(developer), Checklist.objects.get(slug="daily"), "Enough")


def test_a_retired_list_stays_retired(system, ada, folder, capsys):
    save_version(ada, system, "daily", TEXT, "First", based_on=0)
    found = retire(ada, Checklist.objects.get(), "Nobody needs it")
    assert found.retired_at and Record.objects.get(action="checklist.retired").reason == "Nobody needs it"
    with pytest.raises(RunChanged, match="was retired at"):
        save_version(ada, system, "daily", OTHER, "Again", based_on=1)
    assert "retired; the changed file was left out" in load(folder, capsys)


def test_a_file_is_loaded_once_and_again_when_it_changes(system, folder, capsys):
    assert load(folder, capsys) == "daily: version 1 is new"
    assert load(folder, capsys) == "daily: version 1, as before"
    (folder / "daily.yaml").write_text(OTHER)
    assert load(folder, capsys) == "daily: version 2 is new"
    assert [one.source for one in ChecklistVersion.objects.all()] == ["daily.yaml"] * 2
    assert Record.objects.filter(action="checklist.loaded").count() == 2


def test_what_was_edited_here_stays_until_the_file_changes(system, ada, folder, capsys):
    load(folder, capsys)
    save_version(ada, system, "daily", OTHER, "In the console", based_on=1)
    assert load(folder, capsys) == "daily: version 2, as before (edited in the console; kept)"
    (folder / "daily.yaml").write_text(TEXT + "\n# newer\n")
    told = "daily: version 3 is new (replaces version 2, which was edited in the console)"
    assert load(folder, capsys) == told
    assert ChecklistVersion.objects.filter(text=OTHER).exists(), "it is not lost"


def test_with_a_mistake_in_one_file_nothing_is_loaded(system, folder, capsys):
    (folder / "weekly.yaml").write_text("title: x")
    with pytest.raises(CommandError) as refused:
        load(folder, capsys)
    told = ["Nothing was loaded.", "weekly.yaml: schedule: is missing", "weekly.yaml: groups: is missing"]
    assert str(refused.value).splitlines() == told
    assert not Checklist.objects.exists()
    with pytest.raises(CommandError, match="there is no"):
        load(folder / "none", capsys)


def test_the_lists_of_the_demo_are_loaded(system, capsys):
    load(ROOT / "demo/checklists", capsys)
    assert [*Checklist.objects.values_list("slug", flat=True)] == ["daily", "deployment", "monthly", "weekly"]
