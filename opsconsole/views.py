"""Pages of the project itself: the style guide."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from opsconsole.vocabulary import WORDS


def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component in each of its states; for staff, and for everybody in the demo and while developing."""
    if not (settings.DEBUG or settings.DEMO or getattr(request.user, "is_staff", False)):
        raise PermissionDenied("The style guide is for staff.")
    return render(request, "styleguide.html", sample())


def sample() -> dict[str, Any]:
    """Made-up but typical values, so that the page looks as a busy day does."""
    now = datetime.now(UTC)
    return {
        "words": {kind: list(words) for kind, words in WORDS.items()},
        "environments": [SimpleNamespace(kind=kind, name=kind) for kind in ("production", "staging", "development")],
        "steps": _steps(now),
        "failed_steps": _steps(now, failed=True),
        "charts": _charts(now),
        "now": now,
        "earlier": now - timedelta(minutes=14, seconds=3),
        "later": now + timedelta(minutes=6, seconds=12),
        "rows": [("Version", "v1.2.4 to v1.2.5"), ("Strategy", "Blue/green"), ("By", "Ada Admin")],
        "shares": [("blue v1.2.4", 0.35, False), ("green v1.2.5", 0.65, True)],
        "columns": [("Check", ""), ("Result", ""), ("Detail", ""), ("Value", "right")],
        "cells": [["Node connection", "Pass", "lag 38 ms", "38 ms"], ["State builder", "Pass", "height 812,044", "0"]],
        "presets": ["Error rate rises", "Asked by trading", "Wrong version"],
        "filters": [
            {"name": "q", "label": "Search", "value": "", "type": "search"},
            {
                "name": "environment",
                "label": "Environment",
                "value": "production",
                "options": [("", "Any"), ("production", "production"), ("staging", "staging")],
            },
            {
                "name": "status",
                "label": "Status",
                "value": "",
                "options": [("", "Any"), ("running", "Running"), ("failed", "Failed")],
            },
            {"name": "from", "label": "From", "value": "", "type": "date"},
        ],
        "tabs": [("Overview", "#", True, None), ("Metrics", "#", False, None), ("Events", "#", False, 12)],
        "record": SimpleNamespace(
            at=now,
            actor_name="Ada Admin",
            role="Admin",
            via="session",
            label="Promotion asked for",
            object_name="Deployment 42",
            object_id="42",
            environment="production",
            outcome="done",
            reason="Smoke tests passed, baseline quiet.",
        ),
        "markdown_text": "# Release v1.2.5\n\nLatency work on the **order path**.\n\n- `risk.max_batch` is 32 now\n- No migrations\n\n"
        "| Metric | Before | After |\n|---|---|---|\n| p99 | 12 ms | 10 ms |\n\n```\nopsctl deploy v1.2.5\n```\n",
        "code": "curl -H 'Authorization: Bearer opsc_…' https://console/api/v1/environments/",
    }


def _steps(now: datetime, *, failed: bool = False) -> list[SimpleNamespace]:
    titles = (
        "Pre-checks",
        "Start green",
        "Wait until green is healthy",
        "Smoke tests",
        "Promote",
        "Hand over trading",
        "Shift traffic",
        "Trading on green",
        "Watch 20 s",
        "Stable 40 s",
        "Update blue",
    )
    at, steps = now - timedelta(seconds=64), []
    for index, title in enumerate(titles):
        status = "succeeded" if index < 6 else "running" if index == 6 else "pending"
        if failed and index >= 3:
            status = "failed" if index == 3 else "skipped"
        took = timedelta(seconds=(0.4, 2.1, 6.2, 4.8, 31.0, 0.3)[index] if index < 6 else 0)
        is_over = status in {"succeeded", "failed"}
        steps.append(
            SimpleNamespace(
                title=title,
                status=status,
                started_at=at if is_over or status == "running" else None,
                finished_at=at + took if is_over else None,
                detail="place_order: rejected by the exchange" if status == "failed" else "",
            )
        )
        at += took
    return steps


def _charts(now: datetime) -> list[dict[str, Any]]:
    start = now.timestamp() - 280

    def wave(base: float, swing: float, step: float = 0.0) -> list[tuple[float, float | None]]:
        return [
            (
                start + i,
                None
                if 118 <= i < 130
                else base + swing * (math.sin(i / 9) + math.sin(i / 3.7) / 2) + (step if i > 170 else 0),
            )
            for i in range(0, 281, 2)
        ]

    mark = [(start + 170, "v1.2.5 live")]
    return [
        {
            "key": "sg_latency",
            "title": "Latency p99",
            "unit": "ms",
            "value": 41.3,
            "baseline": 10.2,
            "limit": 51.0,
            "verdict": "warn",
            "reason": "4.0 × the baseline for 20 s",
            "points": wave(11, 1.6, 29),
            "marks": mark,
        },
        {
            "key": "sg_errors",
            "title": "Error rate",
            "unit": "share",
            "value": 0.0512,
            "baseline": 0.001,
            "limit": 0.01,
            "verdict": "fail",
            "reason": "",
            "points": [(at, None if v is None else max(0.0, v)) for at, v in wave(0.001, 0.0006, 0.05)],
            "marks": mark,
        },
        {
            "key": "sg_win",
            "title": "Win rate",
            "unit": "share",
            "value": 0.58,
            "baseline": 0.57,
            "limit": None,
            "verdict": "pass",
            "reason": "",
            "points": wave(0.575, 0.02),
            "marks": mark,
        },
        {
            "key": "sg_requests",
            "title": "Requests",
            "unit": "/s",
            "value": None,
            "baseline": None,
            "limit": None,
            "verdict": "no_data",
            "reason": "",
            "points": [],
            "marks": [],
        },
    ]
