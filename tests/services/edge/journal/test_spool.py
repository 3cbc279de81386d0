"""The spool: one process, one worker, one site."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.edge.errors import EdgeError
from services.edge.journal.spool import Spool


def test_a_worker_without_a_name_gets_one_and_keeps_it(tmp_path: Path) -> None:
    with Spool(tmp_path, site="home", worker=None) as spool:
        name = spool.worker
    with Spool(tmp_path, site="home", worker=None) as spool:
        assert spool.worker == name


def test_a_spool_is_held_by_one_process(tmp_path: Path) -> None:
    with Spool(tmp_path, site="home", worker="a"), pytest.raises(EdgeError, match=r"in use by process \d+"):
        Spool(tmp_path, site="home", worker="a")
    Spool(tmp_path, site="home", worker="a").close()


@pytest.mark.parametrize(("site", "worker"), [("home", "b"), ("away", "a"), ("away", None)])
def test_a_spool_of_another_worker_is_refused(tmp_path: Path, site: str, worker: str | None) -> None:
    Spool(tmp_path, site="home", worker="a").close()
    with pytest.raises(EdgeError, match="belongs to worker a of site home"):
        Spool(tmp_path, site=site, worker=worker)


def test_filters_are_remembered(tmp_path: Path) -> None:
    with Spool(tmp_path, site="home", worker="a") as spool:
        assert spool.filters() == []
        spool.remember_filters(["b/+", "a/+"])
    with Spool(tmp_path, site="home", worker="a") as spool:
        assert spool.filters() == ["a/+", "b/+"]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError, match="spool"):
        Spool(tmp_path / "file" / "spool", site="home", worker=None)


def test_a_damaged_identity_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "worker.json").write_text("{")
    with pytest.raises(EdgeError, match=r"worker\.json is damaged"):
        Spool(tmp_path, site="home", worker=None)


def test_what_was_announced_is_remembered_and_belongs_to_the_worker(tmp_path: Path) -> None:
    announced = {"homeassistant/device/dewpoint__home__k_C3_BCche/config": "küche", "ha/device/x/config": ""}
    with Spool(tmp_path / "spool", site="home", worker="edge-1") as spool:
        assert spool.announced() == {}
        spool.remember_announced(announced)
    with Spool(tmp_path / "spool", site="home", worker=None, adopt=True) as adopted:
        assert adopted.announced() == announced
        adopted.remember_announced({})
        assert adopted.announced() == {}


def test_a_damaged_note_of_what_was_announced_is_one_line(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", site="home", worker="edge-1") as spool:
        (spool.folder / "announced.json").write_text("{")
        with pytest.raises(EdgeError, match=r"announced\.json is damaged") as caught:
            spool.announced()
    assert "\n" not in str(caught.value)
