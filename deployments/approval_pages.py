"""What the pages of the review show, in a fixed number of queries. Lists first let end what holds no longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Q

from accounts.roles import APPROVE, roles_with
from deployments import approval_actions, approvals, gate, preflight, starting
from deployments.approval_subject import Change, in_words
from deployments.checks import CheckResult
from deployments.models import Approval, Deployment
from deployments.states import ApprovalState
from deployments.strategies import STRATEGIES
from environments.models import Environment
from environments.pages import seconds_in_words
from environments.permissions import environments_with
from trading import clearances
from trading.models import Clearance

DECIDED_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """Requests that wait, as one person sees them; what ends first stands first."""

    mine: tuple[Approval, ...]
    """The person may decide."""
    others: tuple[Approval, ...]
    """Somebody else must decide: own requests, and those where the person may not approve."""
    leave: tuple[Clearance, ...] = ()
    """Requests for leave to trade on which the person may decide."""
    leave_of_others: tuple[Clearance, ...] = ()

    @property
    def count(self) -> int:
        """How many wait for the person."""
        return len(self.mine) + len(self.leave)

    @property
    def note(self) -> str:
        """``1 waits for others``, for a counter; empty when none does."""
        count = len(self.others) + len(self.leave_of_others)
        return f"{count} wait{'s' if count == 1 else ''} for others" if count else ""


@dataclass(frozen=True, slots=True)
class ApprovalPage:
    """One request as a person sees it."""

    approval: Approval
    steps: tuple[str, ...]
    checks: tuple[CheckResult, ...]
    """As they are now; none once it ended."""
    blocking: Deployment | None
    """The deployment that must end before this one can start."""
    is_own: bool
    may_decide: bool
    who_can: str
    changes: tuple[str, ...]
    """What changed, of a request that fell."""

    @property
    def blocks(self) -> list[CheckResult]:
        """Checks that block the start."""
        return [check for check in self.checks if check.blocks]

    @property
    def why_not(self) -> str:
        """Why it cannot be approved just now; empty when it can."""
        if self.blocking is not None:
            return f"Deployment {self.blocking.pk} is not finished. Wait for its end."
        if self.blocks:
            return f"Pre-checks block it: {', '.join(check.title for check in self.blocks)}."
        return ""

    @property
    def stamp(self) -> str:
        """Changes when the decision must be drawn again."""
        return decision_stamp(self.approval, self.blocking)

    @property
    def heading(self) -> str:
        """Of the part that says what it is about."""
        return "What will happen" if self.approval.is_waiting else "What was asked for"

    @property
    def strategy(self) -> str:
        """The strategy by its title."""
        name: str = self.approval.subject["strategy"]
        return STRATEGIES[name].title if name in STRATEGIES else name

    @property
    def promotion(self) -> str:
        """Who moves the traffic, and how long it is watched."""
        policy = self.approval.subject["policy"]
        moves = (
            "After the smoke tests requests and trading move by themselves."
            if policy["promotion"] == "auto"
            else "After the smoke tests it waits until somebody presses Promote."
        )
        return f"{moves} The watch lasts {seconds_in_words(policy['watch_seconds'])}."

    @property
    def effects(self) -> list[str]:
        """What an approval does, one sentence each, with the names that it concerns."""
        asked = self.approval.subject
        new, slot, live = asked["release"]["version"], asked["slot"], asked["live"]
        if not live["slot"]:
            return [f"{new} starts on {slot} at once. Nothing serves now.", self.promotion]
        return [
            f"{new} starts on {slot} at once. {live['slot']} ({live['release']}) goes on serving meanwhile.",
            self.promotion,
            f"{live['release']} stays warm then, one click from rollback.",
        ]


def waiting(user: Any, *, settle: bool = False) -> Waiting:
    """What waits, as a person sees it.

    Args:
        settle: first let end what holds no longer (one more query when everything holds).
    """
    found = Approval.objects.visible_to(user).waiting().order_by("expires_at", "pk")
    listed = list(approvals.loaded(found) if settle else _with_names(found))
    if settle and approval_actions.settle_all(listed):
        listed = list(approvals.loaded(found.all()))
    approvable = _approvable(user)
    mine = [one for one in listed if one.deployment.environment_id in approvable and not one.is_own(user)]
    leave = list(clearances.visible_waiting(user))
    decidable = set(clearances.waiting_for(user).values_list("pk", flat=True)) if leave else set()
    return Waiting(
        tuple(mine),
        tuple(one for one in listed if one not in mine),
        tuple(one for one in leave if one.pk in decidable),
        tuple(one for one in leave if one.pk not in decidable),
    )


def decided(user: Any) -> Sequence[Approval]:
    """The last requests that ended, newest first."""
    found = Approval.objects.visible_to(user).exclude(state=ApprovalState.WAITING)
    return list(_with_names(found).order_by("-decided_at", "-pk")[:DECIDED_LIMIT])


def _with_names(found: Any) -> Any:
    return found.select_related("deployment__environment", "deployment__from_release", "deployment__to_release")


def _approvable(user: Any) -> frozenset[int]:
    found = environments_with(Environment.objects.all(), user, APPROVE)
    return frozenset(found.values_list("pk", flat=True))


def load(user: Any, pk: int) -> Approval:
    """A request; one that holds no longer ends first.

    Raises:
        Approval.DoesNotExist: there is none that the person may see.
    """
    approval = approvals.loaded(Approval.objects.visible_to(user)).get(pk=pk)
    return approval_actions.settle(approval_actions.REVIEW, approval) if approval.is_waiting else approval


def page(user: Any, approval: Approval) -> ApprovalPage:
    """The page of a request that ``load`` gave. While it waits: reads archive, load balancer and supervisor."""
    deployment, environment = approval.deployment, approval.deployment.environment
    checks: Sequence[CheckResult] = ()
    if approval.is_waiting:
        allowed = gate.exceptions_of(deployment)
        checks = preflight.check(environment, deployment.to_release, deployment.strategy, allowed)
    is_own = approval.is_own(user)
    return ApprovalPage(
        approval=approval,
        steps=tuple(step["title"] for step in approval.subject["plan"]),
        checks=tuple(checks),
        blocking=starting.busy(environment) if approval.is_waiting else None,
        is_own=is_own,
        may_decide=approval.is_waiting and not is_own and environment.pk in _approvable(user),
        who_can=" or ".join(role.value for role in roles_with(APPROVE, production=environment.is_production)),
        changes=tuple(in_words(Change(one["member"], one["from"], one["to"])) for one in approval.changes),
    )


def decision_stamp(approval: Approval, blocking: Deployment | None) -> str:
    """Changes with what the decision on a request shows."""
    return f"{approval.state}.{blocking.pk if blocking else 0}"


def stamp() -> str:
    """Changes whenever a request comes or ends; two queries."""
    found = Approval.objects.aggregate(
        newest=Max("pk"), waiting=Count("pk", filter=Q(state=ApprovalState.WAITING)), decided=Max("decided_at")
    )
    last = found["decided"].timestamp() if found["decided"] else 0
    return f"{found['newest'] or 0}.{found['waiting']}.{last:.6f}.{clearances.stamp()}"
