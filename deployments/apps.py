from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "deployments"

    def ready(self) -> None:
        """Register this app's audited actions."""
        from deployments import audit  # noqa: F401
