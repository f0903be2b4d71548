"""Answers to questions, as a request brings them and as they are shown."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.openapi import StrictSerializer
from trading.questions import NO, NOTE_LIMIT, YES, Given, Question


class AnswerSerializer(StrictSerializer):
    """One answer."""

    answer = serializers.ChoiceField(choices=[YES, NO])
    note = serializers.CharField(max_length=NOTE_LIMIT, help_text="What the answer rests on.")


class KeptAnswerSerializer(serializers.Serializer):  # type: ignore[type-arg]
    """One answer as it is kept."""

    key = serializers.CharField()
    question = serializers.CharField()
    answer = serializers.CharField(help_text="yes or no.")
    note = serializers.CharField()
    seen = serializers.ListField(child=serializers.CharField(), help_text="What the console saw beside it then.")
    by = serializers.CharField()
    at = serializers.DateTimeField()


class StepUpMemberSerializer(StrictSerializer):
    """The fresh proof of a dangerous act; ask for its question at ``/api/v1/step-up/``. API keys have none."""

    challenge = serializers.CharField(max_length=500)
    code = serializers.CharField(required=False, allow_blank=True, max_length=20)
    assertion = serializers.CharField(required=False, allow_blank=True, max_length=20_000)


def answers_field(questions: tuple[Question, ...]) -> type[StrictSerializer]:
    """A serializer with one answer for each question; each may be missing, which the use case names."""
    fields: dict[str, Any] = {one.key: AnswerSerializer(required=False, help_text=one.text) for one in questions}
    name = "".join(one.key.capitalize() for one in questions) + "AnswersSerializer"
    return type(name, (StrictSerializer,), {"__doc__": "The answers, by question.", **fields})


def given(data: dict[str, Any] | None) -> dict[str, Given]:
    """Answers that were checked, as the use cases take them."""
    return {key: Given(one["answer"], one["note"]) for key, one in (data or {}).items()}
