"""What a training on somebody's own pictures is worth: minutes of real learning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hybrid_model import data

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]


def _dewpoint(*arguments: str, folder: Path) -> None:
    command = [sys.executable, "-m", "services.cli", *arguments]
    root = str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _figures(bundle: str, pictures: str, folder: Path) -> dict:
    _dewpoint("evaluate", bundle, "--data", pictures, "--json", "figures.json", folder=folder)
    return json.loads((folder / "figures.json").read_text())


def test_digits_in_colour_are_read_and_most_of_them_on_the_edge(tmp_path):
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    drawn = load_digits()
    for number, (image, label) in enumerate(zip(drawn.images, drawn.target, strict=True)):
        mask = np.asarray(Image.fromarray((image * 15.9).astype(np.uint8)).resize((36, 40)))[..., None] / 255
        dark, light = rng.integers(0, 110, 3), rng.integers(150, 256, 3)
        (tmp_path / "digits40" / str(label)).mkdir(parents=True, exist_ok=True)
        pixels = (dark + (light - dark) * mask).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "digits40" / str(label) / f"{number}.png")
    _dewpoint("train", "--data", "digits40", "--out", "digits40.dew", folder=tmp_path)
    found = _figures("digits40.dew", "digits40", tmp_path)
    assert found["accuracy"]["hybrid"] >= 0.95
    assert 0.3 <= found["edge_share"] <= 1.0


@pytest.mark.data
def test_few_pictures_learn_far_more_from_a_trunk(tmp_path):
    if not os.environ.get("DEWPOINT_DATA"):
        pytest.skip("needs CIFAR-10: point DEWPOINT_DATA at a folder that holds it")
    cifar = data.load("cifar10", progress=False)
    for part, split, count in (("train", cifar.train, 40), ("test", cifar.test, 200)):
        for label in (0, 1, 3, 5, 8):
            folder = tmp_path / "five" / part / cifar.classes[label]
            folder.mkdir(parents=True)
            for number, row in enumerate(np.flatnonzero(split.y == label)[:count]):
                Image.fromarray(split.x[row]).save(folder / f"{number}.png")
    right = {}
    for start in ("cifar100", "none"):
        options = ("--start", start, "--minutes", "1.5", "--checkpoints", start)
        _dewpoint("train", "--data", "five", "--out", f"{start}.dew", *options, folder=tmp_path)
        right[start] = _figures(f"{start}.dew", "five", tmp_path)["accuracy"]["hybrid"]
    assert right["cifar100"] >= right["none"] + 0.05
