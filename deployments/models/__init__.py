"""Tables of releases, deployments and their analysis."""

from deployments.models.analysis import Measurement, Trade, VerdictRow
from deployments.models.approval import Approval
from deployments.models.deployment import Deployment, Step
from deployments.models.gate import Freeze, TestReport
from deployments.models.release import Release
from deployments.models.rollback_report import RollbackReport

__all__ = [
    "Approval",
    "Deployment",
    "Freeze",
    "Measurement",
    "Release",
    "RollbackReport",
    "Step",
    "TestReport",
    "Trade",
    "VerdictRow",
]
