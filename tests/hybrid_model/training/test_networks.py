"""`make networks`: what it trains, that a slice ends cleanly, and that the next one goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

from hybrid_model import bundle
from hybrid_model.training import load_recipe, recipe_names
from tools import networks

ROOT = Path(__file__).parents[3]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tools.networks", *arguments]


def test_every_shipped_recipe_is_in_the_plan_or_teaches_one_that_is():
    planned = {job.recipe for job in networks.PLAN}
    teachers = {load_recipe(name).losses.teacher for name in planned}
    assert planned | teachers - {"none", "twin"} == set(recipe_names())


def test_what_ships_comes_before_what_it_is_compared_with():
    order = [(job.recipe, job.baselines) for job in networks.PLAN]
    for name in ("cifar10", "cifar100"):
        assert order.index((name, ())) < order.index((name, ("twin",))) < order.index((name, ("twin", "taught_twin")))


def test_a_whole_job_is_tried_in_seconds():
    done = subprocess.run(
        command("--try", "--only", "digits"), cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.count("digits-s") == 3


def epochs_told(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def slice_until(places: list[str], log: Path, *, epochs: int) -> str:
    """Trains until so many epochs are logged, then asks it to end; what it said."""
    running = subprocess.Popen(command(*places), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while epochs_told(log) < epochs and running.poll() is None:
        pass
    running.send_signal(signal.SIGTERM)
    told, _ = running.communicate(timeout=120)
    assert running.returncode == 0
    return told


def test_a_slice_ends_cleanly_and_the_next_one_goes_on(tmp_path):
    places = ["--checkpoints", str(tmp_path / "state"), "--bundles", str(tmp_path / "bundles"), "--only", "digits"]
    log = tmp_path / "state" / "digits-twin-s0.jsonl"
    assert "goes on from here" in slice_until(places, log, epochs=1)
    before = epochs_told(log)
    assert "goes on from here" in slice_until(places, log, epochs=before + 1)
    epochs = [json.loads(line)["epoch"] for line in log.read_text().splitlines()]
    assert epochs == list(range(1, len(epochs) + 1)), "no epoch twice, none left out"
    timed = subprocess.run(
        command(*places, "--minutes", "0"), cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert "goes on from here" in timed.stdout
    listed = subprocess.run(
        command(*places, "--list"), cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert f"{len(epochs)} of" in next(line for line in listed.stdout.splitlines() if "digits-twin-s0" in line)


def test_the_bundle_of_a_job_is_whole(tmp_path):
    job = networks.Job("digits", 1)
    recipe, dataset = networks.tried(load_recipe("digits").model_copy(update={"seed": 1}), _digits())
    assert networks._one(recipe, dataset, job, tmp_path, tmp_path, "cpu", lambda: False)
    assert bundle.load(tmp_path / "digits-s1.dew", cloud=True).manifest.provenance["seed"] == 1


def _digits():
    from hybrid_model import data

    return data.load("digits", progress=False)
