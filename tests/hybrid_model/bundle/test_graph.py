from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hybrid_model.bundle import GraphError, Manifest, TensorType, check_graph
from tests.hybrid_model.small_bundle import Arrays, Content, small_network

Change = Callable[[Content, Arrays], object]


def op(manifest: Content, kind: str, number: int = 0) -> Content:
    found: Content = [o for o in manifest["edge_graph"] if o["op"] == kind][number]
    return found


def guard(manifest: Content, number: int) -> Content:
    found: Content = manifest["exits"][number]["guard"]
    return found


def replace(arrays: Arrays, name: str, change: Callable[[Any], Any]) -> None:
    arrays[name] = change(arrays[name])


def param(
    manifest: Content, arrays: Arrays, kind: str, role: str, change: Callable[[Any], Any], number: int = 0
) -> None:
    replace(arrays, op(manifest, kind, number)["params"][role], change)


def refusal(change: Change) -> str:
    manifest, edge, _ = small_network()
    change(manifest, edge)
    with pytest.raises(GraphError) as caught:
        check_graph(Manifest.model_validate(manifest), edge)
    return str(caught.value)


def poked(value: float) -> Callable[[Any], Any]:
    """Sets an array's first element."""

    def change(array: Any) -> Any:
        array = array.copy()
        array.flat[0] = value
        return array

    return change


def test_shapes_and_kinds_are_inferred_for_every_tensor() -> None:
    manifest, edge, _ = small_network()
    types = check_graph(Manifest.model_validate(manifest), edge)
    assert types["input"] == TensorType("uint8", (8, 8, 3))
    assert types["t0"] == TensorType("float32", (8, 8, 20))
    assert types[op(manifest, "max_pool")["out"]] == TensorType("bits", (4, 4, 20))
    assert types[op(manifest, "repeat")["out"]] == TensorType("float32", (4, 4, 40))
    assert types[op(manifest, "quantize")["out"]] == TensorType("levels", (4, 4, 40), 2)
    assert types[op(manifest, "linear")["out"]] == TensorType("logits", (1, 1, 4))
    assert types[op(manifest, "cut")["out"]] == TensorType("codes", (4, 4, 5), 1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m, a: a.pop("t0.weight"), "edge.safetensors has no t0.weight"),
        (lambda m, a: op(m, "rprelu")["params"].pop("slope"), "parameters are"),
        (lambda m, a: op(m, "add")["params"].update(x="t0.bias") if "params" in op(m, "add") else op(m, "add").update(
            params={"x": "t0.bias"}), "parameters are"),
        (lambda m, a: replace(a, "t0.weight", lambda w: w.astype(np.float32)), "weight is float32"),
        (lambda m, a: replace(a, "t0.weight", lambda w: w[:, :, :2]), r"not int8 \[KH=3, KW=3, C=3, OC=20\]"),
        (lambda m, a: replace(a, "t0.weight", lambda w: w[..., 0]), "weight is int8"),
        (lambda m, a: replace(a, "t0.bias", lambda b: b[:-1]), "bias is float32"),
        (lambda m, a: replace(a, "t0.weight", lambda w: w[:0]), "weight is int8"),
        (lambda m, a: param(m, a, "linear", "weight", lambda w: w[:-1]), "weight is float32"),
        (lambda m, a: param(m, a, "linear", "bias", poked(np.nan)), "not finite"),
        (lambda m, a: param(m, a, "conv_float", "weight", poked(np.inf)), "not finite"),
        (lambda m, a: param(m, a, "binarize", "threshold", poked(np.nan)), "not finite"),
        (lambda m, a: param(m, a, "conv_binary", "weight", lambda w: w | np.uint32(1 << 31)), "unused bits"),
        (lambda m, a: op(m, "conv_binary").update(in_channels=19), "in_channels is 19, its input has 20"),
        (lambda m, a: op(m, "conv_binary").update({"in": ["t0"]}), "takes bits, not float32"),
        (lambda m, a: op(m, "conv_kbit").update(activation_bits=4), "activation_bits is 4"),
        (lambda m, a: param(m, a, "conv_kbit", "weight", poked(5)), "weight 5 does not fit 2 bits"),
        (lambda m, a: op(m, "conv_float").update(padding=[3, 0]), "padding"),
        (lambda m, a: op(m, "max_pool").update(kernel=[9, 1]), "does not fit"),
        (lambda m, a: op(m, "add").update({"in": ["t0", "t4"]}), r"adds \[8, 8, 20\] and \[4, 4, 40\]"),
        (lambda m, a: op(m, "add").update({"in": ["t4"]}), "does not take 1 tensors"),
        (lambda m, a: op(m, "relu").update({"in": ["t4", "t4"]}), "does not take 2 tensors"),
        (lambda m, a: op(m, "repeat").update(times=3), r"adds \[4, 4, 40\] and \[4, 4, 60\]"),
        (lambda m, a: op(m, "repeat").update({"in": ["t1"]}), "takes float32, not bits"),
        (lambda m, a: op(m, "repeat").update(params={"x": "t0.bias"}), "parameters are"),
        (lambda m, a: op(m, "binarize").update({"in": ["later"]}), "no tensor later in front of it"),
        (lambda m, a: op(m, "binarize").update(out="t0"), "already is a tensor t0"),
        (lambda m, a: op(m, "binarize").update(out="input"), "already is a tensor input"),
        (lambda m, a: op(m, "binarize").update(stage=2), "stage 0 stands behind stage 2"),
        (lambda m, a: op(m, "exit", 1).update(exit=0), r"exits \[0, 0\], the manifest 2"),
        (lambda m, a: m["exits"].pop(), "the manifest 1"),
        (lambda m, a: m["exits"][1].update(stage=0), "described in stage 0"),
        (lambda m, a: m["classes"].append("more"), "exit 0 has 4 outputs for 5 classes"),
        (lambda m, a: m["edge_graph"].pop(), "one cut, in stage 2"),
        (lambda m, a: m["cut"].update(bytes=11), r"the cut is \[4, 4, 5\] at 1 bits \(10 bytes\)"),
        (lambda m, a: m["cut"].update(shape=[4, 5, 4]), "described as"),
        (lambda m, a: op(m, "cut").update(bits=2, params={}), "threshold at 1 bit and a gain above"),
        (lambda m, a: m["input"].update(shape=[8, 8, 4]), "conv_int8"),
        (lambda m, a: m["input"].update(dtype="float32"), "takes uint8, not float32"),
        (lambda m, a: guard(m, 0).update(source="later"), "exit 0: its guard reads later, and there is no such tensor"),
        (lambda m, a: guard(m, 0).update(source=guard(m, 1)["source"]), "which is made behind it"),
        (lambda m, a: guard(m, 0).update(source="t0"), "exit 0: its guard takes bits or levels, not float32"),
        (lambda m, a: guard(m, 0).update(source="input"), "takes bits or levels, not uint8"),
        (lambda m, a: a.pop("guard.1.mean"), r"exit 1: edge.safetensors has no guard.1.mean \(mean of its guard\)"),
        (lambda m, a: replace(a, "guard.0.weight", lambda w: w[:-1]), r"int8 \[19, 3\], not int8 \[20, 3\]"),
        (lambda m, a: replace(a, "guard.0.weight", lambda w: w.astype(np.int16)), "weight of its guard is int16"),
        (lambda m, a: replace(a, "guard.0.mean", lambda w: w[:-1]), r"mean of its guard is float32 \[3, 3\], not"),
        (lambda m, a: replace(a, "guard.0.scale", lambda w: w[:0]), "its guard looks at 0 directions"),
        (lambda m, a: replace(a, "guard.0.scale", lambda w: w.reshape(1, 3)), "its guard looks at 0 directions"),
        (lambda m, a: replace(a, "guard.0.scale", lambda w: np.ones(257, np.float32)), "at 257 directions"),
        (lambda m, a: replace(a, "guard.1.scale", poked(np.inf)), "scale of its guard has a value that is not finite"),
        (lambda m, a: op(m, "rprelu")["params"].update(slope="guard.0.scale"), "which is a guard's"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_with_the_reason(change: Change, reason: str) -> None:
    message = refusal(change)
    assert re.search(reason, message), message


def test_a_refusal_names_the_operation() -> None:
    message = refusal(lambda m, a: a.pop("t1.threshold"))
    assert message.startswith("operation 1 (binarize -> t1): ")


def test_integer_sums_that_float32_cannot_hold_are_refused() -> None:
    manifest, edge, _ = small_network(channels=20)
    entry = op(manifest, "conv_int8")
    wide = 2**24 // (255 * 127 * 9) + 1
    manifest["input"]["shape"] = [8, 8, wide]
    edge[entry["params"]["zero_point"]] = np.zeros(wide, dtype=np.int16)
    edge[entry["params"]["weight"]] = np.full((3, 3, wide, 20), 127, dtype=np.int8)
    with pytest.raises(GraphError, match="only sums below 16777216 are exact"):
        check_graph(Manifest.model_validate(manifest), edge)
    edge[entry["params"]["zero_point"]][:] = 127
    check_graph(Manifest.model_validate(manifest), edge)


def test_tensors_beyond_all_measure_are_refused_before_they_are_made() -> None:
    message = refusal(lambda m, a: m["input"].update(shape=[60_000, 60_000, 3]))
    assert "elements" in message


def test_infinite_thresholds_stand_for_always_and_never() -> None:
    manifest, edge, _ = small_network()
    param(manifest, edge, "binarize", "threshold", poked(-np.inf))
    check_graph(Manifest.model_validate(manifest), edge)
