"""Tags and filters of every template (builtins): statuses, times, numbers, Markdown, and the block components.

Block components wrap a body: ``{% panel "Status" id="p-status" %}…{% endpanel %}``, likewise ``dialog`` and ``notice``.
The markup is in ``templates/ui/``.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from lucide.templatetags.lucide import lucide

from opsconsole import formats, markup
from opsconsole.vocabulary import Word, look_up

register = template.Library()

register.filter("utc", formats.utc)
register.filter("utc_full", formats.utc_full)
register.filter("duration", formats.duration)
register.filter("ago", formats.ago)
register.filter("number", formats.number)
register.filter("percent", formats.percent)
register.filter("ms", formats.milliseconds)
register.filter("quantity", formats.quantity)
register.filter("markdown", markup.render)


@register.filter
def signed(value: float | None, decimals: int | None = None) -> str:
    """A number that always shows its sign."""
    return formats.number(value, decimals, sign=True)


@register.filter
def pretty_json(value: Any) -> str:
    """A JSON value on several lines, for before and after of an audit record."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)


@register.filter
def word(value: object, kind: str) -> str:
    """The word of a status without icon: ``{{ deployment.status|word:"deployment" }}``."""
    return look_up(kind, value).word


@lru_cache(maxsize=512)
def _icon(name: str, size: int, css: str) -> SafeString:
    return mark_safe(lucide(name, size=size, **{"class": f"icon {css}".strip(), "aria_hidden": "true"}))


@register.simple_tag
def icon(name: str, size: int = 16, css: str = "") -> SafeString:
    """A Lucide icon, hidden from assistive technology: the word beside it says it."""
    return _icon(str(name), size, css)


@register.simple_tag
def status(kind: str, value: object, label: str = "", tone: str = "", size: int = 16) -> str:
    """Icon and word of a status, coloured only when it is abnormal.

    Kinds are in ``opsconsole/vocabulary.py``; ``label`` and ``tone`` replace the usual word and tone.
    """
    return _status(kind, value, label, tone, size)


@lru_cache(maxsize=512)
def _status(kind: str, value: object, label: str, tone: str, size: int) -> SafeString:
    found: Word = look_up(kind, value)
    used = tone or found.tone
    return format_html(
        '<span class="status status-{}" data-state="{}">{}<span>{}</span></span>',
        used,
        value if value is not None else "",
        _icon(found.icon, size, "icon-spin" if used == "run" else ""),
        label or found.word,
    )


@register.simple_tag(name="time")
def time_tag(at: datetime | None, style: str = "clock") -> str:
    """A moment in UTC.

    Styles: ``clock`` (14:02:11 UTC), ``full`` (to the millisecond), ``both`` (clock and how long ago), ``ago``.
    """
    if not at:
        return format_html('<span class="muted">{}</span>', formats.NONE)
    # Digits and words of our own: nothing to escape, and a list has a hundred of them.
    iso = at.astimezone(UTC).isoformat(timespec="milliseconds")
    if style == "ago":
        return mark_safe(f'<time datetime="{iso}" data-ago title="{formats.utc_full(at)}">{formats.ago(at)}</time>')
    shown = formats.utc_full(at) if style == "full" else formats.utc(at)
    moment = f'<time datetime="{iso}" class="num nowrap">{shown}</time>'
    if style == "both":
        moment += f' <span class="muted nowrap">(<time datetime="{iso}" data-ago>{formats.ago(at)}</time>)</span>'
    return mark_safe(moment)


@register.simple_tag(name="duration")
def duration_tag(start: datetime | None, end: datetime | None = None) -> str:
    """The time from ``start`` to ``end``; without an end it ticks in the page."""
    if not start:
        return format_html('<span class="muted">{}</span>', formats.NONE)
    if end:
        return format_html('<span class="num nowrap">{}</span>', formats.duration((end - start).total_seconds()))
    seconds = (datetime.now(UTC) - start).total_seconds()
    return format_html(
        '<time class="num nowrap" datetime="{}" data-since>{}</time>',
        start.astimezone(UTC).isoformat(timespec="milliseconds"),
        formats.duration(seconds),
    )


@register.simple_tag
def countdown(until: datetime | None) -> str:
    """The time left until a moment, ticking in the page; ``a moment`` once it has passed."""
    if until is None:
        return ""
    left = (until - datetime.now(UTC)).total_seconds()
    return format_html(
        '<time class="num nowrap" datetime="{}" data-until>{}</time>',
        until.astimezone(UTC).isoformat(timespec="milliseconds"),
        formats.duration(left) if left > 0 else "a moment",
    )


@register.simple_tag
def delta(value: float | None, baseline: float | None, unit: str = "") -> str:
    """The difference to a baseline in words, or nothing when one of them is missing."""
    text = formats.change(value, baseline, unit)
    return format_html('<span class="delta num nowrap">{}</span>', text) if text else ""


@register.simple_tag
def idempotency_key() -> str:
    """A hidden field whose value is new in each rendered form, so that a form sent twice acts once."""
    return format_html('<input type="hidden" name="idempotency_key" value="{}">', uuid.uuid4())


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: object) -> str:
    """The query string of this page with some parameters changed; a blank value removes one."""
    params = context["request"].GET.copy()
    for name, value in changes.items():
        if value in (None, ""):
            params.pop(name, None)
        else:
            params[name] = str(value)
    return f"?{params.urlencode()}"


@register.simple_block_tag
def panel(content: str, title: str = "", id: str = "", **parameters: Any) -> str:
    """A titled section; parameters in ``templates/ui/panel.html``."""
    return render_to_string("ui/panel.html", {"content": content, "title": title, "id": id, **parameters})


@register.simple_block_tag
def notice(content: str, tone: str = "info", **parameters: Any) -> str:
    """A full-width or in-panel message; parameters in ``templates/ui/banner.html``."""
    return render_to_string("ui/banner.html", {"content": content, "tone": tone, **parameters})


@register.simple_block_tag(takes_context=True)
def dialog(context: dict[str, Any], content: str, id: str, title: str, open: bool = False, **parameters: Any) -> str:
    """A dialog; it is drawn open when the page is asked for with ``?confirm=<id>`` (the way without a script)."""
    request = context.get("request")
    is_open = open or bool(request and request.GET.get("confirm") == id)
    return render_to_string(
        "ui/dialog.html", {"content": content, "id": id, "title": title, "open": is_open, **parameters}
    )


def _given(value: object) -> float | None:
    """A number that a template passed; a name it did not pass arrives as an empty text."""
    return value if isinstance(value, (int, float)) else None


@register.simple_tag
def chart_data(points: Any, baseline: float | None, limit: float | None, marks: Any) -> SafeString:
    """The numbers of a chart as JSON for ``charts.js``, safe inside a script element."""
    given = {
        "points": list(points or []),
        "baseline": _given(baseline),
        "limit": _given(limit),
        "marks": list(marks or []),
    }
    text = json.dumps(given, separators=(",", ":"))
    return mark_safe(text.replace("<", "\\u003c").replace("&", "\\u0026"))


@register.simple_tag
def chart_sentence(label: str, unit: str, points: Any, baseline: float | None, limit: float | None) -> str:
    """One sentence that says what a chart shows; ``charts.js`` renews it."""
    values = [value for _, value in points or [] if value is not None]
    parts = [f"{label}: {formats.quantity(values[-1], unit)} last" if values else f"{label}: no values yet"]
    if _given(baseline) is not None:
        parts.append(f"baseline {formats.quantity(baseline, unit)}")
    if _given(limit) is not None:
        parts.append(f"limit {formats.quantity(limit, unit)}")
    return ", ".join(parts)


@register.filter
def last_points(points: Any) -> list[Any]:
    """The latest 20 points of a chart, newest first, for its table."""
    return list(points or [])[-20:][::-1]


@register.filter
def clock(at: float) -> str:
    """Unix seconds as 14:02:11 (UTC)."""
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"


@register.simple_tag
def share_rects(parts: Any) -> SafeString:
    """The rectangles of a share bar; SVG attributes, because the page may carry no inline styles."""
    rects, left = [], 0.0
    for _, share, is_new in parts:
        width = max(0.0, min(1.0, float(share or 0))) * 100
        css = "share-new" if is_new else "share-old"
        rects.append(f'<rect class="{css}" x="{left:.2f}%" width="{width:.2f}%" height="100%"/>')
        left += width
    return mark_safe("".join(rects))
