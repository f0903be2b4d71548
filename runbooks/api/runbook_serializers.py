"""What the API says of runbooks and their runs, and what it takes."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.openapi import StrictSerializer
from runbooks import runbook_queries
from runbooks.library import Entry
from runbooks.models import RunbookRun, StepOutput
from runbooks.runbook_control import LONGEST_NOTES, LONGEST_REASON
from runbooks.runbook_parts import Step
from runbooks.runbook_queries import Fix, RunView

HIGHEST = 2**31 - 1


class RunbookBranchSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Where an outcome leads."""

    step = serializers.IntegerField(help_text="Number of the step; 0 is behind the last one.")
    words = serializers.CharField()


class RunbookMatchSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """Alerts that a runbook is for."""

    kind = serializers.CharField()
    key = serializers.CharField(help_text="Pattern of the alert's key.")


class RunbookLinkSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A page of the console."""

    path = serializers.CharField()
    text = serializers.CharField()


class RunbookStepSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One step as the file says it."""

    number = serializers.IntegerField()
    title = serializers.CharField()
    body = serializers.CharField(help_text="Markdown.")
    commands = serializers.ListField(child=serializers.CharField(), help_text="To copy; the console runs none of them.")
    expect = serializers.CharField()
    checks = serializers.SerializerMethodField(help_text="Names of the diagnostics.")
    remedies = serializers.SerializerMethodField(help_text="Names of the remedies.")
    links = RunbookLinkSerializer(many=True)
    if_done = RunbookBranchSerializer(allow_null=True)
    if_failed = RunbookBranchSerializer(allow_null=True)

    def get_checks(self, step: Step) -> list[str]:
        """Evidence by its name, commands as ``command:<name>``."""
        return [one.name for one in step.diagnostics]

    def get_remedies(self, step: Step) -> list[str]:
        """In the file's order."""
        return [one.name for one in step.remedies]


class RunbookSummarySerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One file of the library. A broken one says what is wrong and has no title."""

    slug = serializers.CharField()
    title = serializers.CharField(source="runbook.title", default=None, allow_null=True)
    summary = serializers.CharField(source="runbook.summary", default=None, allow_null=True)
    when = serializers.CharField(source="runbook.when", default=None, allow_null=True)
    symptoms = serializers.ListField(source="runbook.symptoms", child=serializers.CharField(), default=list)
    alerts = RunbookMatchSerializer(source="runbook.alert_kinds", many=True, default=list)
    is_usable = serializers.SerializerMethodField(help_text="Whether a run can be started of it.")
    problems = serializers.ListField(
        child=serializers.CharField(), help_text="What is wrong in the file, with its line."
    )
    source = serializers.CharField(help_text="Where the file is.")
    digest = serializers.CharField(help_text="SHA-256 of the file.")

    def get_is_usable(self, entry: Entry) -> bool:
        """False for a broken or a replaced file."""
        return entry.runbook is not None and not entry.is_replaced


class RunbookSerializer(RunbookSummarySerializer):
    """A runbook with its steps."""

    intro = serializers.CharField(source="runbook.intro", help_text="Markdown.")
    steps = RunbookStepSerializer(source="runbook.steps", many=True)


class RunbookOutputSerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """What a diagnostic or a remedy gave."""

    kind = serializers.CharField(read_only=True, help_text="diagnostic or remedy.")
    state = serializers.SerializerMethodField(
        help_text="running, lost (nobody knows whether it ended), or pass, warn, fail, no_data."
    )
    by = serializers.CharField(source="by.display_name", read_only=True)

    class Meta:
        model = StepOutput
        fields = ("id", "kind", "name", "title", "state", "value", "output", "link", "started_at", "finished_at", "by")
        read_only_fields = fields

    def get_state(self, output: StepOutput) -> str:
        """As it is now."""
        return runbook_queries.output_state(output)


class RunbookVisitSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One visit of a step."""

    step = serializers.IntegerField()
    outcome = serializers.CharField(help_text="done, failed or skipped; empty while it is current.")
    reason = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    by = serializers.CharField(source="by.display_name", default=None, allow_null=True)
    outputs = RunbookOutputSerializer(source="outputs.all", many=True)


class RunbookFixSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """A remedy of the current step."""

    name = serializers.CharField()
    title = serializers.CharField()
    is_permitted = serializers.BooleanField(source="may", help_text="Whether the caller may do it.")
    who_can = serializers.CharField()
    page = serializers.SerializerMethodField(help_text="Path of the page where it is done; null when this API does it.")

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_page(self, fix: Fix) -> str | None:
        """Only for those that lead to a page."""
        return fix.page() if fix.on_page else None


class RunbookRunSummarySerializer(serializers.ModelSerializer):  # type: ignore[type-arg]
    """One run in a list."""

    runbook = serializers.CharField(source="text.slug", read_only=True)
    title = serializers.CharField(source="text.title", read_only=True)
    digest = serializers.CharField(
        source="text.digest", read_only=True, help_text="SHA-256 of the text that it follows."
    )
    environment = serializers.CharField(source="environment.name", read_only=True)
    status = serializers.CharField(read_only=True, help_text="running, resolved, unresolved or abandoned.")
    steps = serializers.SerializerMethodField(help_text="How many the runbook has.")
    alert = serializers.IntegerField(source="alert_id", allow_null=True, read_only=True)
    started_by = serializers.CharField(source="started_by.display_name", read_only=True)
    operator = serializers.CharField(source="operator.display_name", read_only=True, help_text="Who has control.")

    class Meta:
        model = RunbookRun
        fields = (
            "id",
            "runbook",
            "title",
            "digest",
            "environment",
            "status",
            "step",
            "steps",
            "revision",
            "alert",
            "deployment",
            "started_by",
            "started_at",
            "operator",
            "touched_at",
            "finished_at",
            "summary",
        )
        read_only_fields = fields

    def get_steps(self, run: RunbookRun) -> int:
        """By the text that it follows."""
        return len(runbook_queries.runbook_of(run).steps)


class RunbookRunSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One run: where it stands, what the current step says, and everything that was done."""

    run = RunbookRunSummarySerializer()
    notes = serializers.CharField(source="run.notes")
    notes_token = serializers.CharField(help_text="Send it as was with the next note.")
    current = RunbookStepSerializer(
        source="step", allow_null=True, help_text="The current step; null when none is left."
    )
    remedies = RunbookFixSerializer(source="fixes", many=True, help_text="Of the current step.")
    visits = RunbookVisitSerializer(many=True, help_text="Every visit of a step, in their order, with what it gave.")
    may_act = serializers.BooleanField(help_text="Whether the caller has control.")

    def to_representation(self, view: RunView) -> dict[str, Any]:
        """The run's members stand beside the others."""
        found: dict[str, Any] = super().to_representation(view)
        return {**found.pop("run"), **found}


def _reason(help_text: str) -> serializers.CharField:
    return serializers.CharField(max_length=LONGEST_REASON, help_text=help_text)


class StartRunbookSerializer(StrictSerializer):
    """A run to begin."""

    runbook = serializers.SlugField(max_length=60, help_text="Slug of the runbook.")
    environment = serializers.CharField(max_length=60, help_text="Name of the environment in which something is wrong.")
    alert = serializers.IntegerField(required=False, min_value=1, max_value=HIGHEST, help_text="What it is about.")
    deployment = serializers.IntegerField(required=False, min_value=1, max_value=HIGHEST, help_text="What it is about.")


class RunbookActSerializer(StrictSerializer):
    """An act on a run."""

    revision = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=HIGHEST,
        help_text="As you read it: when the run went on since, 409 and nothing is done.",
    )


class RunbookReasonSerializer(RunbookActSerializer):
    """An act that says why."""

    reason = _reason("Why; kept with the run and in the audit trail.")


class RunbookSkipSerializer(RunbookReasonSerializer):
    """Leaving a step out, or going to another one."""

    to = serializers.IntegerField(required=False, min_value=1, max_value=60, help_text="Step to go to; else the next.")


class RunbookDiagnoseSerializer(RunbookActSerializer):
    """A diagnostic of the current step."""

    name = serializers.CharField(max_length=80, help_text="Of the step's checks: trading.positions, command:disk …")


class RunbookRemedySerializer(RunbookReasonSerializer):
    """A remedy of the current step."""

    name = serializers.CharField(max_length=80, help_text="Of the step's remedies.")


class RunbookNoteSerializer(StrictSerializer):
    """The notes of a run."""

    text = serializers.CharField(max_length=LONGEST_NOTES, allow_blank=True, help_text="Replaces the notes.")
    was = serializers.CharField(
        required=False, max_length=64, help_text="The notes_token that you read: when they changed since, 409."
    )


class RunbookFinishSerializer(RunbookActSerializer):
    """The end of a run."""

    resolved = serializers.BooleanField(help_text="Whether what was wrong is mended.")
    summary = serializers.CharField(max_length=LONGEST_NOTES, help_text="What was wrong, and what was done about it.")


class RunbookRunFilterSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """The query of the list of runs."""

    environment = serializers.CharField(required=False, max_length=60)
    runbook = serializers.CharField(required=False, max_length=60)
    status = serializers.ChoiceField(required=False, choices=RunbookRun.Status.choices)
    alert = serializers.IntegerField(required=False, min_value=1, max_value=HIGHEST)
    deployment = serializers.IntegerField(required=False, min_value=1, max_value=HIGHEST)
