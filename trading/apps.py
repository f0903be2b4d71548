from django.apps import AppConfig


class TradingConfig(AppConfig):
    name = "trading"

    def ready(self) -> None:
        """Register this app's audited actions."""
        from trading import audit  # noqa: F401
