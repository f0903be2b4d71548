"""The audited actions of this app. Verbs match the functions of ``actions.py`` and the steps of the engine."""

from audit.intents import ends
from audit.registry import emphasise, register
from deployments.under_way import under_way

register(
    release__registered="Release registered",
    release__reported="Test report kept",
    environment__frozen="Deployments frozen",
    environment__freeze_lifted="Freeze lifted",
    deployment__gate_overridden="Gate overridden",
    deployment__started="Deployment started",
    deployment__requested="Approval asked for",
    deployment__approved="Deployment approved",
    deployment__rejected="Request rejected",
    deployment__request_withdrawn="Request withdrawn",
    deployment__approval_fell="Request fell: something changed",
    deployment__approval_expired="Request expired",
    deployment__promoted="Promotion asked for",
    deployment__accepted="New version kept despite a recommendation",
    deployment__held="Held",
    deployment__resumed="Resumed",
    deployment__aborted="Abort asked for",
    deployment__rolled_back="Rollback asked for",
    deployment__step_started="Step started",
    deployment__step_succeeded="Step done",
    deployment__step_failed="Step failed",
    deployment__failing="Deployment failing",
    deployment__finished="Deployment finished",
    deployment__watch_restarted="Watch begun anew",
    deployment__verdict="Verdict changed",
    deployment__report_saved="Rollback report saved",
    deployment__report_completed="Rollback report completed",
    deployment__report_reopened="Rollback report reopened",
    traffic__shift="Traffic shift",
    writer__role="Trading role",
)
emphasise("deployment.gate_overridden")

_STEP_ENDS = ("deployment.step_succeeded", "deployment.step_failed", "deployment.finished")
ends("deployment.step_started", *_STEP_ENDS, under_way=under_way)
ends("traffic.shift", *_STEP_ENDS, under_way=under_way)
