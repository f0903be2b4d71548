"""How an environment wants to be deployed to: windows, promotion, probing and the rules of the analysis.

The policy is data in the system's definition file (``environments/definition.py``) and kept with the
environment; every duration is in seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RuleKind(StrEnum):
    """What a rule looks at; each kind has one judge in ``deployments/analysis/rules.py``."""

    ERROR_RATE = "error_rate"
    POSITION_MISMATCH = "position_mismatch"
    COMPONENT = "component"
    AVAILABILITY = "availability"
    RESTART = "restart"
    TRADING_HALTED = "trading_halted"
    LATENCY = "latency"
    WIN_RATE = "win_rate"


class RuleSpec(BaseModel):
    """One rule: what is judged, from when it warns and fails, and what a failure leads to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="Name shown on the page and kept with each verdict.")
    kind: RuleKind
    action: Literal["rollback", "recommend"] = Field(
        description="A failure rolls back at once, or recommends it and leaves the decision to the operator."
    )
    warn: float | None = Field(default=None, description="Warns from here; unit as `fail`.")
    fail: float | None = Field(
        default=None,
        description="Fails beyond this: a share for error_rate (0.01 is 1 %), a factor of the baseline for latency, "
        "a relative drop for win_rate (0.20 is 20 %).",
    )
    times_baseline: float | None = Field(
        default=None, description="error_rate: fails beyond this factor of the baseline."
    )
    minimum: int = Field(
        default=0, ge=0, description="Observations needed before a verdict other than no_data is given."
    )
    no_data: Literal["hold", "inform"] = Field(
        default="hold", description="Without data the deployment holds, or goes on and only says so."
    )


def default_rules() -> tuple[RuleSpec, ...]:
    """The rules of the specification, parts 4 and 7."""
    return (
        RuleSpec(
            name="Error rate", kind=RuleKind.ERROR_RATE, action="rollback", fail=0.01, times_baseline=10, minimum=50
        ),
        RuleSpec(name="Position mismatch", kind=RuleKind.POSITION_MISMATCH, action="rollback"),
        RuleSpec(name="Critical components", kind=RuleKind.COMPONENT, action="rollback"),
        RuleSpec(name="Answers", kind=RuleKind.AVAILABILITY, action="rollback"),
        RuleSpec(name="Restarts", kind=RuleKind.RESTART, action="rollback"),
        RuleSpec(name="Trading halted", kind=RuleKind.TRADING_HALTED, action="rollback"),
        RuleSpec(name="Latency p99", kind=RuleKind.LATENCY, action="recommend", warn=3, fail=5, minimum=200),
        RuleSpec(
            name="Win rate",
            kind=RuleKind.WIN_RATE,
            action="recommend",
            warn=0.15,
            fail=0.20,
            minimum=30,
            no_data="inform",
        ),
    )


class ApprovalPolicy(BaseModel):
    """Whether a second person looks at a deployment before it starts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    second_person: bool | None = Field(
        default=None,
        description="Somebody who may deploy needs another person's approval too. Not given: yes for an environment of "
        "the kind `production`, no elsewhere. Rollback, abort and hold never need one.",
    )
    expires_hours: float = Field(
        default=24, gt=0, le=720, description="Hours for which a request waits; then it ends by itself."
    )


class GatePolicy(BaseModel):
    """What a deployment must bring with it before it starts (specification, parts 1 and 3). Rollback is never gated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool | None = Field(
        default=None,
        description="Whether the gate is asked. Not given: yes for an environment of the kind `production`, no "
        "elsewhere. A freeze counts everywhere.",
    )
    rollback_seconds: float = Field(
        default=300, gt=0, description="The way back must take less than this, as it was last measured here."
    )
    large_change_lines: int = Field(
        default=500, ge=1, description="A change of more lines (added and removed) asks for a reason."
    )
    staging: str | None = Field(
        default=None,
        description="Environment in which the same artifact must have been live and stable for that environment's "
        "`stable_seconds`. Not given: the service's first of the kind `staging`; empty text: not asked.",
    )
    require: tuple[Literal["tests", "review", "benchmarks"], ...] = Field(
        default=("tests", "review", "benchmarks"), description="Reports that must be there and passed."
    )
    checklist: str = Field(
        default="",
        pattern=r"^[-a-z0-9_]{0,60}$",
        description="Checklist that must be complete for this release and environment, for example `deployment`; "
        "empty: none.",
    )


class Policy(BaseModel):
    """How one environment is deployed to and watched."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    promotion: Literal["auto", "manual"] = Field(
        default="manual", description="After the smoke tests: go on by itself, or wait for somebody to press Promote."
    )
    watch_seconds: float = Field(default=300, gt=0, description="Monitored window after promotion, old slot warm.")
    stable_seconds: float = Field(
        default=3600, gt=0, description="Stable for this long after promotion: the deployment is marked successful."
    )
    baseline_seconds: float = Field(
        default=300, gt=0, description="How far back the live slot is measured before the shift."
    )
    healthy_passes: int = Field(
        default=3, ge=1, description="Consecutive healthy probes before a new slot counts as healthy."
    )
    start_timeout_seconds: float = Field(default=60, gt=0, description="A new slot must be healthy within this time.")
    smoke_timeout_seconds: float = Field(
        default=60, gt=0, description="The system's own smoke tests must end within this time."
    )
    probe_seconds: float = Field(default=1.0, ge=0.1, description="Every instance is sampled this often.")
    watch_probe_seconds: float = Field(
        default=0.5, ge=0.1, description="Sampling interval while a deployment is between start and end."
    )
    probe_timeout_seconds: float = Field(
        default=0.8, gt=0, description="An instance that answers later counts as not answering."
    )
    confirmations: int = Field(
        default=2, ge=1, description="Consecutive probes without an answer before the availability rule fails."
    )
    approval: ApprovalPolicy = Field(
        default=ApprovalPolicy(), description="Review before a deployment starts, see below."
    )
    gate: GatePolicy = Field(default=GatePolicy(), description="What must be there before a start, see below.")
    rules: tuple[RuleSpec, ...] = Field(default_factory=default_rules)
