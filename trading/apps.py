from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"

    def ready(self) -> None:
        """Register this app's audited actions, and what hinders that trading is resumed."""
        from trading import audit, clearance_checks, databases  # noqa: F401

        clearance_checks.refuse_during(databases.restore_under_way)
