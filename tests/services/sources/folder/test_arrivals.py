from __future__ import annotations

import os

import pytest

from services.sources.folder.arrivals import Arrivals


class Clock:
    """A clock that goes when it is told to; files are changed by it, too."""

    def __init__(self):
        self.now_s = 1_000_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def arrivals(tmp_path, clock):
    return Arrivals(tmp_path, settle_s=1.0, monotonic=clock, wall=clock)


@pytest.fixture
def write(tmp_path, clock):
    def writing(name, content=b"a", *, age_s=0.0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (clock.now_s - age_s, clock.now_s - age_s))

    return writing


def names(arrived):
    return [arrival.name for arrival in arrived]


def test_what_has_long_been_there_is_given_at_once_the_earliest_first(arrivals, write):
    write("b.jpg", age_s=10)
    write("a.png", age_s=5)
    write("cellar/c.JPG", age_s=20)
    assert names(arrivals.look()) == ["cellar/c.JPG", "b.jpg", "a.png"]
    assert arrivals.unsettled == 0


def test_a_file_that_grows_is_given_once_it_has_lain_still(arrivals, write, clock):
    for size in (10, 20, 30):
        write("a.jpg", b"x" * size)
        assert arrivals.look() == []
        clock.now_s += 0.6
    assert arrivals.unsettled == 1
    clock.now_s += 0.6
    assert names(arrivals.look()) == ["a.jpg"]


def test_a_file_of_the_future_is_given_too(arrivals, write, clock):
    """The clock of who wrote it may go ahead of ours."""
    write("a.jpg", age_s=-3600)
    assert arrivals.look() == []
    clock.now_s += 1.1
    assert names(arrivals.look()) == ["a.jpg"]


def test_a_file_is_given_once_and_again_only_when_it_has_changed(arrivals, write, clock):
    write("a.jpg", age_s=5)
    assert names(arrivals.look()) == ["a.jpg"]
    clock.now_s += 5
    assert arrivals.look() == []
    write("a.jpg", b"other")
    assert arrivals.look() == []
    clock.now_s += 1.1
    assert names(arrivals.look()) == ["a.jpg"]
    assert arrivals.look() == []


def test_hidden_unfinished_and_other_files_are_passed_over(arrivals, write):
    for name in (".a.jpg.Xy3", ".hidden.jpg", "a.jpg.part", "notes.txt", ".trash/a.jpg"):
        write(name, age_s=5)
    assert arrivals.look() == []


def test_a_folder_that_leads_back_to_itself_ends(arrivals, write, tmp_path):
    write("a.jpg", age_s=5)
    (tmp_path / "again").symlink_to(tmp_path)
    assert names(arrivals.look()) == ["a.jpg"]


def test_a_file_that_has_gone_is_forgotten(arrivals, write, tmp_path):
    write("a.jpg", age_s=5)
    arrivals.look()
    (tmp_path / "a.jpg").unlink()
    assert arrivals.look() == []
    write("a.jpg", age_s=5)
    assert names(arrivals.look()) == ["a.jpg"]


def test_a_folder_that_is_gone_is_an_error_for_who_asked(arrivals, tmp_path):
    tmp_path.rmdir()
    with pytest.raises(OSError, match="No such file"):
        arrivals.look()
