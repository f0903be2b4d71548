"""Made-up but typical values for the style guide, so that it looks as a busy day does."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace as Thing
from typing import Any

from opsconsole.vocabulary import WORDS

TITLES = (
    *("Pre-checks", "Start green", "Wait until green is healthy", "Smoke tests", "Promote", "Hand over trading"),
    *("Shift traffic", "Trading on green", "Watch 20 s", "Stable 40 s", "Update blue"),
)
SECONDS = (0.4, 2.1, 6.2, 4.8, 31.0, 0.3)
NOTES = """# Release v1.2.5

Latency work on the **order path**.

- `risk.max_batch` is 32 now
- No migrations

| Metric | Before | After |
|---|---|---|
| p99 | 12 ms | 10 ms |

```
opsctl deploy v1.2.5
```
"""


def sample() -> dict[str, Any]:
    """The template context of the style guide."""
    now = datetime.now(UTC)
    return {
        "words": {kind: list(words) for kind, words in WORDS.items()},
        "environments": [Thing(kind=kind, name=kind) for kind in ("production", "staging", "development")],
        "steps": _steps(now),
        "failed_steps": _steps(now, failed=True),
        "charts": _charts(now.timestamp() - 280),
        "now": now,
        "earlier": now - timedelta(minutes=14, seconds=3),
        "later": now + timedelta(minutes=6, seconds=12),
        "rows": [("Version", "v1.2.4 to v1.2.5"), ("Strategy", "Blue/green"), ("By", "Ada Admin")],
        "shares": [("blue v1.2.4", 0.35, False), ("green v1.2.5", 0.65, True)],
        "presets": ["Error rate rises", "Asked by trading", "Wrong version"],
        "filters": _filters(),
        "tabs": [("Overview", "#", True, None), ("Metrics", "#", False, None), ("Events", "#", False, 12)],
        "audit_rows": [_audit_row(now)],
        "markdown_text": NOTES,
        "code": "curl -H 'Authorization: Bearer opsc_…' https://console/api/v1/environments/",
    }


def _filters() -> list[dict[str, Any]]:
    environments = [("", "Any"), ("production", "production"), ("staging", "staging")]
    statuses = [("", "Any"), ("running", "Running"), ("failed", "Failed")]
    return [
        {"name": "q", "label": "Search", "value": "", "type": "search"},
        {"name": "environment", "label": "Environment", "value": "production", "options": environments},
        {"name": "status", "label": "Status", "value": "", "options": statuses},
        {"name": "from", "label": "From", "value": "", "type": "date"},
    ]


def _audit_row(now: datetime) -> dict[str, Any]:
    return {
        "href": "#p-audit",
        "at": now,
        "who": "Ada Admin",
        "role": "Admin",
        "via": "in the browser",
        "label": "Promotion asked for",
        "what": "",
        "reason": "Smoke tests passed, baseline quiet.",
        "object": "Deployment 42",
        "object_href": "#p-audit",
        "environment": "production",
        "outcome": "done",
        "address": "10.20.3.14",
    }


def _steps(now: datetime, *, failed: bool = False) -> list[Thing]:
    at, steps = now - timedelta(seconds=64), []
    for index, title in enumerate(TITLES):
        status = "succeeded" if index < 6 else "running" if index == 6 else "pending"
        if failed and index >= 3:
            status = "failed" if index == 3 else "skipped"
        is_over = status in {"succeeded", "failed"}
        end = at + timedelta(seconds=SECONDS[index]) if is_over else None
        start = at if is_over or status == "running" else None
        detail = "place_order: rejected by the exchange" if status == "failed" else ""
        steps.append(Thing(title=title, status=status, started_at=start, finished_at=end, detail=detail))
        at = end or at
    return steps


def _charts(start: float) -> list[dict[str, Any]]:
    mark = [(start + 170, "v1.2.5 live")]
    return [
        _chart(
            "latency",
            "Latency p99",
            "ms",
            (41.3, 10.2, 51.0),
            "warn",
            _wave(start, 11, 1.6, 29),
            mark,
            "4.0 × the baseline",
        ),
        _chart("errors", "Error rate", "share", (0.0512, 0.001, 0.01), "fail", _wave(start, 0.001, 0.0006, 0.05), mark),
        _chart("win", "Win rate", "share", (0.58, 0.57, None), "pass", _wave(start, 0.575, 0.02), mark),
        _chart("requests", "Requests", "/s", (None, None, None), "no_data", [], []),
    ]


def _chart(
    key: str,
    title: str,
    unit: str,
    numbers: tuple[float | None, ...],
    verdict: str,
    points: Any,
    marks: Any,
    reason: str = "",
) -> dict[str, Any]:
    value, baseline, limit = numbers
    return {
        "key": f"sg_{key}", "title": title, "unit": unit, "value": value, "baseline": baseline, "limit": limit,
        "verdict": verdict, "points": points, "marks": marks, "reason": reason,
    }  # fmt: skip


def _wave(start: float, base: float, swing: float, step: float = 0.0) -> list[tuple[float, float | None]]:
    """280 s of a swinging value that jumps by ``step`` at 170 s, with a gap of 12 s."""

    def value(second: int) -> float | None:
        if 118 <= second < 130:
            return None
        swung = swing * (math.sin(second / 9) + math.sin(second / 3.7) / 2)
        return max(0.0, base + swung + (step if second > 170 else 0))

    return [(start + second, value(second)) for second in range(0, 281, 2)]
