"""The tables of docs/reference/results.md: figures on corrupted pictures stand below their data set's."""

import json

import pytest

from tools import results_tables


@pytest.fixture
def folder(tmp_path, monkeypatch):
    at = {"edge_share": 0.4, "confident_accuracy": None, "hybrid": 0.5, "wrong_but_sure": 0.012}
    rows = [at | {"hybrid": 0.9 - severity / 10} for severity in range(5)]
    corrupted = {
        "bundle": "digits",
        "seed": 0,
        "dataset": "digits",
        "corruptions": {"defocus_blur": rows, "mean": at},
        "camera": {"jpeg_60": at | {"confident_accuracy": 0.875}},
        "uncorrupted": at,
        "samples_corrupted": 1000,
    }
    plain = results_tables.FILES / "digits-s0.json"
    (tmp_path / plain.name).write_text(plain.read_text())
    (tmp_path / f"digits-s0{results_tables.CORRUPTED}").write_text(json.dumps(corrupted))
    monkeypatch.setattr(results_tables, "FILES", tmp_path)


@pytest.mark.usefixtures("folder")
def test_corrupted_pictures_have_tables_below_those_of_their_data_set():
    told = results_tables.results_tables()
    section, below = told.split("### digits, seed 0, on corrupted pictures of the first 1,000 test samples")
    assert section.startswith("## digits, 359 test samples")
    assert "| jpeg 60 | 40.0 | 87.5 | 50.0 | 1.2 |" in below
    assert "| mean of all below | 40.0 | – | 50.0 | 1.2 |" in below
    assert "| defocus blur | 90.0 | 80.0 | 70.0 | 60.0 | 50.0 | 1.2 | 1.2 | 1.2 | 1.2 | 1.2 |" in below
    assert "| mean |" not in below
