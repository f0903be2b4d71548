"""The form of a checklist's definition: one YAML text, read and checked here.

::

    title: Daily operations
    summary: Before the day's first orders are trusted.
    environments: [production, staging]     # names or kinds; without it: production
    starts: 2026-11-23                      # first day that it is expected on; without it: that of its first version
    schedule: {every: day, at: "06:00", due: "09:30"}
    groups:
      - title: The system
        items:
          - id: status
            challenge: Status of the system
            expect: Healthy
            responses: [Healthy, Degraded, Down]
            evidence: environments.health
            critical: true

``demo/checklists/`` holds whole lists. That a list is complete is no item of the file: completing is an act of its own.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

LONGEST_TEXT = 60_000
"""Characters of a definition."""
MOST_IN_GROUP = 9
"""More than nine items in one go are not kept in mind (Degani and Wiener, 1990)."""
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
KINDS = ("production", "staging", "development")
DEPLOYMENT = "deployment"
_MESSAGES = {"extra_forbidden": "there is no such field", "missing": "is missing"}
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_LONGEST = {"day": 24.0, "week": 7 * 24.0, "month": 28 * 24.0}


class FormatError(Exception):
    """A definition cannot be used; ``problems`` names each place and what is wrong there."""

    def __init__(self, problems: Collection[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def _words(value: Any) -> Any:
    """A number or true in YAML, where words are meant: ``responses: [0, 1]``."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _clock(value: str) -> str:
    if not _CLOCK.fullmatch(value):
        raise ValueError("write a time of day as HH:MM, for example 08:00")
    return value


_Words = Annotated[str, BeforeValidator(_words), Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]
_Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
_Id = Annotated[str, BeforeValidator(_words), Field(pattern=r"^[a-z0-9][a-z0-9-]{0,58}$")]
_Clock = Annotated[str, BeforeValidator(_words), Field(max_length=5)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(_Model):
    """When an occurrence opens, is due, and closes; times of day are those of the environment's time zone."""

    every: Literal["day", "week", "month", "deployment"]
    at: _Clock = Field("00:00", description="Time of day at which it opens.")
    due: str | float | None = Field(
        None, description="Time of day on the day it opens, or hours after it opens; without it: when it closes."
    )
    day: Weekday | Literal["last"] | Annotated[int, Field(ge=1, le=31)] | None = Field(
        None, description="week: mon … sun, mon without it. month: 1 … 31 or last, 1 without it."
    )
    days: tuple[Weekday, ...] | None = Field(
        None, min_length=1, description="Days on which it may be expected; without it: the environment's trading days."
    )
    holidays: tuple[date, ...] | None = Field(
        None, max_length=1000, description="Days on which it is not; without it: the environment's."
    )
    closes: float | None = Field(
        None, gt=0, le=2400, description="Hours after it opens; without it: when the next one opens."
    )

    @field_validator("at")
    @classmethod
    def is_clock(cls, value: str) -> str:
        """A time of day."""
        return _clock(value)

    @field_validator("due", mode="before")
    @classmethod
    def is_due(cls, value: Any) -> Any:
        """A time of day, or a number of hours."""
        return _clock(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def fits(self) -> Schedule:
        """What goes with what."""
        given = self.model_fields_set
        if self.every == DEPLOYMENT:
            more = sorted(given - {"every"})
            if more:
                raise ValueError(f"a list for deployments opens when it is begun; leave out {', '.join(more)}")
            return self
        self._fits_day()
        if isinstance(self.due, str) and self.due <= self.at:
            raise ValueError(f"it opens at {self.at}, so it cannot be due at {self.due} of that day; or write hours")
        if isinstance(self.due, float) and not 0 < self.due <= (self.closes or _LONGEST[self.every]):
            raise ValueError(f"due: write more than 0 and at most {self.closes or _LONGEST[self.every]:g} hours")
        return self

    def _fits_day(self) -> None:
        is_weekday = self.day in WEEKDAYS
        if self.every == "day" and self.day is not None:
            raise ValueError("a daily list has no day; write days: [mon, tue, …]")
        if self.every == "week" and self.day is not None and not is_weekday:
            raise ValueError(f"the day of a weekly list is one of {', '.join(WEEKDAYS)}")
        if self.every == "month" and is_weekday:
            raise ValueError("the day of a monthly list is 1 to 31, or last")


class Value(_Model):
    """The answer is a number that is typed in."""

    unit: str = Field("", max_length=20)
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def is_range(self) -> Value:
        """Not empty, and bounded on one side at least: without a bound nothing would be a deviation."""
        if self.min is None and self.max is None:
            raise ValueError("write min, max, or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self

    @property
    def words(self) -> str:
        """``0 to 80 %``, ``at most 80 %``."""
        unit = f" {self.unit}" if self.unit else ""
        if self.min is None:
            return f"at most {self.max:g}{unit}"
        if self.max is None:
            return f"at least {self.min:g}{unit}"
        return f"{self.min:g} to {self.max:g}{unit}"

    def covers(self, number: float) -> bool:
        """Whether a number is as expected."""
        return (self.min is None or number >= self.min) and (self.max is None or number <= self.max)


class Item(_Model):
    """A challenge and the response that is expected."""

    id: _Id
    challenge: _Words
    expect: _Words = ""
    """The expected response; of a value its range in words."""
    responses: tuple[_Words, ...] = Field((), max_length=8, description="What can be answered; expect is one of them.")
    value: Value | None = None
    evidence: str = Field("", max_length=80, description="Name of what is read at the moment of the tick.")
    critical: bool = False
    two_person: bool = Field(False, description="Another person has to see it, too.")
    help: _Text = ""
    link: str = Field("", max_length=200, pattern=r"^(/[^/\x00-\x20][^\x00-\x20]*|/|)$", description="Path of a page.")

    @model_validator(mode="before")
    @classmethod
    def has_answer(cls, given: Any) -> Any:
        """Either a value or responses; the range of a value is what is expected."""
        return {**given, "expect": given.get("expect") or "in range"} if _is_value(given) else given

    @model_validator(mode="after")
    def is_whole(self) -> Item:
        """The expected response is one of those that can be given, and not the only one."""
        if self.value is not None:
            if self.responses:
                raise ValueError("give either value or responses")
            return self
        if not self.expect:
            raise ValueError("expect: write the expected response")
        if len(self.responses) < 2:
            raise ValueError("responses: write at least two, the expected one and another")
        if len(set(self.responses)) < len(self.responses):
            raise ValueError("responses: one is listed twice")
        if self.expect not in self.responses:
            raise ValueError(f"expect: {self.expect!r} is none of the responses")
        return self

    @property
    def expected(self) -> str:
        """The expected response in words."""
        return self.value.words if self.value else self.expect


def _is_value(given: Any) -> bool:
    return isinstance(given, dict) and isinstance(given.get("value"), dict)


class Group(_Model):
    """Up to nine items that are worked through in one go."""

    title: _Words
    items: tuple[Item, ...] = Field(min_length=1, max_length=MOST_IN_GROUP)


class Definition(_Model):
    """A whole list."""

    title: _Words
    summary: _Text = ""
    environments: tuple[_Id, ...] = Field(("production",), min_length=1, max_length=40)
    starts: date | None = Field(None, description="First day on which it is expected.")
    starts_days_ago: int = Field(0, ge=0, le=366, description="Instead of starts: days before its first version.")
    schedule: Schedule
    groups: tuple[Group, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def ids_are_unique(self) -> Definition:
        """An id occurs once in the whole list."""
        ids = [item.id for item in self.items]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise ValueError(f"items with the same id: {', '.join(twice)}")
        if self.starts is not None and self.starts_days_ago:
            raise ValueError("give either starts or starts_days_ago")
        return self

    @property
    def items(self) -> list[Item]:
        """Every item, in the order of the work."""
        return [item for group in self.groups for item in group.items]

    @property
    def is_for_deployments(self) -> bool:
        """Whether it is begun for a release, and not opened by the clock."""
        return self.schedule.every == DEPLOYMENT

    def item(self, name: str) -> Item | None:
        """The item with an id."""
        return next((item for item in self.items if item.id == name), None)

    def covers(self, name: str, kind: str) -> bool:
        """Whether it is done in an environment of this name and kind."""
        return name in self.environments or kind in self.environments


class _Loader(yaml.SafeLoader):
    """Plain YAML: ``Yes`` and ``10:30`` are words, a key is given once, and nothing refers to something else."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="references (*) are not used here", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: list[Any] = []
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is given twice", problem_mark=key.start_mark)
            seen.append(key.value)
        return super().construct_mapping(node, deep)


_PLAIN = {
    "tag:yaml.org,2002:bool": re.compile(r"^(?:true|false)$"),
    "tag:yaml.org,2002:int": re.compile(r"^-?(?:0|[1-9]\d*)$"),
    "tag:yaml.org,2002:float": re.compile(r"^-?(?:0|[1-9]\d*)\.\d+$"),
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _PLAIN.get(tag, pattern)) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:merge"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@lru_cache(maxsize=256)
def parse(text: str) -> Definition:
    """Read a definition.

    Raises:
        FormatError: it is no YAML, or not valid; each problem begins with its place: ``groups.0.items.3.expect: …``.
    """
    if len(text) > LONGEST_TEXT:
        raise FormatError([f"text: it has {len(text)} characters; at most {LONGEST_TEXT} are read"])
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FormatError([_yaml_words(error)]) from error
    if not isinstance(document, dict):
        raise FormatError(["text: write title:, schedule: and groups:"])
    try:
        return Definition.model_validate(document)
    except ValidationError as error:
        raise FormatError(_problems(error.errors())) from error


def check_evidence(definition: Definition, known: Collection[str]) -> None:
    """Check the names of evidence.

    Raises:
        FormatError: one of them is not known.
    """
    problems = [
        f"{place}.evidence: there is no evidence {item.evidence!r}{_like(item.evidence, known)}"
        for place, item in _places(definition)
        if item.evidence and item.evidence not in known
    ]
    if problems:
        raise FormatError(problems)


def digest(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _places(definition: Definition) -> Iterator[tuple[str, Item]]:
    for number, group in enumerate(definition.groups):
        for index, item in enumerate(group.items):
            yield f"groups.{number}.items.{index}", item


def _like(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3) or sorted(one for one in known if one.startswith(name[:4]))[:5]
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _problems(errors: Sequence[Any]) -> list[str]:
    """In words; what only follows from a mistake further inside is left out."""
    places = [tuple(one["loc"]) for one in errors]
    return [
        _problem(one)
        for one in errors
        if one["type"] != "too_short"
        or not any(place != tuple(one["loc"]) and place[: len(one["loc"])] == tuple(one["loc"]) for place in places)
    ]


def _problem(error: Any) -> str:
    # pydantic names the branches of a union ("due.float"); people did not write them.
    place = [str(part) for part in error["loc"] if not re.search(r"[\[(]|^(str|float|int|literal)", str(part))]
    message = _MESSAGES.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(place) or 'list'}: {message}"


def _yaml_words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {what}" if mark else f"text: {what}"
