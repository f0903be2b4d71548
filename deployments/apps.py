from django.apps import AppConfig


class DeploymentsConfig(AppConfig):
    name = "deployments"

    def ready(self) -> None:
        """Register this app's audited actions, and what hinders that trading is resumed."""
        from deployments import audit, safety  # noqa: F401
        from deployments.runbook_links import about
        from runbooks.runbook_about import find_deployments_with
        from trading import clearance_checks

        clearance_checks.refuse_during(safety.handing_over)
        find_deployments_with(about)
