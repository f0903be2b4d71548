from django.apps import AppConfig


class OpsconsoleConfig(AppConfig):
    name = "opsconsole"

    def ready(self) -> None:
        """Every process that rings workers needs the Celery application; and the project's own system checks."""
        from opsconsole import celery, checks, staticfiles_checks  # noqa: F401
