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
