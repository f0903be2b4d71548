"""What a build system, or a person, reports about an artifact: tests, a review, benchmarks.

The newest of a kind counts. A report is never changed; who was wrong reports again. It may come before its release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.db.models import QuerySet

from accounts.domain import InvalidRequest
from accounts.roles import REPORT
from accounts.use_case import use_case
from audit.actions import record
from audit.actors import Actor
from deployments.models import Release, TestReport
from environments.models import Environment, Service
from environments.permissions import require_anywhere

SUMMARY_LIMIT, URL_LIMIT, DATA_LIMIT = 300, 300, 10_000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@use_case
def report(
    actor: Actor,
    service: Service,
    *,
    digest: str,
    kind: str,
    passed: bool,
    summary: str,
    data: Mapping[str, Any] | None = None,
    url: str = "",
) -> TestReport:
    """Keep a report about the artifact with a digest.

    Args:
        kind: ``tests``, ``review`` or ``benchmarks``.
        data: by kind: counts; ``author`` and ``reviewers``; figures. At most 10,000 characters as JSON.

    Raises:
        Forbidden: the actor may report for no environment of the service.
        InvalidRequest: a field is missing or wrong.
    """
    require_anywhere(actor, REPORT, service)
    found = TestReport.objects.create(
        service=service,
        digest=_digest(digest),
        kind=_kind(kind),
        passed=passed,
        summary=_summary(summary),
        data=_data(data or {}),
        url=_url(url),
        reported_by=actor.user,
        reported_by_name=f"{actor.name} (API key)" if actor.via == "key" else actor.name,
    )
    found.refresh_from_db(fields=["reported_at"])
    after = {"kind": found.kind, "passed": passed, "summary": found.summary, "digest": found.digest}
    release = Release.objects.filter(service=service, digest=found.digest).first()
    record(actor, "release.reported", release, after=after)
    return found


def of(release: Release) -> QuerySet[TestReport]:
    """Every report about the artifact of a release, newest first."""
    return TestReport.objects.filter(service=release.service_id, digest=release.digest)


def visible_to(user: Any) -> QuerySet[TestReport]:
    """Reports about services of which a person may see an environment, newest first."""
    visible = Environment.objects.visible_to(user)
    return TestReport.objects.filter(service__in=visible.values("service")).select_related("service")


def _digest(digest: str) -> str:
    text = (digest or "").strip()
    if not _DIGEST.fullmatch(text):
        raise InvalidRequest("digest", "Write sha256: and 64 hexadecimal digits in lower case.")
    return text


def _kind(kind: str) -> str:
    if kind not in TestReport.Kind.values:
        raise InvalidRequest("kind", f"Unknown kind {kind!r}. Choose one of: {', '.join(TestReport.Kind.values)}.")
    return kind


def _summary(summary: str) -> str:
    text = " ".join((summary or "").split())
    if not text:
        raise InvalidRequest("summary", "Say in a line what was found: 412 passed, 0 failed.")
    if len(text) > SUMMARY_LIMIT:
        raise InvalidRequest("summary", f"The summary has {len(text)} characters; at most {SUMMARY_LIMIT} are kept.")
    return text


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False)
        text.encode()  # half a surrogate pair is no text that could be kept
    except (TypeError, ValueError):
        raise InvalidRequest("data", "Send an object of JSON values; NaN, Infinity and broken text are none.") from None
    if "\\u0000" in text:
        raise InvalidRequest("data", "Null characters are not allowed.")
    if len(text) > DATA_LIMIT:
        raise InvalidRequest("data", f"The data has {len(text)} characters as JSON; at most {DATA_LIMIT} are kept.")
    return dict(data)


def _url(url: str) -> str:
    text = (url or "").strip()
    if not text:
        return ""
    if not _is_web_address(text):
        raise InvalidRequest("url", f"Write an address with http:// or https://, at most {URL_LIMIT} characters.")
    return text


def _is_web_address(text: str) -> bool:
    """Whether a page may lead to it: nothing that a browser would run."""
    if not text.isprintable() or len(text) > URL_LIMIT:
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)
