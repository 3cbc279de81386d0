"""Broken off anywhere, a run goes on as if it had not been; and a run may be measured in minutes."""

from __future__ import annotations

from itertools import count

import pytest
import torch

from hybrid_model import data
from hybrid_model.training import load_recipe, train, within_minutes
from hybrid_model.training.pace import progress_of, share_of_peak
from hybrid_model.training.recipe import Schedule
from hybrid_model.training.trainer import Trainer


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", progress=False)


@pytest.fixture
def recipe():
    shipped = load_recipe("digits")
    return shipped.model_copy(update={"schedule": shipped.schedule.model_copy(update={"epochs": 3})})


def after_steps(steps: int):
    """A `stop` that lets so many steps pass."""
    asked = count()
    return lambda: next(asked) >= steps


def test_a_run_stopped_inside_an_epoch_ends_with_the_weights_of_one_that_was_not(recipe, digits, tmp_path, monkeypatch):
    monkeypatch.setattr("hybrid_model.training.trainer.Trainer.choose_precision", lambda self: "fp32")
    whole = train(recipe, digits, folder=tmp_path / "whole", device="cpu", progress=False)
    pieces = 0
    while True:
        run = train(recipe, digits, folder=tmp_path / "pieces", device="cpu", progress=False, stop=after_steps(7))
        pieces += 1
        if run.finished:
            break
    assert pieces > 3
    assert [line["epoch"] for line in run.history] == [1, 2, 3]
    assert [line["loss"] for line in run.history] == pytest.approx([line["loss"] for line in whole.history], rel=1e-5)
    ours, theirs = run.network.state_dict(), whole.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_that_was_stopped_is_not_finished_and_its_bundle_says_what_it_has_seen(recipe, digits, tmp_path):
    run = train(recipe, digits, folder=tmp_path, device="cpu", progress=False, stop=after_steps(2))
    assert not run.finished
    assert run.history == []


def test_in_minutes_the_rate_falls_to_zero_in_that_time_whatever_the_machine(recipe, digits, tmp_path):
    timed = recipe.within(0.05)
    run = train(timed, digits, folder=tmp_path, device="cpu", progress=False)
    assert run.finished
    assert 3.0 <= run.seconds < 6.0
    again = train(timed, digits, folder=tmp_path, device="cpu", progress=False)
    assert again.seconds == run.seconds, "it is over, and stays over"


def test_teacher_and_twins_take_their_part_of_the_minutes():
    recipe = load_recipe("cifar10")
    timed = within_minutes(recipe, 10.0, ["twin"])
    teacher = timed.teacher()
    parts = [timed.schedule.minutes, timed.twin().schedule.minutes, teacher and teacher.schedule.minutes]
    assert sum(part or 0.0 for part in parts) == pytest.approx(10.0)
    assert teacher is not None
    assert len({timed.name, timed.twin().name, teacher.name, recipe.name, "cifar10-teacher"}) == 5


@pytest.mark.parametrize("decay", ["cosine", "linear", "steps"])
def test_the_rate_rises_over_the_warm_up_and_never_again(decay):
    schedule = Schedule(epochs=1, decay=decay, warmup_share=0.1)
    shares = [share_of_peak(schedule, n / 1000) for n in range(1001)]
    assert max(shares) == pytest.approx(1.0)
    peak = shares.index(max(shares))
    assert shares[:peak] == sorted(shares[:peak])
    assert shares[100:] == sorted(shares[100:], reverse=True)
    assert shares[-1] == pytest.approx(0.01 if decay == "steps" else 0.0, abs=1e-9)


def test_progress_is_of_the_epochs_or_of_the_minutes():
    assert progress_of(Schedule(epochs=4), epochs=1.0, seconds=1e9) == 0.25
    assert progress_of(Schedule(epochs=4, minutes=2), epochs=100.0, seconds=60.0) == 0.5
    assert progress_of(Schedule(epochs=4, minutes=2), epochs=0.0, seconds=1e9) == 1.0


def test_a_run_in_minutes_is_over_after_its_epochs_if_they_come_first():
    schedule = Schedule(epochs=10, minutes=1.0, epochs_max=4)
    assert progress_of(schedule, epochs=1, seconds=6) == 0.25
    assert progress_of(schedule, epochs=1, seconds=45) == 0.75
    assert progress_of(schedule, epochs=4, seconds=6) == 1.0


def test_looking_at_the_tuning_split_is_part_of_the_minutes(recipe, digits, tmp_path, monkeypatch):
    clock = count()
    monkeypatch.setattr("hybrid_model.training.trainer.time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr("hybrid_model.training.trainer.Trainer.choose_precision", lambda self: "fp32")

    def seconds(minutes, folder):
        schedule = recipe.schedule.model_copy(update={"epochs": 1, "minutes": minutes, "epochs_max": minutes and 1})
        timed = recipe.model_copy(update={"schedule": schedule})
        return train(timed, digits, folder=tmp_path / folder, device="cpu", progress=False).seconds

    steps = len(digits.train) // recipe.schedule.batch_size
    assert seconds(None, "untimed") == steps
    assert seconds(1000.0, "timed") > steps


def test_in_minutes_too_the_second_of_two_stages_leaves_the_backbone_as_it_is(recipe, digits, tmp_path, monkeypatch):
    """Also where the stage begins inside an epoch, in a run that nobody interrupts."""
    monkeypatch.setattr("hybrid_model.training.trainer.Trainer.choose_precision", lambda self: "fp32")
    losses = recipe.losses.model_copy(update={"method": "two_stage"})
    schedule = recipe.schedule.model_copy(update={"epochs": 1, "minutes": 1e6, "epochs_max": 1})
    staged = recipe.model_copy(update={"losses": losses, "schedule": schedule})
    steps = len(digits.train) // schedule.batch_size
    at = -(-3 * steps // 4)  # the first step at three quarters of the run or later
    update, weights = Trainer._update, []

    def observed(trainer, *args):
        if trainer.step == at:
            weights.append({name: tensor.clone() for name, tensor in trainer.network.state_dict().items()})
        return update(trainer, *args)

    monkeypatch.setattr(Trainer, "_update", observed)
    run = train(staged, digits, folder=tmp_path, device="cpu", progress=False)
    [before], after = weights, run.network.state_dict()
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == {"exits"}
