"""The action panel of a deployment: which acts a person is offered, how much each asks for, and what it would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounts.roles import DEPLOY, roles_with
from audit.actors import Actor
from deployments import queries, words
from deployments.live_page import LivePage
from environments.pages import deployable_ids


@dataclass(frozen=True, slots=True)
class Offer:
    """One act as it is drawn."""

    name: str
    label: str
    """The verb on the button, with what it concerns."""
    allowed: bool
    why_not: str
    is_recommended: bool
    effects: list[str]
    reason: str
    """Text in the reason field; a person can replace it."""
    error: str
    is_open: bool
    """Whether its dialog is drawn open (without a script, or after a mistake)."""

    @property
    def level(self) -> str:
        """Confirmation level of the interface: ``L0`` acts at once, ``L1`` asks in a dialog, ``L2`` is held 1.5 s."""
        return {"promote": "L2", "abort": "L1", "rollback": "L1"}.get(self.name, "L0")

    @property
    def icon(self) -> str:
        """Lucide name."""
        return _ICONS[self.name]

    @property
    def verb(self) -> str:
        """The label within a sentence: ``promote v1.2.5``."""
        return self.label[0].lower() + self.label[1:]

    @property
    def short(self) -> str:
        """The label where there is little room."""
        return {"rollback": "Roll back"}.get(self.name, self.label)

    @property
    def style(self) -> str:
        """The recommended act is filled, the others are outlined."""
        if not self.is_recommended:
            return "plain"
        return "danger" if self.name in ("abort", "rollback") else "primary"

    @property
    def is_risky(self) -> bool:
        """Unusable while live data is lost; what leads to safety is never risky."""
        return self.name in ("promote", "resume")

    @property
    def dialog(self) -> str:
        """Id of its dialog."""
        return f"confirm-{self.name}"

    @property
    def presets(self) -> list[str]:
        """Reasons that are offered; one click fills the field."""
        return _PRESETS.get(self.name, [])


@dataclass(frozen=True, slots=True)
class Panel:
    """What a person may do with a deployment now."""

    may_act: bool
    who_can: str
    offers: tuple[Offer, ...]
    token: str
    refused: str
    """Why the last attempt did nothing."""

    @property
    def confirmed(self) -> list[Offer]:
        """Offers that ask before they act."""
        return [offer for offer in self.offers if offer.level != "L0"]

    @property
    def direct(self) -> list[Offer]:
        """Offers that act at once."""
        return [offer for offer in self.offers if offer.level == "L0"]

    @property
    def safety(self) -> list[Offer]:
        """Offers of the bar at the bottom of a phone."""
        return [offer for offer in self.offers if offer.allowed and not offer.is_risky]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An act that was tried on this page, or whose dialog was asked for."""

    act: str = ""
    form: Any = None
    """The form with its mistakes, whose values are kept."""
    refused: str = ""


ACTS = ("promote", "hold", "resume", "abort", "rollback")
_USE_CASE = {"rollback": "roll_back"}
"""Where the name of an act in addresses differs from the use case's."""
_ICONS = {
    "promote": "arrow-right-left",
    "hold": "circle-pause",
    "resume": "circle-play",
    "abort": "octagon-x",
    "rollback": "undo-2",
}
_PRESETS = {
    "promote": ["Smoke tests passed", "Checked by hand"],
    "abort": ["Wrong release", "Not now"],
    "rollback": ["Error rate", "Latency", "Unusual behaviour"],
}
_REASONS = {"hold": "Looking closer before going on", "resume": "Looked, going on"}


def panel(user: Any, page: LivePage, attempt: Attempt = Attempt()) -> Panel:
    """The panel for a person; without permission it offers nothing and says who can."""
    deployment = page.deployment
    environment = deployment.environment
    may_act = environment.pk in deployable_ids(user)
    who = " or ".join(role.value for role in roles_with(DEPLOY, production=environment.is_production))
    offers = _offers(user, page, attempt) if may_act else ()
    return Panel(may_act, who, offers, deployment.state_token, attempt.refused)


def _offers(user: Any, page: LivePage, attempt: Attempt) -> tuple[Offer, ...]:
    actor = Actor(name=user.display_name, via="session", user=user, role=user.role)
    acts = queries.allowed_acts(actor, page.deployment)
    verb = page.recommendation.verb
    found = []
    for name in _shown(page, acts):
        key = _USE_CASE.get(name, name)
        tried = attempt.form if attempt.act == name else None
        found.append(
            Offer(
                name=name,
                label=_label(page, name),
                allowed=acts[key].allowed,
                why_not=acts[key].why_not,
                is_recommended=key == verb,
                effects=words.effects(page.deployment, name, page.open_positions, page.open_orders),
                reason=_REASONS.get(name, "") if tried is None else tried["reason"].value() or "",
                error="" if tried is None else " ".join(tried.errors.get("reason", ())),
                is_open=attempt.act == name and not attempt.refused,
            )
        )
    return tuple(found)


def _shown(page: LivePage, acts: Mapping[str, Any]) -> list[str]:
    """Hold or resume, and abort or roll back, never both; after the end only the way back, while there is one."""
    deployment = page.deployment
    if deployment.is_rollback or deployment.status in ("failing", "aborting", "awaiting_approval"):
        return []
    if deployment.is_finished:
        return ["rollback"] if acts["roll_back"].allowed else []
    back = "rollback" if deployment.handover_at else "abort"
    first = ["promote"] if _offers_promotion(page, acts) else []
    return [*first, "resume" if deployment.status == "held" else "hold", back]


def _offers_promotion(page: LivePage, acts: Mapping[str, Any]) -> bool:
    """Before the shift where somebody has to press it; after it only against a recommendation to roll back."""
    deployment = page.deployment
    if not acts["promote"].allowed or deployment.promote_requested_at:
        return False
    if deployment.promoted_at:
        return page.recommendation.verb == "roll_back"
    return deployment.environment.policy.promotion == "manual"


def _label(page: LivePage, name: str) -> str:
    deployment = page.deployment
    if name == "promote":
        new = deployment.to_release.version
        return f"Keep {new}" if deployment.promoted_at else f"Promote {new}"
    if name == "rollback":
        return f"Roll back to {words.earlier(deployment)}"
    return {"hold": "Hold", "resume": "Resume", "abort": "Abort"}[name]
