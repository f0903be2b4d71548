"""Tables of releases, deployments and their analysis."""

from deployments.models.analysis import Measurement, Trade, VerdictRow
from deployments.models.approval import Approval
from deployments.models.deployment import Deployment, Step
from deployments.models.release import Release

__all__ = ["Approval", "Deployment", "Measurement", "Release", "Step", "Trade", "VerdictRow"]
