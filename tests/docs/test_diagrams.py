"""The architecture diagrams show what is there: packages, processes, queues and schedules of the code."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from opsconsole.docs import diagrams
from opsconsole.local.stack import Ports, Stack

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(diagrams.FOLDER.glob("*.yaml"))
IMPORTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


@pytest.fixture(scope="module")
def drawn() -> dict[str, diagrams.Diagram]:
    return {path.stem: diagrams.load(path) for path in SOURCES}


@pytest.fixture(scope="module")
def processes(tmp_path_factory) -> set[str]:
    """Every process that the stack of this machine keeps, on both hosts."""
    stack = Stack(tmp_path_factory.mktemp("stack"), Ports())
    listed = [*stack._console_programs(), *stack._instances(), stack._exchange(), stack._haproxy()]
    listed += [stack.postgres.program(), stack.valkey.program(), stack.trading_database.program()]
    return {program.name for program in listed}


def things(diagram: diagrams.Diagram, kind: str) -> set[str]:
    """What of a kind the boxes stand for: ``process`` of ``process:web``."""
    named = [thing.partition(":") for box in diagram.boxes.values() for thing in box.stands_for]
    assert {kind for kind, *_ in named} <= {"package", "process", "queue", "beat", "module"}, "an unknown kind"
    return {name for of, _, name in named if of == kind}


def test_pictures_are_what_their_sources_say(capsys):
    assert diagrams.main(["--check"]) == 0, capsys.readouterr().err
    assert {path.stem for path in SOURCES} == {"components", "data-flow", "deployment"}


def test_a_changed_source_is_noticed(tmp_path, monkeypatch, capsys):
    source = (diagrams.FOLDER / "components.yaml").read_text()
    (tmp_path / "components.yaml").write_text(source)
    monkeypatch.setattr(diagrams, "FOLDER", tmp_path)
    assert diagrams.main([]) == 0 and diagrams.main(["--check"]) == 0
    (tmp_path / "components.yaml").write_text(source.replace("title: audit", "title: trail"))
    assert diagrams.main(["--check"]) == 1
    assert "components.svg" in capsys.readouterr().err


def test_components_are_the_packages_in_their_order(drawn):
    found = drawn["components"]
    assert things(found, "package") == set(IMPORTS["root_packages"])
    layers = next(one["layers"] for one in IMPORTS["contracts"] if one["type"] == "layers")
    rows: dict[float, set[str]] = {}
    for box in found.boxes.values():
        if box.title in {name for layer in layers for name in layer.split(" | ")}:
            rows.setdefault(box.y, set()).add(box.title)
    assert [rows[y] for y in sorted(rows)] == [set(layer.split(" | ")) for layer in layers]


def test_every_process_is_in_the_deployment_architecture(drawn, processes):
    assert things(drawn["deployment"], "process") == processes
    assert things(drawn["data-flow"], "process") <= processes


def test_boxes_stand_for_what_is_there(drawn, processes):
    queues = {name.removeprefix("worker-") for name in processes if name.startswith("worker-")}
    for diagram in drawn.values():
        assert things(diagram, "queue") <= queues
        assert things(diagram, "beat") <= set(settings.CELERY_BEAT_SCHEDULE)
        assert [name for name in things(diagram, "module") if not (ROOT / name).is_file()] == []
        assert all(box.stands_for for box in diagram.boxes.values()), "a box that nothing can check"
    assert things(drawn["deployment"], "queue") == queues


def test_boxes_and_lines_stay_inside_of_the_picture(drawn):
    for diagram in drawn.values():
        width, height = diagram.source["size"]
        for box in diagram.boxes.values():
            assert 0 < box.x < box.x + box.width < width and 0 < box.y < box.y + box.height < height, box
        boxes = list(diagram.boxes.values())
        for number, box in enumerate(boxes):
            for other in boxes[number + 1 :]:
                apart = box.x + box.width <= other.x or other.x + other.width <= box.x
                assert apart or box.y + box.height <= other.y or other.y + other.height <= box.y, (box, other)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"lines": [{"from": "audit", "to": "nowhere"}]}, "no such box"),
        ({"desc": None, "boxes": {"a": {"at": [1, 2, 3]}}}, "missing or wrong"),
        ({"boxes": {"audit": {"at": [1, 2, 30, 9], "title": "far too long"}}}, "wider than the box"),
    ],
)
def test_a_wrong_source_says_what_is_wrong(tmp_path, change, why):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((diagrams.FOLDER / "components.yaml").read_text()) | change))
    with pytest.raises(diagrams.DiagramError, match=why):
        diagrams.draw(diagrams.load(path))
