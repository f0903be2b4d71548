"""Forms of the deployment pages. They parse and keep values; what may be done is decided by ``actions.py``."""

from __future__ import annotations

from typing import Any

from django import forms

from deployments.approvals import startable_ids
from deployments.models import Release
from deployments.pages import STATE_FILTERS, releases_visible_to
from deployments.strategies import STRATEGIES
from environments.models import Environment

REASON_MISSING = "Say why: the reason is kept in the audit trail."
REJECT_REASON_MISSING = "Say why: whoever asked reads it, and it is kept in the audit trail."
HASH_MISSING = "The form does not say what you saw. Load the page again."
STRATEGY_HELP = {
    "blue_green": "The new version starts beside the live one, is tested there, and takes over in one shift. "
    "The old one stays warm, one click from rollback.",
}


class StartForm(forms.Form):
    """What to deploy, where, how and why."""

    environment = forms.ModelChoiceField(
        queryset=Environment.objects.none(),
        to_field_name="name",
        empty_label="Choose an environment",
        error_messages={
            "required": "Choose an environment.",
            "invalid_choice": "There is no environment “%(value)s” to which you may deploy, or ask to. "
            "Choose one of the list.",
        },
    )
    release = forms.ModelChoiceField(
        queryset=Release.objects.none(),
        to_field_name="version",
        empty_label="Choose a release",
        error_messages={
            "required": "Choose a release.",
            "invalid_choice": "There is no release “%(value)s” of this service. Choose one of the list.",
        },
    )
    strategy = forms.ChoiceField(
        choices=[(name, strategy.title) for name, strategy in STRATEGIES.items()],
        initial=next(iter(STRATEGIES)),
        error_messages={
            "required": "Choose a strategy.",
            "invalid_choice": "Unknown strategy. Choose one of the list.",
        },
    )
    reason = forms.CharField(max_length=2000, error_messages={"required": REASON_MISSING})
    large_change_reason = forms.CharField(max_length=2000, required=False)
    override_reason = forms.CharField(max_length=2000, required=False)

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        environments = Environment.objects.filter(pk__in=startable_ids(user)).select_related("service", "live_slot")
        self.fields["environment"].queryset = environments
        releases = releases_visible_to(user)
        chosen = environments.filter(name=self.data.get("environment") or self.initial.get("environment") or "").first()
        self.chosen_environment: Environment | None = chosen
        self.fields["release"].queryset = releases.filter(service=chosen.service) if chosen else releases

    def strategies(self) -> list[tuple[str, str, str, bool]]:
        """Name, title, explanation and whether chosen, for the radio buttons."""
        chosen = self["strategy"].value()
        return [(name, item.title, STRATEGY_HELP.get(name, ""), name == chosen) for name, item in STRATEGIES.items()]


class ActForm(forms.Form):
    """An act on a deployment: why, and the state that the form was drawn from."""

    reason = forms.CharField(max_length=2000, error_messages={"required": REASON_MISSING})
    token = forms.CharField(max_length=60, required=False)


class ApproveForm(forms.Form):
    """Approving a request: the hash of what the page showed, and a reason if there is one."""

    subject_hash = forms.RegexField(
        r"^[0-9a-f]{64}\Z",
        error_messages={"required": HASH_MISSING, "invalid": HASH_MISSING},
    )
    reason = forms.CharField(max_length=2000, required=False)


class RejectForm(forms.Form):
    """Rejecting a request: why."""

    reason = forms.CharField(max_length=2000, error_messages={"required": REJECT_REASON_MISSING})


class WithdrawForm(forms.Form):
    """Taking an own request back."""

    reason = forms.CharField(max_length=2000, required=False)


class ListFilter(forms.Form):
    """Filters of the deployments list; wrong values are left out and named."""

    environment = forms.CharField(required=False)
    state = forms.ChoiceField(
        required=False,
        choices=[("", "Any"), *((key, label) for key, (label, _) in STATE_FILTERS.items())],
        error_messages={"invalid_choice": "There is no state “%(value)s”."},
    )
    version = forms.CharField(required=False, max_length=40)
    who = forms.CharField(required=False, max_length=150, label="By")
    since = forms.DateField(required=False, label="From", error_messages={"invalid": "Write the date as 2026-01-21."})
    until = forms.DateField(required=False, label="To", error_messages={"invalid": "Write the date as 2026-01-21."})

    def fields_for_bar(self, environments: list[str]) -> list[dict[str, Any]]:
        """As ``ui/filter_bar.html`` wants them."""
        options = {
            "environment": [("", "Any"), *((name, name) for name in environments)],
            "state": list(self.fields["state"].choices),
        }
        types = {"since": "date", "until": "date"}
        return [
            {
                "name": name,
                "label": field.label or name.capitalize(),
                "value": self.data.get(name, ""),
                "options": options.get(name),
                "type": types.get(name, "search"),
            }
            for name, field in self.fields.items()
        ]
