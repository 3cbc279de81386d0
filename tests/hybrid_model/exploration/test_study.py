"""A study on real digits: it resumes, repeats nothing, takes up what was broken off, and never sees the test split."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
from optuna.trial import TrialState

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.exploration import Exploration, ExplorationError, Space
from hybrid_model.exploration import study as study_module
from hybrid_model.exploration.curve import WorkingPoint
from hybrid_model.exploration.latency import Latency, measure_latency
from hybrid_model.exploration.study import curve_of, judged_point_of
from hybrid_model.exploration.trial import Bench, Trained, load_data
from hybrid_model.training import TrainingError

COMPLETE, FAIL = TrialState.COMPLETE, TrialState.FAIL


def space(**changes):
    body = {
        "name": "tiny",
        "recipe": "digits",
        "trials": 2,
        "fixed": {"schedule.epochs": 2, "architecture.widths": [16, 32]},
        "fields": {"architecture.exits_after": [[3], [1, 3]], "architecture.cut_bits": [1, 2]},
    }
    return Space.model_validate({**body, **changes})


def in_journal(folder, **changes):
    """A study in a journal file, which is opened faster than a database."""
    return Exploration(space(**changes), folder=folder, storage=f"journal:{folder / 'journal'}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two trials of two epochs each, really trained."""
    exploration = Exploration(space(), folder=tmp_path_factory.mktemp("trained"))
    assert exploration.run(progress=False, device="cpu") == 2
    return exploration


@pytest.fixture
def quick(monkeypatch):
    """Trials that train nothing; the list says which recipes were asked for."""
    asked = []

    def run_trial(recipe, bench, **_):
        asked.append(recipe.name)
        good = 0.5 + 0.1 * len(asked)
        points = [
            WorkingPoint((0,), (share,), (share,), share, good, 5.0, 9.0, 2.0 + share, 1.5, 16, 9.0, 1.0)
            for share in (0.0, 0.8)
        ]
        return Trained(points, Latency("numpy", (1.0,), 2.0, (0.1,), 0.2, 10.0), "0" * 12, 2, 0.1, "fp32")

    monkeypatch.setattr(study_module, "run_trial", run_trial)
    monkeypatch.setattr(study_module, "make_bench", lambda space, *_, **__: Bench(load_data(space), None, 100.0))
    return asked


def test_a_trial_keeps_its_whole_curve_and_is_judged_at_the_working_point(trained):
    for trial in trained.trials():
        assert trial.state == COMPLETE
        points, judged = curve_of(trial), judged_point_of(trial)
        assert len(points) > 10
        assert judged in points
        assert judged.edge_share >= 0.74
        assert trial.values == [judged.accuracy, judged.energy_mac_uj]
        assert judged.energy_reduction_mac > 2
        assert judged.edge_latency_us > 0


def test_the_bundle_of_a_trial_is_written_and_its_cut_is_what_the_point_says(trained):
    trial = trained.trials()[1]
    written = bundle_file.load(trained.folder / f"{trial.user_attrs['recipe']['name']}.dew")
    assert written.manifest.cut.bits == 2
    assert written.manifest.network_id == trial.user_attrs["network_id"]
    assert judged_point_of(trial).feature_bytes == written.manifest.cut.bytes


def test_a_network_beside_itself_takes_as_long_as_itself(trained):
    reference = bundle_file.load(trained.folder / "reference.dew")
    found = measure_latency(reference, reference, data.load("digits").tuning.x, rounds=50)
    assert 0.5 < found.to_cut_ratio < 2
    assert len(found.to_exit_us) == 1


def test_a_second_call_continues_with_the_points_that_are_left(trained, quick):
    more = Exploration(space(trials=4), folder=trained.folder)
    assert more.name == trained.name
    assert more.run(progress=False, trials=1) == 1
    assert more.run(progress=False) == 1
    assert more.run(progress=False) == 0
    points = [str(trial.params) for trial in more.trials(COMPLETE)]
    assert len(points) == len(set(points)) == 4


def test_no_trial_begins_when_the_time_is_up(tmp_path, quick):
    assert in_journal(tmp_path).run(progress=False, seconds=0) == 0


def test_what_is_explored_has_no_test_split_and_as_many_training_samples_as_wanted():
    whole = data.load("digits")
    cut = load_data(space(train_samples=300))
    assert len(cut.test) == 0
    assert len(cut.train) == 300
    assert cut.fingerprint("tuning") == whole.fingerprint("tuning")


def test_more_training_samples_than_there_are_is_refused(tmp_path):
    with pytest.raises(ExplorationError, match="train_samples = 99,999, but digits has 1,150"):
        in_journal(tmp_path, train_samples=99_999).run(progress=False)


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe", "nsga2"])
def test_every_sampler_covers_the_space_without_repeating_a_point(sampler, tmp_path, quick):
    exploration = in_journal(tmp_path, sampler=sampler, trials=9)
    assert exploration.run(progress=False) == 4
    assert len(set(quick)) == len(quick) == 4


def test_two_processes_share_a_study(tmp_path, quick):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    first = Exploration(space(trials=4), folder=tmp_path / "a", storage=url)
    second = Exploration(space(trials=4), folder=tmp_path / "b", storage=url)
    assert first.run(progress=False, trials=1) == 1
    assert second.run(progress=False, trials=2) == 2
    assert first.run(progress=False) == 1
    assert len(set(quick)) == len(quick) == 4


def test_ctrl_c_leaves_a_trial_that_the_next_call_takes_up_without_training_again(tmp_path, monkeypatch):
    from hybrid_model.exploration import trial as trial_module
    from hybrid_model.training import trainer

    def interrupted(*_):
        raise KeyboardInterrupt

    def only():
        return in_journal(tmp_path, trials=1)

    with monkeypatch.context() as patch:
        patch.setattr(trial_module, "measure_latency", interrupted)
        with pytest.raises(KeyboardInterrupt):
            only().run(progress=False, device="cpu")
    monkeypatch.setattr(trainer.Trainer, "run_epoch", lambda *_: pytest.fail("trained again"))
    told = []
    again = only()
    assert again.run(progress=False, device="cpu", tell=told.append) == 1
    assert told[0] == "trial 0 was broken off: its training is taken up"
    assert [trial.state for trial in again.trials()] == [FAIL, COMPLETE]
    assert again.trials()[0].params == again.trials()[1].params


def test_a_trial_whose_process_was_killed_is_failed_and_its_point_is_taken_up(tmp_path, quick, wait_for):
    killed = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), space().model_dump_json()])
    wait_for(lambda: list(tmp_path.glob("running/*.lock")), "the child's trial", 60.0)
    alive = Exploration(space(), folder=tmp_path)
    alive.run(progress=False, trials=1)
    assert [trial.state for trial in alive.trials()][:2] == [TrialState.RUNNING, COMPLETE], "it runs: leave it alone"

    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    after = Exploration(space(), folder=tmp_path)
    assert after.run(progress=False) == 1

    assert [trial.state for trial in after.trials()] == [FAIL, COMPLETE, COMPLETE]
    assert after.trials()[0].params == after.trials()[2].params
    assert not list(tmp_path.glob("running/*.lock"))


CHILD = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from hybrid_model.exploration import Exploration, Space, study, trial

    study.make_bench = lambda space, *_, **__: trial.Bench(trial.load_data(space), None, 100.0)
    study.run_trial = lambda *_, **__: time.sleep(600)
    Exploration(Space.model_validate_json(sys.argv[2]), folder=Path(sys.argv[1])).run(progress=False)
    """
)


def test_a_point_that_cannot_be_trained_is_failed_once_and_the_others_go_on(tmp_path, quick, monkeypatch):
    whole = study_module.run_trial

    def fails_at_first(recipe, bench, **rest):
        if not quick:
            quick.append(recipe.name)
            raise TrainingError("the loss is no number")
        return whole(recipe, bench, **rest)

    monkeypatch.setattr(study_module, "run_trial", fails_at_first)
    exploration = in_journal(tmp_path, trials=4)
    assert exploration.run(progress=False) == 3
    assert exploration.trials()[0].state == FAIL
    assert exploration.trials()[0].user_attrs["error"] == "the loss is no number"
    assert exploration.run(progress=False) == 0


def test_other_data_than_the_study_was_begun_on_are_refused(tmp_path, quick, monkeypatch):
    in_journal(tmp_path).run(progress=False, trials=1)
    real = load_data(space())
    other = replace(real, tuning=real.tuning.take(slice(0, 50)))
    monkeypatch.setattr(study_module, "make_bench", lambda *_, **__: Bench(other, None, 100.0))
    with pytest.raises(ExplorationError, match="another version of digits"):
        in_journal(tmp_path).run(progress=False)


@pytest.mark.parametrize("url", ["here.db", "nosuch://host/db", "postgresql://127.0.0.1:1/none", "redis://127.0.0.1:1"])
def test_a_storage_that_cannot_be_opened_is_named(tmp_path, url):
    with pytest.raises(ExplorationError, match="give sqlite:///FILE"):
        Exploration(space(), folder=tmp_path, storage=url)


def test_a_study_in_redis_is_there_for_another_process(tmp_path, quick, redis_server):
    url = f"redis://{redis_server.host}:{redis_server.port}"
    Exploration(space(), folder=tmp_path, storage=url).run(progress=False, trials=1)
    assert len(Exploration(space(), folder=tmp_path, storage=url, create=False).trials(COMPLETE)) == 1


def test_a_study_that_does_not_exist_cannot_be_shown(tmp_path):
    with pytest.raises(ExplorationError, match="no such study yet"):
        Exploration(space(), folder=tmp_path, create=False)
    assert not list(tmp_path.iterdir())
