"""`dewpoint try`: files are answered as the pipeline would answer them, without brokers."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.runtime import EdgeEngine
from services.cli import app
from services.cli.trial import FileReader, Halves
from services.cli.trial import answers as answers_module
from services.cli.views import try_view


def run(*arguments: object) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["try", *map(str, arguments)], catch_exceptions=False)
    return ended.exit_code, " ".join(ended.output.split())


def figures(folder: Path, *arguments: object, status: int = 0) -> list[dict[str, Any]]:
    written = folder / "answers.json"
    ended, text = run(*arguments, "--json", written)
    assert ended == status, text
    found: list[dict[str, Any]] = json.loads(written.read_text())
    return found


def picture(path: Path, pixels: np.ndarray[Any, Any], side: int | None = None) -> Path:
    image = Image.fromarray(pixels[:, :, 0])
    (image if side is None else image.resize((side, side))).save(path)
    return path


@pytest.fixture(scope="module")
def digits() -> np.ndarray[Any, Any]:
    return data.load("digits", progress=False).test.x


def table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def readings(count: int, *, seed: int = 0) -> list[list[float]]:
    values = np.random.default_rng(seed).normal(size=(count, 9)).astype(np.float32)
    return [[float(value) for value in row] for row in values]


CHANNELS = bundle_file.load(bundle_file.resolve("har")).manifest.input.channels or ()


def test_pictures_are_answered_as_both_halves_answer_them(tmp_path, digits):
    files = [picture(tmp_path / f"{n}.png", digits[n]) for n in range(12)]
    found = figures(tmp_path, "digits", *files)
    loaded = bundle_file.load(bundle_file.resolve("digits"), cloud=True)
    said = EdgeEngine(loaded).infer(digits[:12])
    classes, confidence = CloudHalf(loaded).infer([one for one in said.features if one is not None])
    assert [one["source"] for one in found] == [str(path) for path in files]
    assert [one["exit"] for one in found] == [int(n) if n >= 0 else None for n in said.exit_index]
    assert {0, None} == {one["exit"] for one in found}
    assert [one["class"] for one in found if one["exit"] is None] == classes.tolist()
    assert [one["confidence"] for one in found if one["exit"] is None] == pytest.approx(confidence.tolist())
    assert [one["class"] for one in found if one["exit"] == 0] == said.class_index[said.exit_index >= 0].tolist()
    assert all(list(one) == ["source", "class", "label", "confidence", "exit"] for one in found)
    assert all(one["label"] == str(one["class"]) for one in found)


def test_people_see_a_table(tmp_path, digits):
    status, text = run("digits", picture(tmp_path / "a.png", digits[0]))
    assert status == 0
    assert "exit 0" in text
    assert "in domain" in text


def test_a_picture_of_another_size_is_refused_as_the_edge_worker_refuses_it(tmp_path, digits):
    status, text = run("digits", picture(tmp_path / "large.png", digits[0], side=64))
    assert status == 1
    assert "wrong_shape: 64 x 64 instead of 8 x 8" in text
    assert "--fit resize" in text


def test_it_is_scaled_where_that_is_asked_for(tmp_path, digits):
    assert figures(tmp_path, "digits", picture(tmp_path / "large.png", digits[0], side=64), "--fit", "resize")


def test_a_network_of_own_pictures_takes_pictures_of_any_size_and_says_so(tmp_path, digits):
    loaded = bundle_file.load(bundle_file.resolve("digits"), cloud=True)
    own = loaded.manifest.to_json() | {"split_files": {"kind": "pictures", "digests": {"train": ""}}}
    bundle_file.save(tmp_path / "own.dew", own, loaded.edge, loaded.cloud)
    large = picture(tmp_path / "large.png", digits[0], side=64)
    status, text = run(tmp_path / "own.dew", large)
    assert status == 0
    assert "scaled to 8 x 8" in text
    assert run(tmp_path / "own.dew", large, "--fit", "exact")[0] == 1


def test_a_broken_file_is_told_and_the_others_are_answered(tmp_path, digits):
    good = picture(tmp_path / "good.png", digits[0])
    broken = tmp_path / "broken.png"
    broken.write_bytes(good.read_bytes()[:60])
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(5 << 20))
    found = figures(tmp_path, "digits", broken, tmp_path / "missing.png", tmp_path, large, good, status=1)
    assert [one["source"] for one in found] == [str(good)]
    _, text = run("digits", broken, tmp_path / "missing.png", tmp_path, large, good)
    for told in ("bad_image", "No such file or directory", "is a folder", "oversized: 5,242,880 bytes"):
        assert told in text


def test_without_torch_the_edge_answers_and_tells_what_would_rise(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(
        answers_module, "find_spec", lambda name: None if name == "torch" else importlib.util.find_spec(name)
    )
    files = [picture(tmp_path / f"{n}.png", digits[n]) for n in range(12)]
    found = figures(tmp_path, "digits", *files)
    said = EdgeEngine(bundle_file.load(bundle_file.resolve("digits"))).infer(digits[:12])
    assert [one["class"] for one in found] == said.class_index.tolist()
    assert [one.get("provisional", False) for one in found] == (said.exit_index < 0).tolist()
    _, text = run("digits", *files)
    assert "would rise" in text
    assert "dewpoint[cloud]" in text


def test_rows_become_windows_by_the_edge_workers_rule(tmp_path):
    rows = readings(300)
    found = figures(tmp_path, "har", table(tmp_path / "rows.csv", CHANNELS, rows), "--hop", 64)
    assert [one["source"].rpartition(":")[2] for one in found] == ["1-128", "65-192", "129-256"]
    windows = np.array([rows[start : start + 128] for start in (0, 64, 128)], dtype=np.float32)[:, np.newaxis]
    said = EdgeEngine(bundle_file.load(bundle_file.resolve("har"))).infer(windows)
    assert [one["exit"] for one in found] == [int(n) if n >= 0 else None for n in said.exit_index]


def test_columns_are_found_by_name_and_others_left_out(tmp_path):
    rows = readings(128)
    straight = figures(tmp_path, "har", table(tmp_path / "a.csv", CHANNELS, rows))
    turned = [[*reversed(row), "walking"] for row in rows]
    path = table(tmp_path / "b.csv", [*reversed(CHANNELS), "label"], turned, delimiter=";")
    assert [one["confidence"] for one in figures(tmp_path, "har", path)] == [one["confidence"] for one in straight]
    assert "left out: label" in run("har", path)[1]


def test_each_device_has_windows_of_its_own(tmp_path):
    one, other = readings(128, seed=1), readings(128, seed=2)
    mixed = [["pump", *a] for a in one] + [["fan", *b] for b in other[:100]]
    found = figures(tmp_path, "har", table(tmp_path / "rows.csv", ["device", *CHANNELS], mixed))
    assert [each["source"].rpartition("rows.csv:")[2] for each in found] == ["pump:1-128"]


def test_columns_have_the_names_that_the_training_files_gave_them(tmp_path):
    har = bundle_file.load(bundle_file.resolve("har"), cloud=True)
    told = {**har.manifest.provenance, "readings": {"device": "machine", "time": "when"}}
    bundle_file.save(tmp_path / "own.dew", har.manifest.model_copy(update={"provenance": told}), har.edge, har.cloud)
    one, other = readings(128, seed=1), readings(128, seed=2)
    mixed = [row for n, (a, b) in enumerate(zip(one, other, strict=True)) for row in (
        ["pump", 1.7e9 + 0.02 * n, *a], ["fan", 1.7e9 + 0.02 * n, *b]
    )]  # fmt: skip
    path = table(tmp_path / "rows.csv", ["machine", "when", *CHANNELS], mixed)
    found = figures(tmp_path, tmp_path / "own.dew", path)
    assert sorted(each["source"].rpartition("rows.csv:")[2].partition(":")[0] for each in found) == ["fan", "pump"]


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e9], ids=["s", "ms", "ns"])
def test_a_gap_in_the_times_begins_a_new_window(tmp_path, unit):
    times = [1.7e9 + 0.02 * n + (60.0 if n >= 100 else 0.0) for n in range(228)]
    rows = [[f"{time * unit:.3f}", *row] for time, row in zip(times, readings(228), strict=True)]
    path = table(tmp_path / "rows.csv", ["time", *CHANNELS], rows)
    found = figures(tmp_path, "har", path)
    assert [one["source"].rpartition(":")[2] for one in found] == ["101-228"]
    assert "1 windows were given up" in run("har", path)[1]


def test_times_may_be_dates(tmp_path):
    rows = [[f"2026-01-02T03:04:{n / 50:09.6f}Z", *row] for n, row in enumerate(readings(128))]
    assert len(figures(tmp_path, "har", table(tmp_path / "rows.csv", ["time", *CHANNELS], rows))) == 1


def test_a_row_that_is_no_reading_is_told_and_costs_its_window(tmp_path):
    rows: list[list[object]] = [list(row) for row in readings(300)]
    rows[10][3] = "n/a"
    path = table(tmp_path / "rows.csv", CHANNELS, rows)
    found = figures(tmp_path, "har", path, status=1)
    assert [one["source"].rpartition(":")[2] for one in found] == ["12-139", "140-267"]
    assert "row 11: bad_field" in run("har", path)[1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "lacks the columns body_acc_x"),
        (",".join(CHANNELS) + "\n" + ",".join("0" * 9) + "\n", "1 rows, and a window takes 128"),
        (",".join(CHANNELS) + "\n\x001,2\n", "row 1"),
    ],
)
def test_a_table_that_makes_no_window_says_why(tmp_path, content, reason):
    path = tmp_path / "rows.csv"
    path.write_text(content)
    status, text = run("har", path)
    assert status == 1
    assert reason in text


def test_readings_that_come_too_slowly_are_told_apart_from_too_few(tmp_path):
    rows = [[1e9 + n, *row] for n, row in enumerate(readings(300))]
    assert "every 0.02 s" in run("har", table(tmp_path / "rows.csv", ["time", *CHANNELS], rows))[1]


def test_a_file_of_the_other_kind_is_refused(tmp_path, digits):
    assert "takes windows of readings" in run("har", picture(tmp_path / "a.png", digits[0]))[1]
    assert "takes pictures" in run("digits", table(tmp_path / "a.csv", CHANNELS, []))[1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("digits", "a.png", "--fit", "crop"), "take exact or resize"),
        (("har", "a.csv", "--hop", "1000"), "window.hop 1000 is greater than the length 128"),
        (("nothing", "a.png"), "no such file and no shipped bundle"),
        (("digits", "a.png", "--json", "no/such/folder/a.json"), "its folder does not exist"),
    ],
)
def test_a_mistake_is_told_with_exit_status_2(arguments, reason):
    status, text = run(*arguments)
    assert status == 2
    assert reason in text


def test_names_cannot_steer_the_terminal(tmp_path, digits):
    path = picture(tmp_path / "a\x1b[31m[red].png", digits[0])
    halves = Halves(bundle_file.resolve("digits"))
    [answer] = halves.answer(FileReader(halves.manifest).read(path).samples)
    assert "\x1b" not in try_view.plain(answer.source)
    assert run("digits", path)[0] == 0
