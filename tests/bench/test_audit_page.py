"""The pure parts of the benchmark of the audit page."""

from __future__ import annotations

from datetime import UTC, datetime

from audit.filters import read
from opsconsole.bench import audit_page
from opsconsole.bench.audit_page import figure_of


def test_the_slowest_filter_is_judged():
    times = {"fast": [10.0] * 40, "slow once": [10.0] * 39 + [900.0], "slow": [10.0] * 36 + [60.0] * 4}
    figure = figure_of("Admin", times, {"records": 5})
    assert not figure.met and figure.n == 120 and figure.max == 900
    assert figure.notes["p95 of the slowest filter"] == 60.0 and figure.notes["slowest, ms"][0].startswith("slow:")
    assert figure_of("Admin", {name: times[name] for name in ("fast", "slow once")}, {}).met


def test_every_filter_that_is_measured_is_one_that_the_page_can_use():
    asked = audit_page.filters(datetime.now(UTC))
    assert len(asked) > 50
    for name, given in asked.items():
        wanted, problems = read(given)
        assert problems == {} and set(wanted.described()) == set(given), name
