"""The audited actions of this app."""

from audit.registry import register

register(
    alert__raised="Alert raised",
    alert__worse="Alert became critical",
    alert__cleared="Alert cleared: its cause is gone",
    alert__acknowledged="Alert acknowledged",
    alert__noted="Note of an alert changed",
    alert__undelivered="Alert could not be sent out",
)
