"""The strategies by name."""

from deployments.strategies.base import PlanInput, StepSpec, Strategy
from deployments.strategies.blue_green import BlueGreen, Rollback

STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in (BlueGreen(),)}
"""What an operator may choose."""

ROLLBACK: Strategy = Rollback()


def by_name(name: str) -> Strategy:
    """A strategy, the rollback included; raises KeyError for an unknown name."""
    return ROLLBACK if name == ROLLBACK.name else STRATEGIES[name]


__all__ = ["ROLLBACK", "STRATEGIES", "PlanInput", "StepSpec", "Strategy", "by_name"]
