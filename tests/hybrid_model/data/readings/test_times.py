"""Times: how they are written, and where readings do not follow each other."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from hybrid_model.data.readings import OwnReadings, load_readings
from hybrid_model.data.readings.times import named_unit, unit_of
from tests.hybrid_model.data.readings.tables import START_S, header, several, write

pytest.importorskip("pyarrow")


def loaded(tmp_path: Path, rows: list[list[str]], names: list[str] | None = None, **options: float) -> OwnReadings:
    return load_readings(write(tmp_path / "a.csv", rows, names=names), **options)


def with_times(rows: list[list[str]], written: str) -> list[list[str]]:
    def as_text(t: float) -> str:
        date = dt.datetime.fromtimestamp(t, dt.UTC)
        return {
            "s": f"{t:.4f}",
            "ms": f"{t * 1e3:.0f}",
            "us": f"{t * 1e6:.0f}",
            "ns": f"{t * 1e9:.0f}",
            "zone": date.isoformat(timespec="milliseconds"),
            "Z": date.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z",
            "local": date.replace(tzinfo=None).isoformat(sep=" ", timespec="milliseconds"),
        }[written]

    return [[row[0], as_text(float(row[1])), *row[2:]] for row in rows]


@pytest.mark.parametrize("written", ["s", "ms", "us", "ns", "zone", "Z", "local"])
def test_times_are_seconds_milliseconds_and_finer_or_dates(tmp_path: Path, written: str) -> None:
    own = loaded(tmp_path, with_times(several(6), written))
    assert own.dataset.rate_hz == 50.0
    assert own.sources["train"][0].endswith(f"{START_S:.3f} s")
    assert own.form.time_unit == (written if written in ("s", "ms", "us", "ns") else None)


def test_the_unit_of_times_may_be_said_or_stand_in_the_name_of_the_column(tmp_path: Path) -> None:
    rows = [[row[0], f"{(float(row[1]) - START_S) * 1e3:.0f}", *row[2:]] for row in several(6)]
    assert loaded(tmp_path, rows, time_unit="ms").dataset.rate_hz == 50.0
    assert any("times are no dates: read as seconds" in line for line in loaded(tmp_path, rows).notes)
    own = loaded(tmp_path, rows, ["device", "t_ms", *header()[2:]], time="t_ms")
    assert own.dataset.rate_hz == 50.0
    assert (named_unit("t_ms"), named_unit("ms"), named_unit("elapsed_ns")) == ("ms", None, "ns")
    assert [unit_of(1.7 * 10**power) for power in (0, 9, 12, 15, 18)] == ["s", "s", "ms", "us", "ns"]


def test_rates_that_no_clock_tick_fits_are_measured_over_many_readings(tmp_path: Path) -> None:
    rows = several(6, period_s=1 / 60)
    rows = [[row[0], f"{round(float(row[1]), 3):.3f}", *row[2:]] for row in rows]
    assert loaded(tmp_path, rows).dataset.rate_hz == pytest.approx(60, rel=1e-3)


def test_a_gap_begins_a_window_afresh_and_is_counted(tmp_path: Path) -> None:
    rows = several(6)
    for row in rows[1000:]:
        row[1] = f"{float(row[1]) + 60:.4f}" if row[0] == rows[1000][0] else row[1]
    own = loaded(tmp_path, rows)
    assert "1 gaps of more than 1.5 periods: cut there" in own.notes


def test_times_that_go_back_cut(tmp_path: Path) -> None:
    rows = several(6)
    again = [[row[0], row[1], row[2], *("9", "9", "9")] for row in rows[:200]]
    own = loaded(tmp_path, rows + again)
    assert any("times go back 1 times" in line for line in own.notes)


def test_readings_that_come_twice_are_taken_once(tmp_path: Path) -> None:
    rows = several(6)
    own, plain = loaded(tmp_path, [*rows[:500], rows[499], *rows[500:]]), loaded(tmp_path, rows)
    assert any(line.startswith("1 readings come twice") for line in own.notes)
    assert own.digests == plain.digests


def test_two_readings_of_one_time_cut(tmp_path: Path) -> None:
    rows = several(6)
    rows[500][1] = rows[499][1]
    own = loaded(tmp_path, rows)
    assert any(line.startswith("1 readings have the time of the one before") for line in own.notes)


def test_a_reading_without_a_value_cuts(tmp_path: Path) -> None:
    rows = several(6)
    rows[500][3], rows[900][4], rows[901][5], rows[1000][1], rows[1001][1] = "", "NaN", "inf", "", "NaN"
    own = loaded(tmp_path, rows)
    assert any(line.startswith("5 of 11,520 readings lack a value") for line in own.notes)
    assert all(np.isfinite(own.dataset.split(split).x).all() for split in ("train", "test"))


def test_irregular_times_are_interpolated_at_the_median_rate_and_that_is_told(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = []
    for number in range(6):
        for label, slope in (("up", 1.0), ("down", -1.0)):
            t = START_S + (0 if label == "up" else 200) + np.cumsum(random.exponential(0.02, 6400))
            rows += [[f"d{number}", f"{at:.6f}", label, f"{slope * (at - t[0]):.6f}"] for at in t]
    own = loaded(tmp_path, rows, header(1))
    assert own.form.resampled
    assert any(line.startswith("readings are interpolated to") and "far from the median" in line for line in own.notes)
    up = own.dataset.train.x[own.dataset.train.y == own.dataset.classes.index("up"), 0, :, 0]
    np.testing.assert_allclose(np.diff(up, axis=1), 1 / own.form.rate_hz, atol=2e-4)


def test_devices_of_different_rates_are_brought_to_the_lowest(tmp_path: Path) -> None:
    rows = several(5) + [row for row in several(6, period_s=1 / 200, each=2560) if row[0] == "dev-5"]
    own = loaded(tmp_path, rows)
    assert own.form.resampled
    assert own.dataset.rate_hz == 50.0
    assert any("devices have rates from 50 to 200 Hz" in line for line in own.notes)


def test_a_rate_that_is_asked_for_is_made(tmp_path: Path) -> None:
    own = loaded(tmp_path, several(6, each=1280), rate_hz=25.0)
    assert (own.form.resampled, own.dataset.rate_hz, own.form.length) == (True, 25.0, 64)


def test_what_swings_faster_than_the_new_rate_can_tell_does_not_come_back_as_something_slower(tmp_path: Path) -> None:
    rows = []
    for number in range(6):
        for label, size in (("still", 0.0), ("buzz", 1.0)):
            for at in range(12800):
                value = size * np.sin(2 * np.pi * 99.0 * at / 200 + number)
                rows.append([f"d{number}", f"{START_S + len(rows) / 200:.4f}", label, f"{value:.5f}"])
    own = loaded(tmp_path, rows, header(1), rate_hz=50.0)
    assert np.abs(own.dataset.train.x).max() < 0.1
