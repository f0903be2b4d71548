"""People."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractUser

from accounts.roles import Role

if TYPE_CHECKING:
    from accounts.limits import Limits


class User(AbstractUser):
    """A person. The role is the group; what it permits is granted per environment (``accounts/roles.py``)."""

    limits: Limits | None = None
    """Bounds of the API key with which this request came; None when the person acts in full."""

    class Meta(AbstractUser.Meta):
        pass

    @property
    def role(self) -> str:
        """Admin, Operator or Developer; empty without a role."""
        names = {group.name for group in self.groups.all()}
        return next((role.value for role in Role if role.value in names), "")

    @property
    def display_name(self) -> str:
        """The full name, else the user name."""
        return self.get_full_name() or self.username
