"""What no network can be made of ends in one line, with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_model.data.readings import ReadingsError, load_readings
from tests.hybrid_model.data.readings.tables import header, rows_of, several, write

pytest.importorskip("pyarrow")


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(ReadingsError) as caught:
        load_readings(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert "no such file or folder" in refused(tmp_path / "none.csv")


def test_a_folder_without_files_of_readings(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert "holds no file of readings" in refused(tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    assert "is empty; the first line has to name the columns" in refused(tmp_path / "a.csv")


def test_a_header_only(tmp_path: Path) -> None:
    assert "holds a header and no readings" in refused(write(tmp_path / "a.csv", []))


def test_an_empty_line_in_place_of_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", several(6))
    path.write_bytes(b"\n" + path.read_bytes())
    assert "the first line is empty" in refused(path)


def test_a_quotation_mark_too_many(tmp_path: Path) -> None:
    rows = several(6)
    rows[50][2] = '"' + rows[50][2]
    assert "a.csv" in refused(write(tmp_path / "a.csv", rows))


def test_numbers_in_place_of_a_header(tmp_path: Path) -> None:
    assert "the first line is numbers" in refused(write(tmp_path / "a.csv", [["1", "2"]], names=["0.5", "1.5"]))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\x00\x01\x02" * 100)
    assert "is no text" in refused(tmp_path / "a.csv")


def test_a_parquet_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing else")
    assert "is no Parquet file" in refused(tmp_path / "a.parquet")


def test_no_column_of_labels(tmp_path: Path) -> None:
    message = refused(write(tmp_path / "a.csv", several(6), names=["device", "time", "state", "c0", "c1", "c2"]))
    assert "has no column 'label' (there are 'device', 'time', 'state'" in message
    assert "--label-column" in message


def test_a_column_that_is_named_and_not_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", several(6))
    assert "no column 'who'" in refused(path, device="who")
    assert "no column 'c7'" in refused(path, channels=["c0", "c7"])


def test_no_times_and_no_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", several(6), names=["device", "moment", "label", "c0", "c1", "c2"])
    assert "--rate-hz" in refused(path, channels=["c0"])
    assert load_readings(path, channels=["c0"], rate_hz=50).dataset.rate_hz == 50


def test_a_file_that_lacks_a_column_of_the_others(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", several(6))
    write(tmp_path / "b.csv", [row[:-1] for row in several(1)], names=header(2))
    assert "b.csv: has no column 'c2', as other files" in refused(tmp_path)


def test_labels_that_are_measured_values(tmp_path: Path) -> None:
    rows = several(6)
    for number, row in enumerate(rows):
        row[2] = f"{number * 0.173:.3f}"
    message = refused(write(tmp_path / "a.csv", rows))
    assert "holds measured values" in message
    assert "predicts no number" in message


def test_a_cell_that_is_no_number_is_told_with_its_column(tmp_path: Path) -> None:
    rows = several(6)
    rows[700][4] = "broken"
    message = refused(write(tmp_path / "a.csv", rows))
    assert "'c1'" in message
    assert "'broken'" in message


def test_a_row_that_is_too_short(tmp_path: Path) -> None:
    rows = several(6)
    rows[700] = rows[700][:4]
    assert "Expected 6 columns, got 4" in refused(write(tmp_path / "a.csv", rows))


def test_bytes_of_another_encoding_far_into_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", several(8, each=1280))
    raw = path.read_bytes()
    assert len(raw) > 1 << 18
    path.write_bytes(raw + b"dev-9,1700000000,w\xe4lk,1,2,3\n")
    assert "write the file as UTF-8" in refused(path)


def test_times_that_are_none(tmp_path: Path) -> None:
    rows = several(6)
    rows[5][1] = "soon"
    assert "column 'time'" in refused(write(tmp_path / "a.csv", rows))


def test_times_that_go_back_again_and_again(tmp_path: Path) -> None:
    rows = several(6)
    np.random.default_rng(0).shuffle(rows)
    assert "sort the file by device and time" in refused(write(tmp_path / "a.csv", rows))


def test_times_that_are_too_coarse_to_tell_the_rate(tmp_path: Path) -> None:
    rows = [[row[0], row[1].partition(".")[0], *row[2:]] for row in several(6)]
    path = write(tmp_path / "a.csv", rows)
    assert "--rate-hz" in refused(path)
    own = load_readings(path, rate_hz=50)
    assert own.form.length == 128
    assert not [line for line in own.notes if "cut there" in line]


@pytest.mark.parametrize(
    ("rate_hz", "why"), [(0.0, "is no rate"), (1e9, "would be made up; give a --rate-hz up to 100")]
)
def test_a_rate_that_cannot_be(tmp_path: Path, rate_hz: float, why: str) -> None:
    assert why in refused(write(tmp_path / "a.csv", several(6)), rate_hz=rate_hz)


def test_one_class_only(tmp_path: Path) -> None:
    message = refused(write(tmp_path / "a.csv", several(6, ["run"])))
    assert "only the class 'run' has 10 windows or more" in message


def test_two_classes_of_which_one_has_three_windows(tmp_path: Path) -> None:
    message = refused(write(tmp_path / "a.csv", several(6, ["run"]) + rows_of("dev-7", ["fall"], each=260)))
    assert "class fall: 3 windows" in message


def test_one_device_that_shall_be_split_by_device(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", rows_of("pump", ["on", "off"], each=6400))
    assert "--split time" in refused(path, split="device")


def test_too_little_of_everything(tmp_path: Path) -> None:
    assert "at least 40 are needed" in refused(write(tmp_path / "a.csv", rows_of("pump", ["on", "off"], each=1000)))


def test_stretches_that_are_shorter_than_a_window(tmp_path: Path) -> None:
    rows = [row for number, row in enumerate(several(6)) if number % 100]
    message = refused(write(tmp_path / "a.csv", rows), window_s=5.12)
    assert "the longest stretch without a gap has 99" in message


def test_a_window_that_is_too_short_or_a_hop_that_is_too_long(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", several(6))
    assert "8 to 16,384 are possible" in refused(path, window_s=0.05)
    assert "--hop-s" in refused(path, hop_s=60.0)


def test_a_channel_that_is_mostly_empty(tmp_path: Path) -> None:
    rows = several(6)
    for row in rows[::2] + rows[1::4]:
        row[3] = ""
    assert "'c0' is empty in 75% of the rows" in refused(write(tmp_path / "a.csv", rows))


def test_a_channel_of_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [[*row, "x"] for row in several(6)], names=[*header(), "remark"])
    assert "holds text" in refused(path, channels=["c0", "remark"])


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", several(6), names=["device", "time", "label", "c0", "c0", "c2"])
    assert "'c0' is named twice" in refused(path)


def test_a_machine_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    path = write(tmp_path / "a.csv", several(6))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'dewpoint[train]'" in refused(path)
