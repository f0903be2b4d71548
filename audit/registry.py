"""The names of audited actions. Each app registers its own once, in its ``audit.py``."""

from __future__ import annotations

_labels: dict[str, str] = {}
_emphasised: set[str] = set()


def register(**labels: str) -> None:
    """Register actions as ``deployment__promoted="Deployment promoted"``; ``__`` stands for the dot.

    Raises:
        ValueError: an action is registered twice.
    """
    for key, label in labels.items():
        name = key.replace("__", ".")
        if name in _labels:
            raise ValueError(f"audit action {name!r} is registered twice")
        _labels[name] = label


def emphasise(*actions: str) -> None:
    """Let actions stand out in the list of records: what somebody should look at again.

    Raises:
        KeyError: an action is not registered.
    """
    for action in actions:
        label(action)
        _emphasised.add(action)


def is_emphasised(action: str) -> bool:
    """Whether an action stands out."""
    return action in _emphasised


def label(action: str) -> str:
    """What people read for an action; raises KeyError for an unregistered one."""
    return _labels[action]


def actions() -> dict[str, str]:
    """Every registered action with its label."""
    return dict(sorted(_labels.items()))
