"""Draws the architecture diagrams: ``python -m opsconsole.docs.diagrams`` writes docs/diagrams/*.svg from *.yaml.

A diagram says in YAML what its boxes stand for and where they are; the lines are found. Boxes carry in ``is`` what of
the system they show (``package:trading``, ``process:monitor``), so that a test can tell when there is no such thing any
more (tests/docs/test_diagrams.py). ``--check`` writes nothing and fails when a picture is not what its source says.

    title, desc            read out, and shown below the picture
    size: [w, h]           in pixels
    zones: [{title, at: [x, y, w, h]}]
    boxes: {name: {at: [x, y, w, h], title, words, is, look}}     look: box (default), soft, blue, green
    lines: [{from, to, label, kind, both, via, at}]   from and to: NAME, NAME.SIDE or NAME.SIDE+SHIFT; kind: dash
    notes: [{at: [x, y], text}]
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml

from opsconsole.config import ROOT

FOLDER = ROOT / "docs" / "diagrams"
SIDES = ("left", "right", "top", "bottom")
TITLE_SIZE, WORDS_SIZE = 7.2, 6.0
"""Widths of a character in pixels, a little more than most fonts need."""
_PORT = re.compile(r"([a-z_-]+)(?:\.(left|right|top|bottom)([+-]\d+)?)?")
Point = tuple[float, float]

STYLE = """\
    text { font: 13px system-ui, sans-serif; fill: #1a1e23 }
    .small { font-size: 11.5px; fill: #454d57 }
    .head { font-weight: 600 }
    .bg { fill: #f2f4f6 }
    .zone { fill: #e4e7eb; stroke: #c5cad1 }
    .box { fill: #ffffff; stroke: #6b7480 }
    .soft { fill: none; stroke: #6b7480; stroke-dasharray: 5 4 }
    .blue { fill: #c9dcf3; stroke: #0a56a3 }
    .green { fill: #cfe5d8; stroke: #2f5d47 }
    .line { fill: none; stroke: #454d57; stroke-width: 1.4 }
    .dash { stroke-dasharray: 5 4 }
    .tip { fill: #454d57 }
    .under { stroke: #f2f4f6; stroke-width: 4px; paint-order: stroke; stroke-linejoin: round }
    .under.in { stroke: #e4e7eb }
    @media (prefers-color-scheme: dark) {
      text { fill: #e7eaee }
      .small { fill: #aeb7c1 }
      .bg { fill: #1d2126 }
      .zone { fill: #14171b; stroke: #3b424b }
      .box { fill: #272c33; stroke: #87919d }
      .soft { stroke: #87919d }
      .blue { fill: #1c3047; stroke: #82b8f7 }
      .green { fill: #21382d; stroke: #a3c9b5 }
      .line { stroke: #aeb7c1 }
      .tip { fill: #aeb7c1 }
      .under { stroke: #1d2126 }
      .under.in { stroke: #14171b }
    }"""
TIP = (
    '  <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto-start-reverse"><path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>'
)


class DiagramError(Exception):
    """The source of a diagram cannot be drawn; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box; what it stands for is in ``stands_for``."""

    x: float
    y: float
    width: float
    height: float
    title: str
    words: str = ""
    look: str = "box"
    stands_for: tuple[str, ...] = ()

    @property
    def middle(self) -> Point:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    def port(self, side: str, shift: float = 0) -> Point:
        """The point on a side, moved along it from its middle."""
        x, y = self.middle
        if side in ("left", "right"):
            return (self.x if side == "left" else self.x + self.width), y + shift
        return x + shift, (self.y if side == "top" else self.y + self.height)


@dataclass(frozen=True, slots=True)
class Diagram:
    """One source, read."""

    name: str
    source: dict[str, Any]
    boxes: dict[str, Box]


def load(path: Path) -> Diagram:
    """Read a source.

    Raises:
        DiagramError: a part of it is missing or of the wrong form, or a text does not fit into its box.
    """
    source = yaml.safe_load(path.read_text())
    try:
        boxes = {name: _box(given) for name, given in source["boxes"].items()}
        _ = source["title"], source["desc"], source["size"]
    except (KeyError, TypeError, ValueError) as error:
        raise DiagramError(f"{path.name}: {error!r} is missing or wrong") from error
    for name, box in boxes.items():
        lines = [(box.title, TITLE_SIZE), *((line, WORDS_SIZE) for line in box.words.split("\n"))]
        for text, size in lines:
            if len(text) * size > box.width:
                raise DiagramError(f"{path.name}: {text!r} is wider than the box {name}")
    return Diagram(path.stem, source, boxes)


def _box(given: dict[str, Any]) -> Box:
    x, y, width, height = given["at"]
    stands_for = given.get("is", ())
    stands_for = (stands_for,) if isinstance(stands_for, str) else tuple(stands_for)
    return Box(x, y, width, height, given["title"], given.get("words", ""), given.get("look", "box"), stands_for)


def draw(diagram: Diagram) -> str:
    """The picture as SVG; the same source gives the same text.

    Raises:
        DiagramError: a line leads to a box that is not there.
    """
    source = diagram.source
    width, height = source["size"]
    shown = [*(_zone(zone) for zone in source.get("zones", ()))]
    shown += [_drawn_box(box) for box in diagram.boxes.values()]
    lines = [_line(diagram, line) for line in source.get("lines", ())]
    shown += [path for path, _ in lines]
    shown += [label for _, label in lines if label]
    shown += [_text(note["at"], note["text"], "small", "start") for note in source.get("notes", ())]
    named = 'role="img" aria-labelledby="title desc"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" {named}>',
            f"  <!-- Drawn from docs/diagrams/{diagram.name}.yaml by python -m opsconsole.docs.diagrams. -->",
            f'  <title id="title">{escape(source["title"])}</title>',
            f'  <desc id="desc">{escape(" ".join(source["desc"].split()))}</desc>',
            f"  <style>\n{STYLE}\n  </style>",
            TIP,
            f'  <rect class="bg" width="{width}" height="{height}" rx="6"/>',
            *shown,
            "</svg>\n",
        ]
    )


def _zone(zone: dict[str, Any]) -> str:
    x, y, width, height = zone["at"]
    rect = f'  <rect class="zone" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
    return f"{rect}\n{_text((x + width - 12, y + 20), zone['title'], 'head', 'end')}"


def _drawn_box(box: Box) -> str:
    rect = f'  <rect class="{box.look}" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="4"/>'
    words = box.words.split("\n") if box.words else []
    x, y = box.middle
    first = y + 4.5 - 8.5 * len(words)
    texts = [_text((x, first), box.title, "head", "middle")]
    texts += [_text((x, first + 17 * number), line, "small", "middle") for number, line in enumerate(words, 1)]
    return "\n".join([rect, *texts])


def _text(at: Any, text: str, css: str, anchor: str) -> str:
    return f'  <text class="{css}" x="{_n(at[0])}" y="{_n(at[1])}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(diagram: Diagram, line: dict[str, Any]) -> tuple[str, str]:
    """The path and its label."""
    (start, from_side), (end, to_side) = _ends(diagram, line)
    points = _route(start, from_side, end, to_side, [tuple(point) for point in line.get("via", ())])
    css = "line dash" if line.get("kind") == "dash" else "line"
    tips = ' marker-end="url(#tip)"' + (' marker-start="url(#tip)"' if line.get("both") else "")
    drawn = "M" + " L".join(f"{_n(x)} {_n(y)}" for x, y in points)
    path = f'  <path class="{css}" d="{drawn}"{tips}/>'
    if not line.get("label"):
        return path, ""
    at = line.get("at") or _beside(points)
    look = "small under in" if line.get("inside") else "small under"
    texts = str(line["label"]).split("\n")
    return path, "\n".join(
        _text((at[0], at[1] + 14 * number), text, look, "middle") for number, text in enumerate(texts)
    )


def _ends(diagram: Diagram, line: dict[str, Any]) -> list[tuple[Point, str]]:
    """Both ends with the side of the box that each is at; sides that are not given are those that face each other."""
    parsed = [_PORT.fullmatch(str(line[end])) for end in ("from", "to")]
    if not all(parsed) or any(found and found[1] not in diagram.boxes for found in parsed):
        raise DiagramError(f"{diagram.name}: a line from {line['from']} to {line['to']}: there is no such box")
    boxes = [diagram.boxes[found[1]] for found in parsed if found]
    found_ends = []
    for number, match in enumerate(parsed):
        assert match is not None
        side = match[2] or _facing(boxes[number], boxes[1 - number])
        found_ends.append((boxes[number].port(side, float(match[3] or 0)), side))
    return found_ends


def _facing(box: Box, other: Box) -> str:
    gaps = {
        "left": box.x - (other.x + other.width),
        "right": other.x - (box.x + box.width),
        "top": box.y - (other.y + other.height),
        "bottom": other.y - (box.y + box.height),
    }
    return max(SIDES, key=lambda side: gaps[side])


def _route(start: Point, from_side: str, end: Point, to_side: str, via: list[Any]) -> list[Point]:
    if via:
        return [start, *via, end]
    (x1, y1), (x2, y2) = start, end
    flat = [side in ("left", "right") for side in (from_side, to_side)]
    if x1 == x2 or y1 == y2:
        return [start, end]
    if all(flat):
        return [start, ((x1 + x2) / 2, y1), ((x1 + x2) / 2, y2), end]
    if not any(flat):
        return [start, (x1, (y1 + y2) / 2), (x2, (y1 + y2) / 2), end]
    return [start, (x2, y1) if flat[0] else (x1, y2), end]


def _beside(points: list[Point]) -> Point:
    """Above the middle of the longest piece."""
    pieces = list(zip(points, points[1:], strict=False))
    (x1, y1), (x2, y2) = max(pieces, key=lambda piece: abs(piece[0][0] - piece[1][0]) + abs(piece[0][1] - piece[1][1]))
    return (x1 + x2) / 2, (y1 + y2) / 2 + (-6 if y1 == y2 else 4)


def _n(value: float) -> str:
    return f"{value:g}"


def main(arguments: list[str]) -> int:
    """Write every picture, or with ``--check`` compare; the exit code."""
    stale = []
    for path in sorted(FOLDER.glob("*.yaml")):
        picture, text = path.with_suffix(".svg"), draw(load(path))
        if "--check" not in arguments:
            picture.write_text(text)
        elif not picture.exists() or picture.read_text() != text:
            stale.append(picture.name)
    if stale:
        print(f"Out of date: {', '.join(stale)}. Run python -m opsconsole.docs.diagrams.", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
