from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class RunbooksConfig(AppConfig):
    name = "runbooks"

    def ready(self) -> None:
        """Register this app's audited actions, and what every app offers to checklists and runbooks."""
        from alerts import offers
        from runbooks import audit, runbook_checks, runbook_offers  # noqa: F401

        autodiscover_modules("evidence_providers", "remedies")
        offers.register(runbook_offers.at_alert)
