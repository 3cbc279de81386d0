"""`dewpoint train --teacher`: a network learns from somebody's model, with and without labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

from hybrid_model import bundle
from services.cli import app

pytestmark = pytest.mark.timeout(300)


def run(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    return ended.exit_code, " ".join(ended.output.split())


def picture(random: np.random.RandomState, *, light: bool) -> Image.Image:
    base = 170 if light else 40
    return Image.fromarray((random.rand(36, 36, 3) * 50 + base).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty pictures of each of two classes."""
    random = np.random.RandomState(1)
    for name in ("dark", "light"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(30):
            picture(random, light=name == "light").save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two outputs, dark and light, from the mean of all pixels."""
    weight = np.array([[-20.0], [20.0]], dtype=np.float32)
    bias = np.array([9.5, -9.5], dtype=np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["column"]),
        helper.make_node("Gemm", ["column", "w", "b"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "light",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 24, 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
        [
            numpy_helper.from_array(np.array([1, 2, 3], dtype=np.int64), "axes"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "last"),
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(bias, "b"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "light.onnx"
    onnx.save(made, path)
    return path


def train(folder: Path, to: Path, *more: str) -> tuple[int, str]:
    return run(
        "train", "--data", str(folder), "--out", str(to), "--checkpoints", str(to.parent / "state"), "--start", "none",
        "--minutes", "0.15", "--device", "cpu", "--json", str(to.with_suffix(".json")), *more,
    )  # fmt: skip


def test_a_network_learns_from_a_model_and_says_how_far_they_agree(folder, model, tmp_path):
    frames = tmp_path / "frames" / "deeper"
    frames.mkdir(parents=True)
    random = np.random.RandomState(2)
    for number in range(40):
        picture(random, light=bool(number % 2)).save(frames / f"{number}.png")
    (frames / "broken.png").write_bytes(b"no picture")
    known = next((folder / "dark").iterdir())
    (frames / "known.png").write_bytes(known.read_bytes())
    to = tmp_path / "mine.dew"

    status, told = train(folder, to, "--teacher", str(model), "--unlabelled", str(tmp_path / "frames"))

    assert status == 0, told
    assert "40 pictures without a label, 2 left out" in told
    assert "agrees with its teacher on" in told
    figures = json.loads(to.with_suffix(".json").read_text())
    assert set(figures["teacher"]) == {"agreement", "accuracy", "teacher_accuracy"}
    assert figures["teacher"]["teacher_accuracy"] == 1.0
    assert figures["plan"]["losses"]["teacher"] == "model"
    assert figures["samples"]["train"] < 60, "what has no label is no sample of the report"
    assert bundle.load(to).manifest.classes == ("dark", "light")


def test_what_is_wrong_with_a_teacher_is_told_before_anything_is_trained(folder, model, tmp_path):
    to = tmp_path / "mine.dew"
    (folder / "violet").mkdir()
    random = np.random.RandomState(3)
    for number in range(30):
        picture(random, light=True).save(folder / "violet" / f"{number}.png")
    status, told = train(folder, to, "--teacher", str(model), "--teacher-classes", "dark,light")
    assert status == 2
    assert "does not know 'violet'" in told
    assert not to.exists()
    status, told = train(folder, to, "--teacher", str(tmp_path / "none.onnx"))
    assert (status, "no such file" in told) == (2, True)
    status, told = train(folder, to, "--unlabelled", str(folder))
    assert (status, "--unlabelled belongs to --teacher" in told) == (2, True)
    status, told = train(folder, to, "--teacher", str(model), "--teacher-mean", "a")
    assert (status, "--teacher-mean a" in told) == (2, True)
