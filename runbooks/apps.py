from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class RunbooksConfig(AppConfig):
    name = "runbooks"

    def ready(self) -> None:
        """Register this app's audited actions, and what every app offers to checklists and runbooks."""
        from runbooks import audit  # noqa: F401

        autodiscover_modules("evidence_providers", "remedies")
