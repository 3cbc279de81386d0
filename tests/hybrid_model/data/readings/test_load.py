"""Files of readings become windows, divided by device; what was decided on the way is told."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from hybrid_model.data import SPLITS
from hybrid_model.data.readings import OwnReadings, load_readings
from tests.hybrid_model.data.readings.tables import START_S, header, rows_of, several, signal, write

pa = pytest.importorskip("pyarrow")


def devices_of(own: OwnReadings, split: str) -> set[str]:
    return {source.partition(",")[0] for source in own.sources[split]}


def told(own: OwnReadings, what: str) -> str:
    lines = [line for line in own.notes if what in line]
    assert lines, f"{what!r} is not told in {own.notes}"
    return lines[0]


def test_a_table_becomes_windows_of_its_channels_and_classes(tmp_path: Path) -> None:
    own = load_readings(write(tmp_path / "gym.csv", several(8)))
    data = own.dataset
    assert (data.name, data.kind, data.classes) == ("gym", "sensor", ("rest", "run", "walk"))
    assert (data.channels, data.rate_hz, data.hop) == (("c0", "c1", "c2"), 50.0, 64)
    assert data.train.x.shape[1:] == (1, 128, 3)
    assert data.train.x.dtype == np.float32
    assert own.form.length == 128


def test_a_window_is_the_readings_of_the_file_to_the_last_bit(tmp_path: Path) -> None:
    own = load_readings(write(tmp_path / "gym.csv", several(8)))
    at = next(number for number, source in enumerate(own.sources["train"]) if f", {START_S:.3f} s" in source)
    device = own.sources["train"][at].partition(",")[0]
    expected = signal("run", 640, seed=sum(device.encode())).astype(np.float32)[:128]
    np.testing.assert_array_equal(own.dataset.train.x[at, 0], expected)


def test_whole_devices_are_set_aside(tmp_path: Path) -> None:
    own = load_readings(write(tmp_path / "gym.csv", several(10)))
    sets = [devices_of(own, split) for split in SPLITS]
    assert [len(one) for one in sets] == [6, 1, 1, 2]
    assert len(set().union(*sets)) == 10
    assert own.form.split_by == "device"
    told(own, "split by device")


def test_rows_of_devices_may_be_mixed(tmp_path: Path) -> None:
    rows = several(8)
    mixed = sorted(rows, key=lambda row: (row[1], row[0]))
    apart, together = (
        load_readings(write(tmp_path / name, some)) for name, some in (("a.csv", rows), ("b.csv", mixed))
    )
    for split in SPLITS:
        np.testing.assert_array_equal(
            np.sort(apart.dataset.split(split).x.sum(axis=(1, 2, 3))),
            np.sort(together.dataset.split(split).x.sum(axis=(1, 2, 3))),
        )


@pytest.mark.parametrize("count", [2, 4])
def test_few_devices_leave_one_for_the_test_and_tune_on_the_end_of_the_others(tmp_path: Path, count: int) -> None:
    own = load_readings(write(tmp_path / "gym.csv", several(count, each=3200)))
    assert len(devices_of(own, "test")) == 1
    assert devices_of(own, "test").isdisjoint(devices_of(own, "train"))
    assert devices_of(own, "tuning") == devices_of(own, "train")
    told(own, "none can be set aside")


def test_one_device_is_split_by_time_with_a_window_between(tmp_path: Path) -> None:
    own = load_readings(write(tmp_path / "one.csv", rows_of("pump", ["on", "off"], each=6400)))
    told(own, "there is one device")
    assert own.form.split_by == "time"
    spans = sorted(
        (float(source.split(", ")[1].removesuffix(" s")), split) for split in SPLITS for source in own.sources[split]
    )
    window_s = own.form.length / own.form.rate_hz
    for (before_s, before), (after_s, after) in itertools.pairwise(spans):
        if before != after:
            assert after_s - before_s >= 2 * window_s - 1e-3, f"{before} and {after} are too near"
    for split in SPLITS:
        assert set(own.dataset.split(split).y) == {0, 1}


def test_where_each_class_has_a_device_of_its_own_time_divides(tmp_path: Path) -> None:
    rows = [row for label in ("good", "worn", "broken") for row in rows_of(f"pump-{label}", [label], each=3200)]
    own = load_readings(write(tmp_path / "pumps.csv", rows))
    told(own, "most classes were recorded with one device each")
    assert set(own.dataset.test.y) == {0, 1, 2}


def test_a_class_that_one_device_has_is_trained_and_its_lack_in_the_test_is_told(tmp_path: Path) -> None:
    rows = several(8) + rows_of("dev-rare", ["run", "walk", "rest", "fall"], each=1280)
    own = load_readings(write(tmp_path / "gym.csv", rows))
    assert "dev-rare" in devices_of(own, "train")
    assert "fall" in told(own, "the test split has no windows of")


def test_windows_in_which_labels_change_are_left_out_and_counted(tmp_path: Path) -> None:
    own = load_readings(write(tmp_path / "gym.csv", several(8, each=650)))
    assert told(own, "labels change within them").startswith("32 windows")


def test_readings_without_a_label_teach_nothing(tmp_path: Path) -> None:
    rows = several(8)
    for row in rows[:128]:
        row[2] = ""
    own = load_readings(write(tmp_path / "gym.csv", rows))
    assert told(own, "have no label").startswith("2 windows")


def test_a_class_may_be_called_none(tmp_path: Path) -> None:
    own = load_readings(write(tmp_path / "gym.csv", several(8, ["None", "NA", "walk"])))
    assert own.dataset.classes == ("NA", "None", "walk")


def test_a_folder_is_read_file_by_file_and_a_file_is_a_device_where_no_column_says_so(tmp_path: Path) -> None:
    for number in range(7):
        rows = [row[1:] for row in rows_of(f"dev-{number}", ["run", "walk"])]
        write(tmp_path / f"person{number}.csv", rows, names=header()[1:])
    (tmp_path / "README.txt").write_text("no readings\n")
    own = load_readings(tmp_path)
    assert set().union(*(devices_of(own, split) for split in SPLITS)) == {f"person{number}" for number in range(7)}
    told(own, "each file is one")


def test_other_columns_may_be_named_and_channels_chosen(tmp_path: Path) -> None:
    names = ["who", "when", "what", "c0", "c1", "c2"]
    path = write(tmp_path / "gym.csv", several(8), names=names)
    own = load_readings(path, device="who", time="when", label="what", channels=["c2", "c0"])
    assert own.dataset.channels == ("c2", "c0")


def test_parquet_gives_the_same_windows_as_csv(tmp_path: Path) -> None:
    from pyarrow import csv, parquet

    path = write(tmp_path / "gym.csv", several(8))
    parquet.write_table(csv.read_csv(path), tmp_path / "gym.parquet")
    with gzip.open(tmp_path / "gym.csv.gz", "wb") as packed:
        packed.write(path.read_bytes())
    first, *others = (load_readings(tmp_path / f"gym.{end}") for end in ("csv", "parquet", "csv.gz"))
    for other in others:
        assert other.digests == first.digests
        for split in SPLITS:
            assert other.dataset.fingerprint(split) == first.dataset.fingerprint(split)


@pytest.mark.parametrize("channels", [1, 20])
@pytest.mark.parametrize("window_s", [0.16, 0.5, None])
def test_any_number_of_channels_and_short_windows_work(tmp_path: Path, channels: int, window_s: float | None) -> None:
    path = write(tmp_path / "a.csv", several(8, channels=channels), names=header(channels))
    own = load_readings(path, window_s=window_s)
    assert own.dataset.train.x.shape[3] == channels
    assert own.dataset.train.x.shape[2] == {0.16: 8, 0.5: 24, None: 128}[window_s]


def test_fifty_classes_work(tmp_path: Path) -> None:
    labels = [f"gesture-{number}" for number in range(50)]
    own = load_readings(write(tmp_path / "a.csv", several(6, labels, each=200, channels=1), names=header(1)))
    assert len(own.dataset.classes) == 50
    assert own.form.length == 64
    told(own, "labels stay the same for 200 readings")


def test_semicolons_and_decimal_commas_are_understood_and_told(tmp_path: Path) -> None:
    rows = several(8)
    plain = load_readings(write(tmp_path / "plain.csv", rows))
    comma = [[cell.replace(".", ",") for cell in row] for row in rows]
    own = load_readings(write(tmp_path / "german.csv", comma, delimiter=";"))
    assert "','" in told(own, "columns are separated by ';'")
    assert own.digests == plain.digests


def test_a_file_that_is_no_utf8_is_read_as_windows_1252_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", several(8), names=["device", "time", "label", "Öl °C", "c1", "c2"])
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    own = load_readings(path)
    assert own.dataset.channels == ("Öl °C", "c1", "c2")
    told(own, "read as cp1252")


def test_columns_of_text_and_counters_are_no_channels(tmp_path: Path) -> None:
    rows = [[*row, "a note", str(number)] for number, row in enumerate(several(8))]
    own = load_readings(write(tmp_path / "a.csv", rows, names=[*header(), "remark", "number"]))
    assert own.dataset.channels == ("c0", "c1", "c2")
    assert "'remark'" in told(own, "no channels")
    told(own, "'number' counts rows")


def test_a_constant_channel_is_told(tmp_path: Path) -> None:
    rows = [[*row, "7"] for row in several(8)]
    own = load_readings(write(tmp_path / "a.csv", rows, names=[*header(), "still"]))
    assert "'still'" in told(own, "is constant")


def test_a_class_with_three_windows_is_left_out_and_told(tmp_path: Path) -> None:
    rows = several(8) + rows_of("dev-0", ["fall"], each=260)
    own = load_readings(write(tmp_path / "a.csv", rows))
    assert own.dataset.classes == ("rest", "run", "walk")
    (left,) = own.left_out
    assert left.source == "class fall"
    assert left.reason.startswith("3 windows, at least 10")


def test_a_copy_of_a_recording_is_left_out_so_that_it_cannot_judge_what_it_trained(tmp_path: Path) -> None:
    for number in range(7):
        write(tmp_path / f"person{number}.csv", [row[1:] for row in rows_of(f"d{number}", ["run", "walk"])],
              names=header()[1:])  # fmt: skip
    (tmp_path / "person1 (copy).csv").write_bytes((tmp_path / "person1.csv").read_bytes())
    own = load_readings(tmp_path)
    assert [one.reason for one in own.left_out] == ["a copy of a recording of person1 (copy)"]


def test_labels_that_are_whole_numbers_are_in_their_order(tmp_path: Path) -> None:
    own = load_readings(write(tmp_path / "a.csv", several(8, ["10.0", "9.0", "2.0"])))
    assert own.dataset.classes == ("2", "9", "10")
