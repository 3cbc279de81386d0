"""The front over all curves, the tables, the picture and the figures."""

import io
import json

import pytest
from rich.console import Console

from hybrid_model.exploration import Exploration, ExplorationError, Space, report
from hybrid_model.exploration import study as study_module
from hybrid_model.exploration.curve import WorkingPoint
from hybrid_model.exploration.latency import Latency
from hybrid_model.exploration.trial import Bench, Trained, load_data

#: Accuracy and energy reduction of the points of each trial's curve, at edge shares 0, 0.5 and 1.
CURVES = [[(0.9, 1.0), (0.8, 3.0), (0.5, 9.0)], [(0.88, 1.0), (0.85, 2.0), (0.5, 9.0)]]
SPACE = Space(
    name="small",
    recipe="digits",
    trials=2,
    fields={"architecture.cut_bits": [1, 2]},
    edge_share=0.5,
    train_samples=500,
)


@pytest.fixture
def exploration(tmp_path, monkeypatch):
    curves = iter(CURVES)

    def run_trial(recipe, *_, **__):
        points = [
            WorkingPoint((0,), (0.1,), (share,), share, accuracy, 6.0 / energy, 9.0, energy, 1.5, 16, 9.0, 1.0)
            for share, (accuracy, energy) in zip((0.0, 0.5, 1.0), next(curves), strict=True)
        ]
        return Trained(points, Latency("numpy", (1.0,), 2.0, (0.1,), 0.2, 10.0), "0" * 12, 2, 0.1, "fp32")

    monkeypatch.setattr(study_module, "run_trial", run_trial)
    monkeypatch.setattr(study_module, "make_bench", lambda space, *_, **__: Bench(load_data(space), None, 100.0))
    return Exploration(SPACE, folder=tmp_path, storage=f"journal:{tmp_path / 'journal'}")


def test_the_front_runs_over_the_curves_of_all_trials(exploration):
    exploration.run(progress=False)
    found = [(one.trial, one.point.accuracy, one.point.energy_reduction_mac) for one in report.front(exploration)]
    assert found == [(0, 0.9, 1.0), (1, 0.85, 2.0), (0, 0.8, 3.0), (0, 0.5, 9.0)]


def test_the_tables_name_the_choices_and_what_they_were_judged_on(exploration):
    exploration.run(progress=False)
    console = Console(width=160, file=io.StringIO())
    console.print(report.tables(exploration))
    text = " ".join(console.file.getvalue().split())
    for shown in (
        "cut_bits 2",
        "2 of 2 trials",
        "500 training samples",
        "tuning split",
        "85.0%",
        "2.0 x",
        "1.5 x",
        "9 (1.00)",
    ):
        assert shown in text, shown


def test_the_figures_are_json_and_hold_every_curve(exploration):
    exploration.run(progress=False, trials=1)
    found = json.loads(json.dumps(report.figures(exploration)))
    assert found["split"] == "tuning"
    assert found["space"]["train_samples"] == 500
    [trial] = found["trials"]
    assert trial["choices"] == {"architecture.cut_bits": "1"}
    assert [point["accuracy"] for point in trial["curve"]] == [0.9, 0.8, 0.5]
    assert len(found["front"]) == 3


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_picture_is_written(exploration, tmp_path, suffix):
    exploration.run(progress=False)
    path = tmp_path / f"picture.{suffix}"
    report.draw(exploration, path)
    assert path.stat().st_size > 5000


def test_a_picture_of_nothing_is_refused(exploration, tmp_path):
    with pytest.raises(ExplorationError, match="no complete trial"):
        report.draw(exploration, tmp_path / "picture.svg")


def test_a_picture_of_an_unknown_kind_is_refused(exploration, tmp_path):
    exploration.run(progress=False)
    with pytest.raises(ExplorationError, match="xyz"):
        report.draw(exploration, tmp_path / "picture.xyz")
