"""A wrong definition file is told with its place and remedy; applying one changes the inventory and nothing else."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from guardian.shortcuts import get_group_perms

from accounts.roles import CHECKLISTS, CONFIGURE, DEPLOY, PERMISSION_WORDS, REPORT, REQUEST, STOP, VIEW
from audit.actors import system as system_actor
from audit.models import Record
from environments.actions import apply_definition
from environments.definition import DefinitionError, SystemDefinition, expand, load
from environments.models import Environment, Instance, Service, Slot

HOSTS = {"127.0.0.1"}


def instance(name: str, port: int = 8101) -> dict:
    return {"name": name, "url": f"http://127.0.0.1:{port}", "token": "env:TOKEN"}


def document() -> dict:
    return {
        "service": "paper-trader",
        "environments": {
            "production": {
                "kind": "production",
                "front": "http://127.0.0.1:8080",
                "router": {"address": "unix:/run/haproxy.sock", "backend": "production"},
                "driver": {"socket": "/run/supervisor.sock", "root": "/srv/hosts"},
                "slots": {"blue": [instance("blue-1")], "green": [instance("green-1", 8102)]},
            }
        },
    }


def changed(path: str, value: object) -> dict:
    """The document with one place replaced, for example ``environments.production.kind``; None removes it."""
    made = copy.deepcopy(document())
    *parents, last = path.split(".")
    place = made
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return made


def write(folder: Path, content: object) -> Path:
    path = folder / "system.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def refusal(folder: Path, content: object, **variables: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        load(write(folder, content), HOSTS, variables)
    return str(caught.value)


P = "environments.production"


@pytest.mark.parametrize(
    ("path", "value", "place", "says"),
    [
        ("service", None, "service", "required"),
        ("service", "Paper Trader", "service", "pattern"),
        ("environments", {}, "environments", "at least 1"),
        ("owner", "ada", "owner", "not permitted"),
        (f"{P}.kind", "moon", f"{P}.kind", "'production', 'staging' or 'development'"),
        (f"{P}.front", None, f"{P}.front", "required"),
        (f"{P}.router", {"address": "/run/haproxy.sock", "backend": "b"}, f"{P}.router.address", "unix:/"),
        (f"{P}.router", {"address": "tcp:host", "backend": "b"}, f"{P}.router.address", "tcp:HOST:PORT"),
        (f"{P}.router.backend", "a b", f"{P}.router.backend", "pattern"),
        (f"{P}.policy", {"watch_seconds": -1}, f"{P}.policy.watch_seconds", "greater than 0"),
        (f"{P}.policy", {"wach_seconds": 5}, f"{P}.policy.wach_seconds", "not permitted"),
        (f"{P}.slots.red", [instance("red-1")], f"{P}.slots", "at most 2"),
        (f"{P}.slots.green", None, f"{P}.slots", "at least 2"),
        (f"{P}.slots.green", [], P, "slot green has no instance"),
        (f"{P}.slots", {"Blue!": [instance("a")], "green": [instance("b")]}, f"{P}.slots.Blue!", "pattern"),
        (f"{P}.slots", {"x" * 21: [instance("a")], "green": [instance("b")]}, f"{P}.slots.{'x' * 21}", "pattern"),
        (f"{P}.slots.green", [instance("blue-1")], "file", "instance names used twice: blue-1"),
        (f"{P}.slots.green.0.name", "Green 1", f"{P}.slots.green.0.name", "pattern"),
        (f"{P}.slots.green.0.token", "s3cret", f"{P}.slots.green.0.token", "env:NAME or file:PATH"),
        (
            "environments",
            {"pro duction": document()["environments"]["production"]},
            "environments.pro duction",
            "pattern",
        ),
        *[
            (f"{P}.slots.green.0.url", url, f"{P}.slots.green.0.url", says)
            for url, says in [
                ("127.0.0.1:8101", "http://HOST:PORT"),
                ("http://127.0.0.1", "http://HOST:PORT"),
                ("http://127.0.0.1:8101/v1", "http://HOST:PORT"),
                ("http://127.0.0.1:8101?a=b", "http://HOST:PORT"),
                ("http://me:secret@127.0.0.1:8101", "http://HOST:PORT"),
                ("http://127.0.0.1:99999", "0-65535"),
            ]
        ],
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path, path, value, place, says):
    message = refusal(tmp_path, changed(path, value))
    assert f"{tmp_path}/system.yaml is not a valid system definition" in message
    line = next(line for line in message.splitlines()[1:] if line.strip().startswith(f"{place}"))
    assert says in line and "s3cret" not in message


@pytest.mark.parametrize("content", ["", "[]", "just text", "42"])
def test_a_file_that_holds_something_else(tmp_path, content):
    assert "file: " in refusal(tmp_path, content)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(DefinitionError, match=r"cannot read .*missing\.yaml: No such file"):
        load(tmp_path / "missing.yaml", HOSTS)
    with pytest.raises(DefinitionError, match="cannot read .*: Is a directory"):
        load(tmp_path, HOSTS)
    (tmp_path / "binary.yaml").write_bytes(b"service: \xff\xfe")
    with pytest.raises(DefinitionError, match=r"binary\.yaml is not UTF-8"):
        load(tmp_path / "binary.yaml", HOSTS)


def test_broken_yaml_is_told_with_its_line(tmp_path):
    message = refusal(tmp_path, "service: a\nenvironments: {production: [}")
    assert "system.yaml is not valid YAML" in message and "line 2" in message
    assert "is not valid YAML" in refusal(tmp_path, "a: !!python/object/apply:os.system ['true']")


def test_a_host_must_be_allowed(tmp_path):
    message = refusal(tmp_path, changed(f"{P}.slots.green.0.url", "http://10.0.0.9:80"))
    assert "10.0.0.9" in message and "OPSC_TARGET_HOSTS" in message and "127.0.0.1" not in message


def test_variables(tmp_path):
    template = changed("service", "${SERVICE:-paper-trader}")
    template["environments"]["production"]["front"] = "http://127.0.0.1:${PORT}"
    message = refusal(tmp_path, template)
    assert "PORT, which is not set" in message and "system.yaml" in message
    assert load(write(tmp_path, template), HOSTS, {"PORT": "80"}).service == "paper-trader"
    assert load(write(tmp_path, template), HOSTS, {"PORT": "80", "SERVICE": "other"}).service == "other"
    assert expand({"a": ["${A}${B:-}", 5, None]}, {"A": "x"}) == {"a": ["x", 5, None]}


@pytest.mark.parametrize("name", ["demo/system.yaml"])
def test_the_commented_example_is_valid(name):
    root = Path(__file__).resolve().parents[2]
    variables = {"OPSC_DEMO_RUN": "/run", "OPSC_DEMO_HOSTS": "/hosts", "OPSC_DEMO_TOKEN": "/token"}
    assert list(load(root / name, HOSTS, variables).environments) == ["production", "staging"]


# --- applying it ---


def apply(definition: dict) -> Service:
    return apply_definition(system_actor("tests"), SystemDefinition.model_validate(definition))


def inventory() -> list:
    return [list(model.objects.order_by("pk").values()) for model in (Service, Environment, Slot, Instance)]


def test_applying_twice_changes_nothing_but_the_trail(db):
    apply(document())
    before = inventory()
    apply(document())
    assert inventory() == before and Record.objects.filter(action="system.applied").count() == 2


def test_applying_a_change_keeps_what_the_engine_decided(db):
    apply(document())
    environment = Environment.objects.get()
    environment.live_slot, environment.traffic_epoch = environment.slots.get(name="blue"), 7
    environment.desired_weights = {"blue": 100, "green": 0}
    environment.save()
    apply(changed(f"{P}.policy", {"watch_seconds": 5}))
    environment.refresh_from_db()
    assert environment.policy.watch_seconds == 5
    assert (environment.live_slot.name, environment.traffic_epoch) == ("blue", 7)
    assert environment.desired_weights == {"blue": 100, "green": 0}


def test_an_instance_that_is_no_longer_named_goes(db):
    apply(changed(f"{P}.slots.green", [instance("green-1"), instance("green-2", 8103)]))
    apply(document())
    assert sorted(Instance.objects.values_list("name", flat=True)) == ["blue-1", "green-1"]


def test_a_slot_is_not_renamed_silently(db):
    """An environment with four slots would be deployed to an empty one."""
    apply(document())
    slots = document()["environments"]["production"]["slots"]
    renamed = changed(f"{P}.slots", {"a": slots["blue"], "b": slots["green"]})
    with pytest.raises(DefinitionError, match="production has the slots blue, green.*"):
        apply(renamed)
    assert sorted(Slot.objects.values_list("name", flat=True)) == ["blue", "green"]


@pytest.mark.parametrize("taken", ["environment", "instance"])
def test_the_names_of_another_service_are_not_taken(db, taken):
    apply(document())
    before = inventory()
    other = document() | {"service": "other-trader"}
    if taken == "instance":
        other["environments"] = {"other": other["environments"]["production"]}
    with pytest.raises(DefinitionError, match="belongs to .*paper-trader"):
        apply(other)
    assert inventory() == before


def test_permissions_follow_the_kind_of_the_environment(db):
    from django.contrib.auth.models import Group

    apply(changed(f"{P}.kind", "staging"))
    environment = Environment.objects.get()
    developers = Group.objects.get(name="Developer")
    assert set(get_group_perms(developers, environment)) == {VIEW, CHECKLISTS, DEPLOY, REQUEST, REPORT, CONFIGURE}
    apply(document())
    environment.refresh_from_db()
    assert set(get_group_perms(developers, environment)) == {VIEW, REQUEST, REPORT}
    assert set(get_group_perms(Group.objects.get(name="Operator"), environment)) == {VIEW, CHECKLISTS, STOP}
    assert set(get_group_perms(Group.objects.get(name="Admin"), environment)) == set(PERMISSION_WORDS)
