from django.apps import AppConfig


class EnvironmentsConfig(AppConfig):
    name = "environments"

    def ready(self) -> None:
        """Register this app's audited actions."""
        from environments import audit  # noqa: F401
