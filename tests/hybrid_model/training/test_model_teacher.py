"""A model from elsewhere as a teacher: how it takes pictures, whatever its form, and what cannot teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from hybrid_model import data
from hybrid_model.training import load_recipe, train
from hybrid_model.training.model_spec import ModelError, ModelSpec
from hybrid_model.training.model_teacher import OnnxTeacher

CLASSES = ("red", "green", "blue")


def model(
    path: Path,
    *,
    layout: str = "nchw",
    batch: int | str = "batch",
    size: tuple[int | str, int | str] = (8, 8),
    dtype: int = TensorProto.FLOAT,
    probabilities: bool = False,
    metadata: dict[str, str] | None = None,
) -> str:
    """Three outputs: ten times the mean of each colour channel."""
    shape = [batch, 3, *size] if layout == "nchw" else [batch, *size, 3]
    nodes = []
    if dtype != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", ["x"], ["seen"], to=TensorProto.FLOAT))
    axes = [2, 3] if layout == "nchw" else [1, 2]
    nodes.append(helper.make_node("ReduceMean", ["seen" if nodes else "x", "axes"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "ten"], ["y"]))
    if probabilities:
        nodes.append(helper.make_node("Softmax", ["y"], ["p"], axis=1))
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("p" if probabilities else "y", TensorProto.FLOAT, [batch, 3])],
        [
            numpy_helper.from_array(np.array(axes, dtype=np.int64), "axes"),
            numpy_helper.from_array(np.array(10.0, dtype=np.float32), "ten"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(made, metadata or {})
    onnx.save(made, path)
    return str(path)


def pictures(count: int = 10, side: int = 16) -> torch.Tensor:
    """Of one colour each: number n has channel n % 3 at 200, the others at 50."""
    x = torch.full((count, side, side, 3), 50, dtype=torch.uint8)
    for number in range(count):
        x[number, :, :, number % 3] = 200
    return x


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("batch", ["batch", 4])
@pytest.mark.parametrize("size", [(8, 8), ("h", "w")])
def test_layout_size_and_batch_are_read_from_the_model(tmp_path, layout, batch, size):
    teacher = OnnxTeacher(ModelSpec(path=model(tmp_path / "m.onnx", layout=layout, batch=batch, size=size)), CLASSES)
    answers = teacher(pictures())
    assert answers.shape == (10, 3)
    torch.testing.assert_close(answers[0], torch.tensor([200.0, 50.0, 50.0]) * 10 / 255)
    assert answers.argmax(1).tolist() == [number % 3 for number in range(10)]


def test_mean_and_deviation_are_taken_off_given_or_as_the_model_has_them(tmp_path):
    path = model(tmp_path / "m.onnx", metadata={"mean": "[0.5, 0.5, 0.5]", "std": "[0.25, 0.25, 0.25]"})
    read = OnnxTeacher(ModelSpec(path=path), CLASSES)(pictures(1))
    torch.testing.assert_close(read[0, 0], torch.tensor((200 / 255 - 0.5) / 0.25 * 10))
    given = OnnxTeacher(ModelSpec(path=path, mean=(0.0,), deviation=(1.0,)), CLASSES)(pictures(1))
    torch.testing.assert_close(given[0, 0], torch.tensor(200 / 255 * 10))


def test_a_model_that_takes_pixels_gets_pixels(tmp_path):
    path = model(tmp_path / "m.onnx", dtype=TensorProto.UINT8)
    assert OnnxTeacher(ModelSpec(path=path), CLASSES)(pictures(1))[0].tolist() == [2000.0, 500.0, 500.0]


def test_probabilities_become_logits_that_give_them_back(tmp_path):
    logits = OnnxTeacher(ModelSpec(path=model(tmp_path / "a.onnx")), CLASSES)(pictures())
    turned = OnnxTeacher(ModelSpec(path=model(tmp_path / "b.onnx", probabilities=True)), CLASSES)(pictures())
    torch.testing.assert_close(torch.softmax(turned, 1), torch.softmax(logits, 1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("names", ["['blue', 'red', 'green']", "{0: 'blue', 1: 'red', 2: 'green'}"])
def test_outputs_are_matched_to_classes_by_name(tmp_path, names):
    path = model(tmp_path / "m.onnx", metadata={"names": names})
    answers = OnnxTeacher(ModelSpec(path=path), ("red", "green"))(pictures(1))
    torch.testing.assert_close(answers[0], torch.tensor([50.0, 50.0]) * 10 / 255)
    with pytest.raises(ModelError, match="'violet'"):
        OnnxTeacher(ModelSpec(path=path), ("red", "violet"))


def test_grey_pictures_are_shown_to_a_model_of_colours(tmp_path):
    answers = OnnxTeacher(ModelSpec(path=model(tmp_path / "m.onnx")), CLASSES)(pictures()[..., :1])
    assert answers[0].unique().numel() == 1


def test_what_cannot_teach_is_told_with_a_remedy(tmp_path):
    path = model(tmp_path / "m.onnx")
    teacher = OnnxTeacher(ModelSpec(path=path), ("red", "green"))
    with pytest.raises(ModelError, match=r"3 outputs and the data 2 classes.*--teacher-classes"):
        teacher(pictures())
    with pytest.raises(ModelError, match="mean once, or 3 times"):
        OnnxTeacher(ModelSpec(path=path, mean=(0.1, 0.2)), CLASSES)
    with pytest.raises(ModelError, match="no such file"):
        OnnxTeacher(ModelSpec(path=str(tmp_path / "none.onnx")), CLASSES)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x07not a model")
    with pytest.raises(ModelError, match="no ONNX model"):
        OnnxTeacher(ModelSpec(path=str(broken)), CLASSES)
    with pytest.raises(ModelError, match="--teacher-layout"):
        OnnxTeacher(ModelSpec(path=model(tmp_path / "odd.onnx", size=(8, 3))), CLASSES)


def test_a_student_learns_from_it_without_a_single_label(tmp_path):
    """Grey digits in three kinds of light: the model tells light, and no sample of the training split has a label."""
    recipe = load_recipe("digits")
    random = np.random.RandomState(0)
    known = data.load("digits", progress=False)

    def split(count: int, labelled: bool) -> data.Split:
        light = random.randint(0, 2, count)
        x = (random.rand(count, 8, 8, 1) * 60 + 160 * light[:, None, None, None]).astype(np.uint8)
        return data.Split(x=x, y=light.astype(np.int64) if labelled else np.full(count, -1, dtype=np.int64))

    from dataclasses import replace

    dataset = replace(
        known, classes=("dark", "light", *(f"never {n}" for n in range(8))), train=split(600, False),
        tuning=split(100, True), calibration=split(100, True), test=split(100, True),
    )  # fmt: skip
    path = brightness_model(tmp_path / "light.onnx")
    taught = recipe.model_copy(
        update={
            "model": ModelSpec(path=path),
            "losses": recipe.losses.model_copy(update={"teacher": "model", "distillation": 1.0}),
            "schedule": recipe.schedule.model_copy(update={"epochs": 3}),
        }
    )
    run = train(taught, dataset, folder=tmp_path, device="cpu", progress=False)
    assert run.history[-1]["tuning_final"] > 0.95
    moved = Path(path).rename(tmp_path / "moved.onnx")
    same = taught.model_copy(update={"model": ModelSpec(path=str(moved))})
    assert same.fingerprint() == torch.load(tmp_path / "digits-s0.pt", weights_only=True)["fingerprint"]


def brightness_model(path: Path) -> str:
    """Ten outputs, as the digits have classes: the first for dark, the second for light, the others never."""
    weight = np.zeros((10, 64), dtype=np.float32)
    weight[0], weight[1] = -20 / 64, 20 / 64
    bias = np.full(10, -50.0, dtype=np.float32)
    bias[0], bias[1] = 8.6, -8.6
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "w", "b"], ["y"], transB=1)],
        "light",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(made, path)
    return str(path)
