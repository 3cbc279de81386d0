"""The folder with the real data sets, where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def data_folder() -> Path:
    """$DEWPOINT_DATA; the test is skipped where it is unset."""
    named = os.environ.get("DEWPOINT_DATA")
    if not named:
        pytest.skip("needs CIFAR and UCI HAR: point DEWPOINT_DATA at a folder that holds them")
    return Path(named)


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without a cache, and a data folder (returned) without data."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DEWPOINT_DATA", str(folder))
    return folder
