"""A folder or CSV of pictures is found, looked at, divided by content and decoded; what cannot be used is told."""

import shutil

import numpy as np
import pytest
from PIL import Image

from hybrid_model.data import SPLITS
from hybrid_model.data.pictures import (
    PictureDataError,
    decoded_bytes,
    divide,
    holds_pictures,
    load_pictures,
    require_trainable,
    survey,
)
from hybrid_model.data.pictures import loading as loading_module
from tests.hybrid_model.drawn import folder_of, picture

TWO = {"flat": 30, "steep": 30}


def _survey(path):
    return survey(path, progress=False)


def test_each_class_folder_is_a_class(tmp_path):
    found = _survey(folder_of(tmp_path / "bars", TWO))
    assert found.classes == ("flat", "steep")
    assert found.per_class == TWO
    assert found.median_side == 20
    assert found.name == "bars"


def test_hidden_files_are_nothing_and_other_files_are_told(tmp_path):
    folder = folder_of(tmp_path / "bars", TWO)
    (folder / "flat" / ".DS_Store").write_bytes(b"x")
    (folder / "flat" / "notes.txt").write_text("of the day")
    left_out = _survey(folder).left_out
    assert [(one.source, one.reason) for one in left_out] == [("flat/notes.txt", "not the name of a picture file")]


def test_a_broken_file_is_left_out_and_told(tmp_path):
    folder = folder_of(tmp_path / "bars", TWO)
    (folder / "flat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (folder / "flat" / "empty.jpg").write_bytes(b"")
    found = _survey(folder)
    assert {one.source for one in found.left_out} == {"flat/broken.png", "flat/empty.jpg"}
    assert len(found.pictures) == 60


def test_a_truncated_file_has_a_header_and_is_left_out_when_it_is_decoded(tmp_path):
    folder = folder_of(tmp_path / "bars", TWO)
    whole = (folder / "flat" / "0000.png").read_bytes()
    (folder / "flat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    own = load_pictures(_survey(folder), 32, progress=False)
    assert [one.source for one in own.left_out] == ["flat/cut.png"]
    assert sum(len(own.dataset.split(name)) for name in SPLITS) == 60


def test_the_same_file_counts_once(tmp_path):
    folder = folder_of(tmp_path / "bars", TWO)
    shutil.copy(folder / "flat" / "0003.png", folder / "flat" / "again.png")
    found = _survey(folder)
    assert [one.source for one in found.left_out] == ["flat/again.png"]
    assert found.left_out[0].reason == "the same file as flat/0003.png"


def test_the_same_file_under_two_classes_counts_for_neither(tmp_path):
    folder = folder_of(tmp_path / "bars", TWO)
    shutil.copy(folder / "flat" / "0003.png", folder / "steep" / "again.png")
    found = _survey(folder)
    assert {one.source for one in found.left_out} == {"flat/0003.png", "steep/again.png"}


def test_a_csv_names_pictures_and_classes(tmp_path):
    folder_of(tmp_path / "shots", {"flat": 12, "steep": 12})
    rows = [f"shots/{kind}/{number:04d}.png,{kind}" for kind in ("flat", "steep") for number in range(12)]
    table = tmp_path / "list.csv"
    table.write_text("\n".join(["path,label", *rows, "shots/gone.png,flat"]))
    assert holds_pictures(table)
    found = _survey(table)
    assert found.per_class == {"flat": 12, "steep": 12}
    assert [(one.source, one.reason) for one in found.left_out] == [("shots/gone.png", "no such file")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("path\na.png\n", "no column label"),
        ("path,label\na.png,x\nb.png,y\n", "2 of the 2 files that it names are not there, the first on line 2: a.png"),
        ("path,label\n", "names no pictures"),
    ],
)
def test_a_csv_that_cannot_be_used_says_why(tmp_path, text, reason):
    table = tmp_path / "list.csv"
    table.write_text(text)
    with pytest.raises(PictureDataError, match=reason):
        _survey(table)


def test_a_folder_without_pictures_says_so(tmp_path):
    with pytest.raises(PictureDataError, match="holds no pictures"):
        _survey(tmp_path)


def test_pictures_in_no_class_folder_are_told(tmp_path):
    picture("flat", 0).save(tmp_path / "a.png")
    with pytest.raises(PictureDataError, match="lie in no class folder"):
        _survey(tmp_path)


def test_an_empty_class_folder_is_told(tmp_path):
    folder = folder_of(tmp_path / "bars", TWO)
    (folder / "empty").mkdir()
    with pytest.raises(PictureDataError, match="class folder empty holds no pictures"):
        _survey(folder)


def test_one_class_is_not_enough(tmp_path):
    with pytest.raises(PictureDataError, match="all pictures are of one class, flat"):
        require_trainable(_survey(folder_of(tmp_path / "bars", {"flat": 30})))


def test_a_class_of_three_pictures_is_not_enough(tmp_path):
    with pytest.raises(PictureDataError, match="class steep has 3 pictures"):
        require_trainable(_survey(folder_of(tmp_path / "bars", {"flat": 30, "steep": 3})))


def test_splits_hold_each_picture_once_and_every_class_alike(tmp_path):
    own = load_pictures(_survey(folder_of(tmp_path / "bars", TWO)), 32, progress=False)
    names = [source for split in SPLITS for source in own.sources[split]]
    assert len(names) == len(set(names)) == 60
    for name in SPLITS:
        split = own.dataset.split(name)
        assert set(split.y.tolist()) == {0, 1}
        assert split.x.shape[1:] == (32, 32, 3)
        assert len(own.digests[name]) == len(split)


def test_a_picture_stays_in_its_split_wherever_it_lies_and_whatever_is_added(tmp_path):
    many = {"flat": 150, "steep": 150}
    first = divide(_survey(folder_of(tmp_path / "a", many)))
    moved = folder_of(tmp_path / "b" / "deep", many)
    folder_of(moved, {"flat": 40}, first=1000)
    second = divide(_survey(moved))
    place = {one.digest: split for split, some in first.items() for one in some}
    again = {one.digest: split for split, some in second.items() for one in some}
    assert all(again[digest] == split for digest, split in place.items())


def test_folders_train_val_and_test_are_kept_apart(tmp_path):
    for part, first in (("train", 0), ("val", 100), ("test", 200)):
        folder_of(tmp_path / "bars" / part, {"flat": 12, "steep": 12}, first=first)
    shutil.copy(tmp_path / "bars/test/flat/0200.png", tmp_path / "bars/train/flat/leak.png")
    found = _survey(tmp_path / "bars")
    assert [one.source for one in found.left_out] == ["train/flat/leak.png"]
    splits = divide(found)
    assert {one.part for one in splits["train"]} == {"train"}
    assert {one.part for one in splits["tuning"] + splits["calibration"]} == {"val"}
    assert {one.part for one in splits["test"]} == {"test"}
    assert len(splits["test"]) == 24


def test_pictures_that_do_not_fit_in_memory_are_told(tmp_path, monkeypatch):
    found = _survey(folder_of(tmp_path / "bars", TWO))
    monkeypatch.setattr(loading_module, "free_bytes", lambda: 10_000)
    with pytest.raises(PictureDataError, match=r"60 pictures of 32 x 32 take .* GiB .* smaller --size"):
        load_pictures(found, 32, progress=False)


def test_a_hundred_thousand_pictures_of_64_pixels_fit_in_two_gigabytes():
    assert decoded_bytes(100_000, (64, 64)) < 2e9


def test_pixels_are_those_of_the_file(tmp_path):
    for label, colour in (("dark", (10, 20, 30)), ("light", (200, 210, 220))):
        (tmp_path / "plain" / label).mkdir(parents=True)
        for number in range(12):
            image = Image.new("RGB", (50, 40), colour)
            image.putpixel((0, 0), (number, 0, 0))
            image.save(tmp_path / "plain" / label / f"{number}.png")
    own = load_pictures(_survey(tmp_path / "plain"), 32, progress=False)
    for name in SPLITS:
        split = own.dataset.split(name)
        assert np.array_equal(split.x[:, 16, 16, 0], np.where(split.y == 0, 10, 200))
