"""Tags, filters and component templates."""

from datetime import UTC, datetime, timedelta

import pytest
from django.template import engines
from django.test import RequestFactory

from deployments.states import Status, StepStatus
from opsconsole.markup import render
from opsconsole.vocabulary import WORDS, look_up

NOW = datetime(2026, 11, 23, 14, 2, 11, tzinfo=UTC)


def draw(text: str, request=None, **context) -> str:
    return engines["django"].from_string(text).render(context, request)


def test_every_status_has_a_word_and_an_icon_that_exists():
    for kind, words in WORDS.items():
        for value in words:
            html = draw("{% status kind value %}", kind=kind, value=value)
            assert "<svg" in html and look_up(kind, value).word in html
    assert set(WORDS["deployment"]) == {status.value for status in Status}
    assert set(WORDS["step"]) >= {status.value for status in StepStatus}


def test_normal_is_grey_and_abnormal_is_not():
    assert {look_up("deployment", value).tone for value in ("pending", "running", "watching", "succeeded")} <= {
        "plain",
        "run",
        "ok",
    }
    assert look_up("deployment", "failed").tone == look_up("health", "fail").tone == "crit"
    assert look_up("health", "no_data").tone == "unknown"


def test_an_unknown_status_shows_itself_and_escapes():
    html = draw("{% status 'deployment' value %}", value="<b>odd_state")
    assert "&lt;b&gt;odd state" in html.lower() and "<b>" not in html and "status-unknown" in html


def test_times_tick_only_without_an_end():
    start = NOW - timedelta(seconds=843)
    assert "data-since" in draw("{% duration start %}", start=start)
    done = draw("{% duration start end %}", start=start, end=NOW)
    assert "data-since" not in done and "14m\u00a003s" in done
    assert 'datetime="2026-11-23T14:02:11.000+00:00"' in draw("{% time at 'both' %}", at=NOW)
    assert "–" in draw("{% time at %}", at=None)


@pytest.mark.parametrize(("address", "is_open"), [("/?confirm=d1", True), ("/?confirm=d2", False), ("/", False)])
def test_a_dialog_is_drawn_open_for_a_page_without_script(address, is_open):
    html = draw('{% dialog id="d1" title="Abort" %}<p>body</p>{% enddialog %}', RequestFactory().get(address))
    assert ('id="d1" aria-labelledby="d1-title" open>' in html) is is_open
    assert "<p>body</p>" in html


def test_a_panel_wraps_its_body_as_a_live_region():
    html = draw(
        '{% panel name id="p" live=True %}{% if yes %}<b>in</b>{% endif %}{% endpanel %}',
        name="Status & more",
        yes=True,
    )
    assert "Status &amp; more" in html and '<div class="panel-body" id="p-body" data-region><b>in</b></div>' in html
    assert "data-region" not in draw('{% panel "x" id="p" %}y{% endpanel %}')


def test_a_button_that_cannot_be_used_says_why_and_stays_focusable():
    html = draw('{% include "ui/button.html" with label="Abort" dialog="d" why_not="Too late" %}')
    assert 'aria-disabled="true"' in html and 'aria-describedby="why-d"' in html and "Too late" in html
    assert " disabled" not in html.replace("aria-disabled", "") and "data-dialog" not in html


def test_a_form_gets_a_new_key_each_time():
    assert draw("{% idempotency_key %}") != draw("{% idempotency_key %}")


def test_markdown_keeps_structure_and_drops_what_is_dangerous():
    html = render(
        "# Title\n\n## Part\n\n<script>alert(1)</script>\n\n[x](javascript:alert(1)) [y](https://e.org)\n\n|a|\n|-|\n|b|"
    )
    assert "<h3>Title</h3>" in html and "<h4>Part</h4>" in html and "<table>" in html
    assert "<script" not in html and 'href="javascript' not in html and 'href="https://e.org"' in html
    assert render("### Only") == "<h3>Only</h3>\n" and render(None) == ""


def test_the_numbers_of_a_chart_cannot_leave_their_script_element():
    html = draw(
        '{% include "ui/chart.html" with key="k" label="L" unit="ms" baseline=0.0 limit=None %}',
        points=[(1.0, 2.0), (2.0, None)],
        marks=[(1.5, "</script><b>")],
    )
    assert html.count("</script>") == 1 and '"baseline":0.0,"limit":null' in html
    assert "L: 2.0\u00a0ms last, baseline 0.00\u00a0ms" in html


def test_a_component_without_its_optional_parameters_draws():
    assert "no values yet" in draw('{% include "ui/chart.html" with key="k" label="L" unit="ms" %}')
    assert "No data" in draw('{% include "ui/metric.html" with id="m" unit="ms" %}')
    assert "0 steps" in draw('{% include "ui/stage_rail.html" with steps=steps %}', steps=[])


def test_shares_are_svg_because_the_page_may_carry_no_styles():
    html = draw(
        '{% include "ui/share_bar.html" with parts=parts label="Traffic" %}',
        parts=[("blue", 0.25, False), ("green", 0.75, True)],
    )
    assert 'x="25.00%" width="75.00%"' in html and "style=" not in html and "green 75" in html


def test_query_keeps_the_other_filters():
    request = RequestFactory().get("/?a=1&page=3")
    assert draw("{% query page=4 %}", request) == "?a=1&amp;page=4"
    assert draw("{% query page='' %}", request) == "?a=1"
