"""`dewpoint train --data readings.csv`: from a file to a bundle that an edge worker takes, judged by what is left."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.data.readings import load_readings
from hybrid_model.evaluation.held_out import held_out_readings
from services.cli import app
from services.edge.ingest.decoding import payload_kind
from services.edge.ingest.decoding.kind import ReadingKind
from services.edge.ingest.windows import window_rule
from services.edge.window import WindowRule, WindowState, advance
from services.settings import InputSettings, LimitSettings
from tests.hybrid_model.data.readings.tables import rows_of, several, write

pytest.importorskip("pyarrow")

LABELS = ("run", "walk", "rest")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A bundle of eight devices, and of one whose time was divided."""
    folder = tmp_path_factory.mktemp("own")
    files = {
        "gym": write(folder / "gym.csv", several(8, LABELS)),
        "pump": write(folder / "pump.csv", rows_of("pump", ["on", "off"], each=6400)),
    }
    found: dict[str, Any] = {"folder": folder}
    for name, path in files.items():
        told = run(
            "train", "--data", path, "--out", folder / f"{name}.dew", "--checkpoints", folder / "checkpoints",
            "--minutes", 0.1, "--device", "cpu", "--json", folder / f"{name}.json",
        )  # fmt: skip
        assert told.exit_code == 0, told.output
        found |= {name: path, f"{name}.dew": folder / f"{name}.dew", f"{name} told": " ".join(told.output.split())}
    return found


def test_what_was_read_and_chosen_is_told_with_its_reasons(trained: dict[str, Any]) -> None:
    told = trained["gym told"]
    assert "gym: 3 classes, 3 channels; windows:" in told
    assert "split by device" in told
    assert "- window: 128 readings, 2.56 s (one every 64 readings)" in told
    assert "window = { length = 128, hop = 64 }" in told
    assert "The values of a row, in this order: c0, c1, c2" in told
    figures = json.loads((trained["folder"] / "gym.json").read_text())
    assert {choice["name"] for choice in figures["choices"]} >= {"window", "widths", "epochs", "augmentation"}


def test_the_bundle_says_what_its_input_is_and_what_it_was_made_of(trained: dict[str, Any]) -> None:
    manifest = bundle_file.load(trained["gym.dew"]).manifest
    assert manifest.name == "gym"
    assert manifest.input.kind == "sensor"
    assert manifest.input.channels == ("c0", "c1", "c2")
    assert manifest.input.rate_hz == 50.0
    assert manifest.split_files is not None
    assert manifest.split_files.kind == "readings"
    assert set(manifest.split_files.digests) == {"train", "tuning", "calibration", "test"}
    assert manifest.provenance["readings"]["hop"] == 64


@pytest.mark.parametrize("name", ["gym", "pump"])
def test_evaluate_scores_the_test_split_of_the_file_that_was_trained_with(trained: dict[str, Any], name: str) -> None:
    manifest = bundle_file.load(trained[f"{name}.dew"]).manifest
    found, notes = held_out_readings(manifest, trained[name])
    own = load_readings(trained[name])
    assert found.fingerprint("test") == own.dataset.fingerprint("test")
    assert any("the network was trained or tuned with" in line for line in notes)
    judged = run("evaluate", trained[f"{name}.dew"], "--data", trained[name], "--json", trained["folder"] / "e.json")
    assert judged.exit_code == 0, judged.output
    figures = json.loads((trained["folder"] / "e.json").read_text())
    assert figures["samples"] == len(own.dataset.test)
    assert figures["accuracy"]["full_precision_twin"] is not None


def test_a_recording_that_was_trained_with_is_known_in_another_file_under_another_name(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    own = load_readings(trained["gym"])
    device = own.sources["train"][0].partition(",")[0]
    old = [["renamed", *row[1:]] for row in several(8, LABELS) if row[0] == device]
    extended = old + [[row[0], f"{float(row[1]) + 38.4:.4f}", *row[2:]] for row in old[:200]]
    fresh = rows_of("somebody", LABELS)
    manifest = bundle_file.load(trained["gym.dew"]).manifest
    found, _ = held_out_readings(manifest, write(tmp_path / "later.csv", extended + fresh))
    assert len(found.test) == len(held_out_readings(manifest, write(tmp_path / "new.csv", fresh))[0].test) > 0


def test_where_nothing_is_left_evaluate_says_so_in_one_line(trained: dict[str, Any], tmp_path: Path) -> None:
    own = load_readings(trained["gym"])
    device = own.sources["train"][0].partition(",")[0]
    path = write(tmp_path / "old.csv", [row for row in several(8, LABELS) if row[0] == device])
    ended = run("evaluate", trained["gym.dew"], "--data", path)
    assert ended.exit_code == 2
    assert "no window is left to judge by" in ended.output
    assert f"trained or tuned with {device}" in " ".join(ended.output.split())


def test_readings_of_another_rate_are_brought_to_that_of_the_network(trained: dict[str, Any], tmp_path: Path) -> None:
    manifest = bundle_file.load(trained["gym.dew"]).manifest
    fast = write(tmp_path / "fast.csv", rows_of("new", LABELS, each=2560, period_s=0.01))
    found, notes = held_out_readings(manifest, fast)
    assert found.test.x.shape[1:] == (1, 128, 3)
    assert any("interpolated to the network's 50 Hz" in line for line in notes)


def test_classes_that_the_network_does_not_know_are_left_out(trained: dict[str, Any], tmp_path: Path) -> None:
    manifest = bundle_file.load(trained["gym.dew"]).manifest
    _, notes = held_out_readings(manifest, write(tmp_path / "a.csv", rows_of("new", ["run", "swim"])))
    assert any("does not know their classes" in line for line in notes)


def test_a_network_of_other_data_is_not_judged_by_readings(trained: dict[str, Any]) -> None:
    ended = run("evaluate", "digits", "--data", trained["gym"])
    assert ended.exit_code == 2
    assert "was not trained with own readings" in " ".join(ended.output.split())


def test_an_edge_worker_makes_the_windows_that_were_trained_with(trained: dict[str, Any]) -> None:
    """By the bundle's own input, with the hop that was told: decoded from JSON, and joined."""
    manifest = bundle_file.load(trained["gym.dew"]).manifest
    settings = InputSettings(kind="sensor", window={"hop": 64})
    kind, rule = payload_kind(manifest.input, settings, LimitSettings()), window_rule(settings, manifest.input)
    assert isinstance(kind, ReadingKind)
    assert isinstance(rule, WindowRule)
    states: dict[str, WindowState] = {}
    made = []
    with trained["gym"].open() as file:
        for row in csv.DictReader(file):
            values = ",".join(row[name] for name in manifest.input.channels or ())
            readings = kind.readings(f'{{"t": {row["time"]}, "values": [{values}]}}'.encode())
            step = advance(states.get(row["device"], WindowState.empty(3)), readings, rule)
            states[row["device"]] = step.state
            made += [window.rows.tobytes() for window in step.windows]
    own = load_readings(trained["gym"])
    for split in ("train", "tuning", "calibration", "test"):
        windows = {x.tobytes() for x in own.dataset.split(split).x}
        assert windows <= set(made), split
    assert len(made) - sum(len(own.sources[split]) for split in own.sources) == 8 * 2  # labels change in those


def test_a_bundle_is_calibrated_anew_with_the_readings_that_it_was_trained_with(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    asked = ("calibrate", trained["gym.dew"], "--edge-share", 0.5, "--out", tmp_path / "half.dew", "--data")
    ended = run(*asked, trained["gym"])
    assert ended.exit_code == 0, ended.output
    before, after = (bundle_file.load(path).manifest for path in (trained["gym.dew"], tmp_path / "half.dew"))
    assert after.network_id == before.network_id
    assert after.split_files == before.split_files
    assert after.calibration is not None
    assert after.calibration.chosen_by == {"edge_share": 0.5}
    ended = run(*asked, write(tmp_path / "other.csv", several(9, LABELS)))
    assert ended.exit_code == 2
    assert "are not those that gym was trained with" in " ".join(ended.output.split())


def test_a_file_that_cannot_be_read_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    ended = run("train", "--data", tmp_path / "a.csv", "--out", tmp_path / "a.dew")
    assert ended.exit_code == 2
    assert "is empty" in ended.output


def test_train_wants_a_recipe_or_data(tmp_path: Path) -> None:
    ended = run("train", "--out", tmp_path / "a.dew")
    assert ended.exit_code == 2
    assert "give either a RECIPE or --data" in ended.output


@pytest.mark.long
def test_a_demonstration_runs_with_own_readings(trained: dict[str, Any], tmp_path: Path) -> None:
    ended = run(
        "demo", "--data", trained["gym"], "--bundle", trained["gym.dew"], "--frames", 60, "--devices", 2,
        "--no-console", "--json", tmp_path / "demo.json",
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    figures = json.loads((tmp_path / "demo.json").read_text())
    assert (figures["labels_final"], figures["lost"]) == (60, 0)


@pytest.mark.long
@pytest.mark.data
@pytest.mark.timeout(1800)
def test_people_that_were_not_seen_are_understood_with_defaults_in_ten_minutes(tmp_path: Path) -> None:
    """UCI HAR as a table: nine channels at 50 Hz, stretches of each person one after the other."""
    path, out = people(tmp_path / "people.csv"), tmp_path / "people.dew"
    assert (
        run("train", "--data", path, "--out", out, "--checkpoints", tmp_path / "runs", "--device", "cpu").exit_code == 0
    )
    assert run("evaluate", out, "--data", path, "--json", tmp_path / "figures.json").exit_code == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["samples"] == 2096
    assert figures["accuracy"]["hybrid"] >= 0.93


def people(path: Path) -> Path:
    har = data.load("har")
    clock = dict.fromkeys(range(1, 31), 1_700_000_000.0)
    rows = []
    for split in (har.split(name) for name in data.SPLITS):
        assert split.segment is not None
        assert split.group is not None
        for segment in np.unique(split.segment):
            here = split.segment == segment
            person, label = int(split.group[here][0]), har.classes[split.y[here][0]]
            windows = split.x[here, 0]
            for values in np.concatenate([windows[0], *windows[1:, 64:]]):
                rows.append([str(person), f"{clock[person]:.2f}", label, *(f"{value:.6f}" for value in values)])
                clock[person] += 0.02
            clock[person] += 10
    return write(path, rows, names=["subject", "time", "label", *(har.channels or ())])
