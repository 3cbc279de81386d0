"""From a folder of pictures to a bundle, and the bundle judged by the pictures that it was never trained on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model.data.pictures import survey
from hybrid_model.evaluation import digests_of
from services.servers import find_nats_server, find_redis_server
from tests.conftest import require_server
from tests.hybrid_model.drawn import folder_of, picture
from tests.services.cli.forked import ForkedCommands

SMALL = ("--minutes", "0.1", "--start", "none", "--width", "16", "--size", "32", "--device", "cpu")
COUNTS = {"flat": 60, "steep": 60}


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    with ForkedCommands(tmp_path_factory.mktemp("forked")) as forked:
        yield forked


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def trained(commands, tmp_path_factory):
    """A folder with the pictures `bars`, the bundle `bars.dew` that was trained on them, and its figures."""
    folder = tmp_path_factory.mktemp("trained")
    folder_of(folder / "bars", COUNTS)
    (folder / "bars" / "flat" / "broken.png").write_bytes(b"no picture")
    ended = commands.run(
        "train", "--data", "bars", "--out", "bars.dew", "--json", "train.json", *SMALL,
        folder=folder, environment=_environment(folder),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (folder / "told.txt").write_text(ended.stdout)
    return folder


def _evaluated(commands, trained: Path, folder: Path, pictures: Path):
    ended = commands.run(
        "evaluate", str(trained / "bars.dew"), "--data", str(pictures), "--json", "figures.json",
        folder=folder, environment=_environment(folder),
    )  # fmt: skip
    figures = folder / "figures.json"
    return ended, json.loads(figures.read_text()) if figures.exists() else None


def test_what_was_chosen_is_told_with_its_reason_and_so_is_what_was_left_out(trained):
    told = (trained / "told.txt").read_text()
    for name in ("size", "start", "width", "edge", "cut", "minutes", "batch", "mirror", "class weights", "exit"):
        assert f"\n{name} " in told
    assert "flat/broken.png: not a picture that can be read" in told
    figures = json.loads((trained / "train.json").read_text())
    assert [one["source"] for one in figures["left_out"]] == ["flat/broken.png"]
    assert all(choice["reason"] for choice in figures["choices"])


def test_a_training_keeps_its_minutes_and_says_what_it_did_not_get_to(trained):
    figures = json.loads((trained / "train.json").read_text())
    assert figures["seconds"] < 6 * 1.5  # a pass that has begun, and the look at the tuning split, are ended
    assert f"{figures['passes']} of 120 passes" in (trained / "told.txt").read_text()
    assert "not trained: the full-precision twin" in (trained / "told.txt").read_text()


def test_the_bundle_knows_what_each_split_was_made_of(trained):
    kept = digests_of(bundle_file.load(trained / "bars.dew").manifest.split_files)
    assert sum(len(some) for some in kept.values()) == 120
    assert {one.digest for one in survey(trained / "bars", progress=False).pictures} == set().union(*kept.values())


def test_exactly_the_held_out_pictures_are_scored(commands, trained, tmp_path):
    ended, figures = _evaluated(commands, trained, tmp_path, trained / "bars")
    assert ended.returncode == 0, ended.stderr
    held_out = len(digests_of(bundle_file.load(trained / "bars.dew").manifest.split_files)["test"])
    assert figures["samples"] == figures["held_out"]["samples"] == held_out
    assert figures["new"] is None
    assert sum(figures["not_scored"].values()) == 121 - held_out
    assert f"{held_out} held-out and 0 new pictures are scored" in ended.stderr


def test_new_pictures_are_scored_apart_and_a_copy_of_a_training_picture_never(commands, trained, tmp_path):
    more = folder_of(tmp_path / "more", {"flat": 5, "steep": 4}, first=5000)
    kept = digests_of(bundle_file.load(trained / "bars.dew").manifest.split_files)
    known = next(one for one in survey(trained / "bars", progress=False).pictures if one.digest in kept["train"])
    shutil.copy(known.path, more / known.label / "renamed.png")
    (more / "cat").mkdir()
    picture("rising", 1).save(more / "cat" / "a.png")
    ended, figures = _evaluated(commands, trained, tmp_path, more)
    assert ended.returncode == 0, ended.stderr
    assert figures["held_out"] is None
    assert figures["new"]["samples"] == figures["samples"] == 9
    assert figures["not_scored"] == {
        "the bundle was made with it (train)": 1,
        "class cat is none of the bundle's": 1,
    }


def test_where_nothing_is_left_to_score_that_is_said(commands, trained, tmp_path):
    kept = digests_of(bundle_file.load(trained / "bars.dew").manifest.split_files)
    for one in survey(trained / "bars", progress=False).pictures:
        if one.digest in kept["train"]:
            (tmp_path / "seen" / one.label).mkdir(parents=True, exist_ok=True)
            shutil.copy(one.path, tmp_path / "seen" / one.label)
    ended, _ = _evaluated(commands, trained, tmp_path, tmp_path / "seen")
    assert ended.returncode == 2
    assert "nothing is left to score" in ended.stderr
    assert "Traceback" not in ended.stderr


def _empty_class(folder: Path) -> None:
    folder_of(folder / "data", COUNTS)
    (folder / "data" / "nothing").mkdir()


def _csv(text: str):
    def write(folder: Path) -> None:
        (folder / "data").write_text(text)

    return write


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_empty_class, "class folder nothing holds no pictures"),
        (lambda folder: folder_of(folder / "data", {"flat": 20}), "all pictures are of one class"),
        (lambda folder: folder_of(folder / "data", {"flat": 20, "steep": 3}), "class steep has 3 pictures"),
        (lambda folder: (folder / "data").mkdir(), "holds no pictures"),
        (lambda folder: None, "no such folder or file"),
        (_csv("path\na.png\n"), "has no column label"),
        (_csv("path,label\na.png,x\n"), "are not there, the first on line 2: a.png"),
    ],
    ids=["an empty class", "one class", "three pictures", "no pictures", "nothing", "no column", "no file"],
)
def test_bad_data_are_told_in_one_line(make, reason, commands, tmp_path):
    make(tmp_path)
    ended = commands.run(
        "train", "--data", "data", "--out", "x.dew", *SMALL, folder=tmp_path, environment=_environment(tmp_path)
    )
    assert ended.returncode == 2
    assert len([line for line in ended.stderr.splitlines() if line.startswith("dewpoint: ")]) == 1
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "x.dew").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("digits", "--data", "."), "give either a RECIPE or --data"),
        ((), "give either a RECIPE or --data"),
        (("digits", "--size", "64"), "--size belongs to --data"),
        (("--data", ".", "--taught-twin"), "--taught-twin belongs to recipes"),
    ],
)
def test_a_recipe_and_data_exclude_each_other(arguments, reason, commands, tmp_path):
    ended = commands.run("train", *arguments, "--out", "x.dew", folder=tmp_path, environment=_environment(tmp_path))
    assert ended.returncode == 2
    assert reason in ended.stderr


@pytest.fixture
def disk(tmp_path: Path):
    """A file system of 256 KiB: less than a checkpoint or a bundle takes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "dewpoint", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}; run as root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_with_a_checkpoint_ends_the_run_in_one_line(commands, tmp_path, disk):
    folder_of(tmp_path / "bars", COUNTS)
    (tmp_path / "bars.dew").write_bytes(b"the older one")
    ended = commands.run(
        "train", "--data", "bars", "--out", "bars.dew", "--checkpoints", str(disk), *SMALL,
        folder=tmp_path, environment=_environment(tmp_path),
    )  # fmt: skip
    assert ended.returncode == 2
    assert "the checkpoint cannot be written (No space left on device); make space" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "bars.dew").read_bytes() == b"the older one"
    assert not list(disk.glob("*.part"))


def test_a_disk_that_fills_with_the_bundle_leaves_the_older_one(commands, trained, tmp_path, disk):
    older = disk / "bars.dew"
    older.write_bytes(b"the older one")
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    ended = commands.run(
        "train", "--data", str(trained / "bars"), "--out", str(older), "--checkpoints", str(trained / "checkpoints"),
        *SMALL, folder=trained, environment=_environment(tmp_path),
    )  # fmt: skip
    assert ended.returncode == 2
    assert "cannot be written" in ended.stderr
    assert "No space left on device" in ended.stderr
    assert older.read_bytes() == b"the older one"
    assert {one.name for one in disk.iterdir()} == {"bars.dew", "filler"}


@pytest.mark.parametrize("given", [(), ("--bundle", "bars.dew")], ids=["found beside the pictures", "given"])
def test_the_whole_pipeline_runs_on_the_held_out_pictures(given, commands, trained):
    require_server(find_nats_server)
    require_server(find_redis_server)
    ended = commands.run(
        "demo", "--data", "bars", *given, "--frames", "30", "--workers", "1", "--devices", "2", "--no-console",
        "--json", "demo.json", folder=trained, environment=_environment(trained),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr + ended.stdout
    figures = json.loads((trained / "demo.json").read_text())
    assert (figures["labels_final"], figures["lost"], figures["bundle"]) == (30, 0, "bars")
    assert "held-out and 0 new pictures are scored" in ended.stderr


def test_held_out_and_new_pictures_are_told_apart(commands, trained, tmp_path):
    both = shutil.copytree(trained / "bars", tmp_path / "both")
    folder_of(both, {"flat": 3}, first=7000)
    ended, figures = _evaluated(commands, trained, tmp_path, both)
    assert ended.returncode == 0, ended.stderr
    assert figures["samples"] == figures["held_out"]["samples"]
    assert figures["new"]["samples"] == 3
    assert "new pictures, apart from these: 3, accuracy" in ended.stdout
