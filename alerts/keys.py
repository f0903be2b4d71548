"""API keys that end soon: nobody notices until a program is refused at night, so each one is an alert."""

from __future__ import annotations

from accounts import queries
from alerts.actions import clear, raise_alert
from alerts.models import Alert
from audit.actors import system

KIND = "key"
KEYS = system("keys")


def remind() -> int:
    """Raise an alert for each key that is due, clear the others; how many are due."""
    due = {key.prefix: key for key in queries.keys_due()}
    for prefix, key in due.items():
        owner = key.owner.display_name
        raise_alert(
            KIND,
            prefix,
            severity=Alert.Severity.WARNING,
            title=f"API key “{key.name}” of {owner} ends on {key.expires_at:%Y-%m-%d %H:%M} UTC",
            detail=f"Programs that use opsc_{prefix}_… are refused from then on. {owner} rotates it under Account, "
            "API keys, or with opsctl keys rotate; both keys work for a day.",
            link="/account/keys/",
            actor=KEYS,
        )
    for prefix in Alert.objects.filter(kind=KIND, cleared_at=None).exclude(key__in=due).values_list("key", flat=True):
        clear(KIND, prefix, actor=KEYS)
    return len(due)
