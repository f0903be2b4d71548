"""The three roles and what each may do in an environment (specification, part 11)."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Roles are groups of the same name."""

    ADMIN = "Admin"
    OPERATOR = "Operator"
    DEVELOPER = "Developer"


VIEW = "view_environment"
CHECKLISTS = "run_checklists"
"""Tick checklists, run the read-only steps of runbooks."""
DEPLOY = "deploy_environment"
"""Start, promote, hold, resume, abort and roll back a deployment."""
REQUEST = "request_deployment"
"""Ask for a deployment that somebody else approves."""
APPROVE = "approve_deployment"
"""Approve or reject the request of somebody else."""
REPORT = "report_tests"
"""Report tests, reviews and benchmarks of a build, which the deployment gate asks for."""
STOP = "emergency_stop"
RESUME = "resume_trading"
"""Resume after a stop and reset a breaker, each with a second person."""
CONFIGURE = "change_configuration"

PERMISSION_WORDS = {
    VIEW: "see this environment",
    CHECKLISTS: "tick checklists and run runbooks here",
    DEPLOY: "deploy to this environment",
    REQUEST: "ask for a deployment to this environment",
    APPROVE: "approve deployments to this environment",
    REPORT: "report tests and reviews of releases for this environment",
    STOP: "stop trading here in an emergency",
    RESUME: "resume trading here",
    CONFIGURE: "change the configuration of this environment",
}
"""Every permission on an environment, as it reads after "may"."""

_ADMIN = frozenset(PERMISSION_WORDS)
_OPERATOR = frozenset({VIEW, CHECKLISTS, STOP})
_PRODUCTION: dict[Role, frozenset[str]] = {
    Role.ADMIN: _ADMIN,
    Role.OPERATOR: _OPERATOR,
    Role.DEVELOPER: frozenset({VIEW, REQUEST, REPORT}),
}
_OTHER: dict[Role, frozenset[str]] = {
    **_PRODUCTION,
    Role.DEVELOPER: frozenset({VIEW, CHECKLISTS, DEPLOY, REQUEST, REPORT, CONFIGURE}),
}


def granted(role: Role, *, production: bool) -> frozenset[str]:
    """Permission code names that a role has on an environment; production is stricter for Developers."""
    return (_PRODUCTION if production else _OTHER)[role]


def roles_with(permission: str, *, production: bool) -> list[Role]:
    """Roles that have a permission, for messages that say who can help."""
    return [role for role in Role if permission in granted(role, production=production)]
