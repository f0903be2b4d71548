"""What the API says of checklists, and what it takes."""

from __future__ import annotations

from datetime import date
from typing import Any

from rest_framework import serializers

from accounts.openapi import StrictSerializer
from runbooks import checklist_actions, checklist_queries, checklist_versions
from runbooks.checklist_export import Form
from runbooks.checklist_format import LONGEST_TEXT
from runbooks.checklist_queries import FIRST_YEAR, LAST_YEAR, Filter

STATUSES = ("open", "complete", "missed", "late")


class ChecklistVersionSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One version of a list."""

    number = serializers.IntegerField()
    digest = serializers.CharField(help_text="SHA-256 of the text.")
    source = serializers.CharField(help_text="File that it came from; empty: written in the console or over the API.")
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="created_by.display_name", default=None, allow_null=True)
    text = serializers.CharField(help_text="YAML.")


class ChecklistSummarySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One list."""

    slug = serializers.CharField()
    service = serializers.CharField(source="service.name")
    title = serializers.SerializerMethodField()
    summary = serializers.SerializerMethodField()
    every = serializers.SerializerMethodField(help_text="day, week, month or deployment.")
    environments = serializers.SerializerMethodField(help_text="Names or kinds of environments.")
    items = serializers.SerializerMethodField(help_text="How many.")
    version = serializers.IntegerField(source="current.number")
    retired_at = serializers.DateTimeField(allow_null=True)

    def get_title(self, found: Any) -> str:
        """Of the current version."""
        return checklist_queries.definition(found.current).title

    def get_summary(self, found: Any) -> str:
        """Of the current version."""
        return checklist_queries.definition(found.current).summary

    def get_every(self, found: Any) -> str:
        """Of the current version."""
        return checklist_queries.definition(found.current).schedule.every

    def get_environments(self, found: Any) -> list[str]:
        """Of the current version."""
        return list(checklist_queries.definition(found.current).environments)

    def get_items(self, found: Any) -> int:
        """Of the current version."""
        return len(checklist_queries.definition(found.current).items)


class ChecklistSerializer(ChecklistSummarySerializer):
    """One list with its versions, newest first."""

    versions = ChecklistVersionSerializer(many=True, source="all_versions")


class ChecklistRunSummarySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One expected occurrence of a list."""

    id = serializers.IntegerField(source="run.pk")
    checklist = serializers.CharField(source="run.checklist.slug")
    title = serializers.CharField(source="definition.title")
    version = serializers.IntegerField(source="run.version.number", help_text="The version that it is done with.")
    environment = serializers.CharField(source="run.environment.name")
    period = serializers.CharField(
        source="run.period", help_text="2026-11-23, 2026-W48, 2026-11; for the deployment list the release."
    )
    status = serializers.CharField(source="run.status", help_text="open, complete or missed.")
    opens_at = serializers.DateTimeField(source="run.opens_at")
    due_at = serializers.DateTimeField(source="run.due_at", allow_null=True)
    closes_at = serializers.DateTimeField(source="run.closes_at", allow_null=True)
    late_seconds = serializers.SerializerMethodField(help_text="How late it is, or was completed; 0: on time.")
    assigned_to = serializers.CharField(source="run.assigned_to.username", default=None, allow_null=True)
    started_at = serializers.DateTimeField(source="run.started_at", allow_null=True)
    completed_at = serializers.DateTimeField(source="run.completed_at", allow_null=True)
    completed_by = serializers.CharField(source="run.completed_by.display_name", default=None, allow_null=True)
    items = serializers.IntegerField(source="total", help_text="How many.")
    ticked = serializers.IntegerField(help_text="How many have an answer.")
    deviations = serializers.IntegerField(help_text="How many were answered otherwise than expected.")
    url = serializers.SerializerMethodField(help_text="Path of its page.")

    def get_late_seconds(self, row: Any) -> int:
        """In seconds."""
        return int(row.late_by.total_seconds())

    def get_url(self, row: Any) -> str:
        """Where a person does it."""
        return f"/checklist-runs/{row.run.pk}/"


class ChecklistTickSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """An answer, with the evidence of that moment."""

    response = serializers.CharField()
    is_deviation = serializers.BooleanField()
    note = serializers.CharField()
    evidence = serializers.DictField(help_text="name, title, value, verdict, link, detail, at; empty without any.")
    ticked_by = serializers.CharField(source="ticked_by.display_name")
    ticked_at = serializers.DateTimeField()
    checked_by = serializers.CharField(source="checked_by.display_name", default=None, allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    unticked_by = serializers.CharField(source="unticked_by.display_name", default=None, allow_null=True)
    unticked_at = serializers.DateTimeField(allow_null=True)


class ChecklistItemSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One item of a run."""

    number = serializers.IntegerField()
    id = serializers.CharField(source="item.id")
    challenge = serializers.CharField(source="item.challenge")
    expected = serializers.CharField(source="item.expected")
    responses = serializers.ListField(
        source="item.responses", child=serializers.CharField(), help_text="Empty: the answer is a number."
    )
    unit = serializers.CharField(source="item.value.unit", default="")
    evidence = serializers.CharField(source="item.evidence", help_text="Name of what is read at the tick.")
    critical = serializers.BooleanField(source="item.critical")
    two_person = serializers.BooleanField(source="item.two_person")
    state = serializers.CharField(help_text="open, second (waits for another person), deviation or done.")
    tick = ChecklistTickSerializer(allow_null=True)
    taken_back = ChecklistTickSerializer(many=True)


class ChecklistGroupSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A group of items of a run."""

    title = serializers.CharField()
    items = ChecklistItemSerializer(many=True)


class ChecklistRunSerializer(ChecklistRunSummarySerializer):
    """One run with its items, answers and evidence."""

    groups = ChecklistGroupSerializer(many=True)


class ChecklistOccurrenceSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One that is to come."""

    environment = serializers.CharField()
    period = serializers.CharField()
    opens_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField()


class CheckedChecklistSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A text that can be used."""

    title = serializers.CharField()
    every = serializers.CharField()
    items = serializers.IntegerField()
    upcoming = ChecklistOccurrenceSerializer(many=True, help_text="The next three in each environment.")


class ChecklistTextSerializer(StrictSerializer):
    """A definition to look at."""

    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, help_text="YAML.")
    service = serializers.CharField(required=False, max_length=60, help_text="Needed when you see several.")


class NewChecklistVersionSerializer(ChecklistTextSerializer):
    """A new version of a list, or a new list."""

    reason = serializers.CharField(max_length=checklist_versions.REASON_LIMIT, help_text="Why; kept in the trail.")
    based_on = serializers.IntegerField(
        min_value=0, max_value=1_000_000, help_text="The version that you edited; 0: a new list."
    )


class RetireChecklistSerializer(StrictSerializer):
    """The end of a list."""

    reason = serializers.CharField(max_length=checklist_versions.REASON_LIMIT)


class BeginChecklistSerializer(StrictSerializer):
    """A release that is to be deployed."""

    environment = serializers.CharField(max_length=60)
    release = serializers.CharField(max_length=60, help_text="Its version, for example v1.2.5.")


class ChecklistItemNameSerializer(StrictSerializer):
    """An item of the run."""

    item = serializers.CharField(max_length=60, help_text="Its id.")


class ChecklistAnswerSerializer(ChecklistItemNameSerializer):
    """An answer to an item."""

    response = serializers.CharField(max_length=200, help_text="One of the item's responses; else a number.")
    note = serializers.CharField(
        required=False, allow_blank=True, max_length=checklist_actions.NOTE_LIMIT, help_text="Needed for a deviation."
    )


class CompleteChecklistSerializer(StrictSerializer):
    """Checklist complete."""

    deviations = serializers.IntegerField(
        required=False, min_value=0, max_value=1000, help_text="How many you know of; another number is a 409."
    )


class AssignChecklistSerializer(StrictSerializer):
    """Who has the list from now on."""

    to = serializers.CharField(required=False, max_length=150, help_text="User name; without it you take it over.")


class BeginChecklistRunSerializer(StrictSerializer):
    """No member."""


class ChecklistRunFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of runs."""

    environment = serializers.CharField(required=False, max_length=60)
    checklist = serializers.CharField(required=False, max_length=60)
    status = serializers.ChoiceField(required=False, choices=STATUSES)
    since = serializers.DateField(required=False)
    until = serializers.DateField(required=False)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """The filter, as ``wanted``."""
        for name in ("since", "until"):
            day: date | None = given.get(name)
            if day is not None and not FIRST_YEAR <= day.year <= LAST_YEAR:
                raise serializers.ValidationError({name: [f"Write a day from {FIRST_YEAR} to {LAST_YEAR}."]})
        return {"wanted": Filter(**{name: value for name, value in given.items() if name != "as"}), **given}


class ChecklistExportSerializer(ChecklistRunFilterSerializer):
    """The query of an export."""

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]
        """``as`` is a word of the language, so it is no attribute."""
        return {**super().get_fields(), "as": serializers.ChoiceField(choices=[*Form], default=Form.CSV.value)}
