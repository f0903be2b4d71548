from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "alerts"

    def ready(self) -> None:
        """Register this app's audited actions."""
        from alerts import audit  # noqa: F401
