from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        """The names of the audited actions, and the system check."""
        from audit import audit, checks  # noqa: F401
