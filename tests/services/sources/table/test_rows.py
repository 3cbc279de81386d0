from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sources.errors import SourceError
from services.sources.table.columns import Wanted
from services.sources.table.rows import Reading, Refusal, read_rows


def _rows(text, wanted=None, **options):
    return list(read_rows(io.StringIO(text, newline=""), wanted or Wanted(), **options))


def test_columns_are_found_by_their_usual_names():
    rows = _rows("device,time,label,x,y\nfan-1,1700000000,free,0.5,-1\n")
    assert rows == [Reading(2, "fan-1", 1_700_000_000.0, (0.5, -1.0))]


def test_columns_are_taken_by_the_names_and_in_the_order_that_are_given():
    wanted = Wanted(("y", "x"), device="machine", time="recorded")
    rows = _rows("x;machine;recorded;y;z\n1;a;2023-11-14T22:13:20Z;2;spare\n", wanted)
    assert rows == [Reading(2, "a", 1_700_000_000.0, (2.0, 1.0))]


def test_where_the_first_line_has_no_names_they_are_given():
    assert _rows("5,1,2\n6,3,4\n", header=("t", "x", "y")) == [
        Reading(1, None, 5.0, (1.0, 2.0)),
        Reading(2, None, 6.0, (3.0, 4.0)),
    ]


def test_a_row_is_given_before_the_next_line_has_come():
    def lines():
        yield "t,x\n"
        yield "1,2\n"
        raise AssertionError("nobody asked for another line")

    assert next(read_rows(lines(), Wanted())) == Reading(2, None, 1.0, (2.0,))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,1,2", "too_few_fields"),
        ("a,1,2,x", "not_a_number"),
        ("a,1,,4", "not_a_number"),
        ("a,1,2,nan", "not_finite"),
        ("a,1,2,-inf", "not_finite"),
        ("a,yesterday,2,3", "bad_time"),
        ("a,-5,2,3", "bad_time"),
        ("a,nan,2,3", "bad_time"),
        (",1,2,3", "no_device"),
        (f"{'a' * 257},1,2,3", "no_device"),
    ],
)
def test_a_row_that_is_no_reading_is_refused_with_its_line_and_the_others_are_read(row, reason):
    before, refused, after = _rows(f"device,t,x,y\na,1,2,3\n{row}\na,2,3,4\n")
    assert isinstance(before, Reading)
    assert isinstance(after, Reading)
    assert isinstance(refused, Refusal)
    assert (refused.line, refused.reason) == (3, reason)


@pytest.mark.parametrize(
    ("header", "wanted", "reason"),
    [
        ("", Wanted(), "is empty"),
        ("time,label", Wanted(), "no column of readings"),
        ("t,x,x", Wanted(), "the column x twice"),
        ("t,x", Wanted(("x", "y")), "lacks the column y that --columns names; it has t, x"),
        ("t,x", Wanted(device="machine"), "machine that --device-column names"),
        ("t,x", Wanted(time="when"), "when that --time-column names"),
    ],
)
def test_columns_that_are_not_there_are_told(header, wanted, reason):
    with pytest.raises(SourceError, match=reason):
        _rows(header + "\n1,2\n", wanted)


@given(st.text(max_size=200))
def test_any_text_is_rows_or_is_told(text):
    try:
        for row in _rows(text):
            assert isinstance(row, Reading | Refusal)
    except SourceError:
        pass
