"""The audited actions of this app. Verbs match the functions of ``actions.py`` and the steps of the engine."""

from audit.registry import register

register(
    release__registered="Release registered",
    deployment__started="Deployment started",
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
    traffic__shift="Traffic shift",
    writer__role="Trading role",
)
