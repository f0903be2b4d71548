"""Use cases of a checklist's text: a new version, files of a folder, the end of a list.

A version never changes. Runs that are open keep theirs; the next occurrence is that of the newest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

import runbooks.audit  # noqa: F401  registers the action names
from accounts.domain import InvalidRequest, NotFound
from accounts.roles import CONFIGURE
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from environments import evidence
from environments.models import Environment, Service
from environments.permissions import require
from runbooks import checklist_events, checklist_format
from runbooks.checklist_format import Definition, FormatError
from runbooks.errors import DefinitionInvalid, RunChanged
from runbooks.models import Checklist, ChecklistVersion

REASON_LIMIT = 1000
_SLUG = re.compile(r"(?!(?:export|new|parts|validate)$)[a-z][a-z0-9-]{0,58}")
"""The words that are left out stand in addresses."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of one file."""

    slug: str
    number: int
    """Version that is current now."""
    is_new: bool
    """The file brought a version."""
    note: str = ""
    """What is to be known: it replaced a text that somebody wrote in the console; the list is retired."""


def check_text(service: Service, text: str) -> Definition:
    """Read a definition for a service.

    Raises:
        DefinitionInvalid: it cannot be used; a line for each place.
    """
    try:
        said = checklist_format.parse(text)
        checklist_format.check_evidence(said, evidence.providers())
    except FormatError as error:
        raise DefinitionInvalid(str(error)) from error
    environments = list(service.environments.all())
    known = {name for one in environments for name in (one.name, one.kind)}
    problems = [
        f"environments.{number}: {service} has no environment or kind {name!r}; known: {', '.join(sorted(known))}"
        for number, name in enumerate(said.environments)
        if name not in known
    ]
    if problems:
        raise DefinitionInvalid("\n".join(problems))
    return said


@use_case
def save_version(
    actor: Actor, service: Service, slug: str, text: str, reason: str, *, based_on: int
) -> ChecklistVersion:
    """Make a text the current version of a list; with ``based_on`` 0 of a new list. The same text changes nothing.

    Args:
        based_on: number of the version that the person edited.

    Raises:
        DefinitionInvalid: the text cannot be used; a line for each place.
        Forbidden: the actor may not configure every environment of the list, as it is and as it would be.
        InvalidRequest: no reason, or a name that no list can have.
        NotFound: there is no such list, and ``based_on`` is not 0.
        RunChanged: there is a newer version; nothing was done.
    """
    said = check_text(service, text)
    _require_configure(actor, service, [said])
    reason = _reason(reason)
    found = _locked(service, slug, is_new=not based_on)
    current = found.current
    if current is not None:
        _require_configure(actor, service, [checklist_format.parse(current.text)])
    if (current.number if current else 0) != based_on:
        assert current is not None
        raise RunChanged(
            f"{slug} is at version {current.number} now; you edited version {based_on}. Nothing was done; your text is "
            "still here, compare it with the newer one."
        )
    if found.retired_at is not None:
        raise RunChanged(f"{slug} was retired at {found.retired_at:%Y-%m-%d %H:%M} UTC. Give a new list another name.")
    if current is not None and current.digest == checklist_format.digest(text):
        return current
    return _add(actor, found, text, reason=reason, action="checklist.edited")


@use_case
def retire(actor: Actor, checklist: Checklist, reason: str) -> Checklist:
    """End a list: no occurrence is opened any more. What is open can still be done; its history stays.

    Raises:
        Forbidden: the actor may not configure every environment of the list.
        InvalidRequest: no reason.
    """
    found = Checklist.objects.select_for_update().get(pk=checklist.pk)
    if found.current is not None:
        _require_configure(actor, found.service, [checklist_format.parse(found.current.text)])
    reason = _reason(reason)
    if found.retired_at is None:
        found.retired_at = timezone.now()
        found.save(update_fields=["retired_at"])
        record(actor, "checklist.retired", found, reason=reason)
        checklist_events.publish()
    return found


@transaction.atomic
def load_folder(actor: Actor, service: Service, folder: Path) -> list[Loaded]:
    """Bring the lists of a service to the ``*.yaml`` files of a folder; all of them, or with a mistake in one none.

    For the machine's own command line; it asks for no permission. A file brings a version when it is new, or differs
    from what it brought last. So a text that was written in the console stays until its file changes.

    Raises:
        DefinitionInvalid: the folder has no file, or one cannot be used; a line for each place with the file's name.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise DefinitionInvalid(f"{folder}: there is no *.yaml file")
    texts: dict[str, str] = {}
    problems = []
    for path in paths:
        try:
            texts[path.stem] = path.read_text(encoding="utf-8")
            if not _SLUG.fullmatch(path.stem):
                problems.append(f"{path.name}: name the file in lower case, as the list: daily.yaml")
            check_text(service, texts[path.stem])
        except (DefinitionInvalid, OSError, UnicodeDecodeError) as error:
            problems += [f"{path.name}: {line}" for line in str(error).splitlines()]
    if problems:
        raise DefinitionInvalid("\n".join(problems))
    return [_load(actor, service, slug, text) for slug, text in texts.items()]


def _load(actor: Actor, service: Service, slug: str, text: str) -> Loaded:
    Checklist.objects.get_or_create(service=service, slug=slug)
    found = _locked(service, slug, is_new=False)
    source = f"{slug}.yaml"
    last = found.versions.filter(source=source).first()
    number = found.current.number if found.current else 0
    if last is not None and last.digest == checklist_format.digest(text):
        return Loaded(slug, number, is_new=False, note="" if last.number == number else "edited in the console; kept")
    if found.retired_at is not None:
        return Loaded(slug, number, is_new=False, note="retired; the changed file was left out")
    replaced = found.current if found.current and not found.current.source else None
    made = _add(actor, found, text, reason=f"File {source}", action="checklist.loaded", source=source)
    note = f"replaces version {replaced.number}, which was edited in the console" if replaced else ""
    return Loaded(slug, made.number, is_new=True, note=note)


def _add(actor: Actor, found: Checklist, text: str, *, reason: str, action: str, source: str = "") -> ChecklistVersion:
    before = found.current
    made = ChecklistVersion.objects.create(
        checklist=found,
        number=before.number + 1 if before else 1,
        digest=checklist_format.digest(text),
        text=text,
        source=source,
        reason=reason,
        created_by=actor.user,
    )
    made.refresh_from_db()  # the database says when it was made
    found.current = made
    found.save(update_fields=["current"])
    kept: dict[str, Any] = {"before": _described(before), "after": _described(made)}
    record(actor, action, found, reason=reason, **kept)
    checklist_events.publish()
    return made


def _described(version: ChecklistVersion | None) -> dict[str, Any] | None:
    return {"version": version.number, "digest": version.digest, "text": version.text} if version else None


def _locked(service: Service, slug: str, *, is_new: bool) -> Checklist:
    if is_new:
        if not _SLUG.fullmatch(slug):
            raise InvalidRequest("slug", "Name it with lower-case letters, digits and hyphens; not new or parts.")
        Checklist.objects.get_or_create(service=service, slug=slug)
    # Its version is read after the lock: a joined row may be as old as the wait for the lock.
    found = Checklist.objects.select_for_update().filter(service=service, slug=slug).first()
    if found is None:
        raise NotFound(f"There is no checklist {slug[:60]!r}. Nothing was done.")
    return found


def _require_configure(actor: Actor, service: Service, texts: Iterable[Definition]) -> None:
    place: Environment
    for place in service.environments.all():
        if any(said.covers(place.name, place.kind) for said in texts):
            require(actor, CONFIGURE, place)


def _reason(reason: str) -> str:
    text = (reason or "").replace("\x00", "").strip()
    if not text:
        raise InvalidRequest("reason", "Write why; it is kept with the version and in the audit trail.")
    if len(text) > REASON_LIMIT:
        raise InvalidRequest("reason", f"The reason has {len(text)} characters; at most {REASON_LIMIT} are kept.")
    return text
