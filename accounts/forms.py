"""Forms of the people pages. They parse and keep values; what may be done is decided by ``people_actions.py``."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.people_actions import LONGEST_REASON, REASON_MISSING
from accounts.people_queries import STATES
from accounts.roles import Role

_ANY = ("", "Any")
ROLES = [(role.value, role.value) for role in Role]
KEY_STATES = [("due", "Due: end soon"), ("usable", "Usable"), ("ended", "Ended or refused")]


class ReasonForm(forms.Form):
    """An act that needs nothing but a reason."""

    reason = forms.CharField(max_length=LONGEST_REASON, error_messages={"required": REASON_MISSING})


class RoleForm(ReasonForm):
    """Another role."""

    role = forms.ChoiceField(
        choices=ROLES,
        error_messages={"required": "Choose a role.", "invalid_choice": "There is no role “%(value)s”. Choose one."},
    )


class InviteForm(RoleForm):
    """Somebody new."""

    username = forms.CharField(max_length=150, error_messages={"required": "Give a user name, for example grace."})
    full_name = forms.CharField(
        max_length=200, error_messages={"required": "Give the full name; it stands in the audit trail."}
    )


class FilterForm(forms.Form):
    """Filters of a list in the query string; wrong values are left out and named."""

    def given(self) -> dict[str, Any]:
        """The values that can be used."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}

    def problems(self) -> list[str]:
        """What could not be used."""
        return [error for errors in self.errors.values() for error in errors]

    def is_set(self) -> bool:
        """Whether anything is filtered."""
        return any(self.data.get(name) for name in self.fields)

    def for_bar(self) -> list[dict[str, Any]]:
        """As ``ui/filter_bar.html`` wants them."""
        return [
            {
                "name": name,
                "label": field.label,
                "value": self.data.get(name, ""),
                "options": list(getattr(field, "choices", [])),
            }
            for name, field in self.fields.items()
        ]


class PeopleFilter(FilterForm):
    """Filters of the people list."""

    q = forms.CharField(required=False, max_length=100, label="Name")
    role = forms.ChoiceField(
        required=False,
        choices=[_ANY, *ROLES],
        label="Role",
        error_messages={"invalid_choice": "There is no role “%(value)s”."},
    )
    state = forms.ChoiceField(
        required=False,
        choices=[_ANY, *STATES.items()],
        label="State",
        error_messages={"invalid_choice": "There is no state “%(value)s”."},
    )


class KeyFilter(FilterForm):
    """Filters of the list of all API keys."""

    q = forms.CharField(required=False, max_length=100, label="Owner, name or prefix")
    state = forms.ChoiceField(
        required=False,
        choices=[_ANY, *KEY_STATES],
        label="State",
        error_messages={"invalid_choice": "There is no state “%(value)s”."},
    )
