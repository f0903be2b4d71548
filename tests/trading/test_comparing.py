"""The comparison of positions, without a database: classes, exact decimals, and what two reads prove."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.comparing import MOST_READS, Difference, Kind, compare, plain, settle

SIZES = st.decimals("-1000", "1000", places=6, allow_nan=False, allow_infinity=False)
BOOKS = st.dictionaries(st.sampled_from(["BTC", "ETH", "SOL"]), SIZES)


def differ(symbol: str, internal: str, exchange: str) -> Difference:
    return Difference(symbol, Decimal(internal), Decimal(exchange))


@pytest.mark.parametrize(
    ("internal", "exchange", "kind"),
    [
        ("0.1", "0.2", Kind.SIZE),
        ("-2", "-1", Kind.SIZE),
        ("0.1", "-0.1", Kind.SIDE),
        ("0", "0.1", Kind.MISSING_INTERNAL),
        ("-0.1", "0", Kind.MISSING_EXCHANGE),
    ],
)
def test_classes(internal, exchange, kind):
    found = differ("BTC", internal, exchange)
    assert found.kind is kind
    assert found.as_json()["class"] == kind.value and found.delta == Decimal(exchange) - Decimal(internal)


def test_decimals_are_exact():
    assert compare({"BTC": Decimal("0.3")}, {"BTC": Decimal("0.1") + Decimal("0.2")}) == []
    assert compare({"BTC": Decimal("0.30")}, {"BTC": Decimal("0.3")}) == []
    (found,) = compare({"BTC": Decimal("0.3")}, {"BTC": Decimal("0.3000000000000000001")})
    assert found.as_json()["delta"] == "0.0000000000000000001"


@pytest.mark.parametrize(
    ("value", "text"),
    [("1E+3", "1000"), ("0.0100", "0.01"), ("-0.0", "0"), ("-2.50", "-2.5"), ("100", "100"), ("0E-8", "0")],
)
def test_amounts_are_written_plainly(value, text):
    assert plain(Decimal(value)) == text


def test_a_symbol_missing_on_one_side_has_size_zero():
    found = compare({"BTC": Decimal(1)}, {"ETH": Decimal(-2), "SOL": Decimal(0)})
    assert [(one.symbol, one.kind) for one in found] == [
        ("BTC", Kind.MISSING_EXCHANGE),
        ("ETH", Kind.MISSING_INTERNAL),
    ]


@given(BOOKS, BOOKS)
def test_adding_every_delta_makes_both_sides_equal(internal, exchange):
    found = compare(internal, exchange)
    mended = dict(internal)
    for one in found:
        mended[one.symbol] = mended.get(one.symbol, Decimal(0)) + one.delta
    assert compare(mended, exchange) == []
    assert {one.symbol for one in found} == {one.symbol for one in compare(exchange, internal)}


def test_one_read_proves_nothing():
    assert settle([[]]) == settle([]) == settle([[differ("BTC", "0", "1")], []])
    first = settle([[differ("BTC", "0", "1")]])
    assert first.is_open and first.differences == ()


def test_a_difference_that_stays_counts_though_both_sides_trade():
    reads = [[differ("BTC", "0", "1")], [differ("BTC", "3", "4")]]
    found = settle(reads)
    assert not found.is_open and found.differences == tuple(reads[1])


def test_an_order_under_way_is_no_mismatch():
    reads = [[differ("BTC", "0", "1")], [differ("ETH", "0", "1")]]
    assert settle(reads).differences == () and not settle(reads).is_open
    again = [*reads, [differ("BTC", "0", "1")]]
    assert settle(again).differences == ()


def test_one_that_moves_is_read_once_more_and_then_counts():
    reads = [[differ("BTC", "0", "1")], [differ("BTC", "0", "2")]]
    assert settle(reads).is_open and settle(reads).differences == ()
    found = settle([*reads, [differ("BTC", "0", "3")]])
    assert not found.is_open and [one.symbol for one in found.differences] == ["BTC"]
    assert len(reads) + 1 == MOST_READS
    assert not settle([*reads, []]).differences
