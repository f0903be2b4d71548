"""The audited actions of this app."""

from audit.registry import register

register(
    system__applied="System definition applied",
    traffic__drift_repaired="Load balancer brought back to the desired weights",
    writer__drift_repaired="Trading role granted again",
)
