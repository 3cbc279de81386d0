"""Every module of benchmarks/ runs in a form of seconds on the shipped bundles: that it works, not what it measures."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import runtimes
from benchmarks.short import BENCHMARKS
from benchmarks.twin import twin_of
from hybrid_model import bundle as bundle_file
from tests.benchmarks.forms import FORMS, ROOT, figures_of

pytestmark = pytest.mark.early


def modules() -> dict[str, Path]:
    """Every module of benchmarks/, by its name below it; a package counts as its `__main__` or `__init__`."""
    found = {}
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        parts = path.relative_to(ROOT / "benchmarks").with_suffix("").parts
        found[".".join(parts)] = path
    return found


def runnable(source: str) -> bool:
    return re.search(r"^if __name__ == .__main__.:", source, re.MULTILINE) is not None


def named_in(source: str) -> set[str]:
    """The modules of benchmarks/ that a module imports, or names in a string, as those that it starts are."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmarks"):
            module = (node.module or "").removeprefix("benchmarks").removeprefix(".")
            found |= {module} | {f"{module}.{alias.name}".removeprefix(".") for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= set(re.findall(r"^benchmarks\.([a-z0-9_.]+)(?::app)?$", node.value))
    return found


def test_every_module_is_run_by_a_form_of_seconds() -> None:
    there = modules()
    entries = {name for name, path in there.items() if runnable(path.read_text())}
    started_by_others = {name for path in there.values() for name in named_in(path.read_text())}
    forms = {name if name in there else f"{name}.__main__" for name in FORMS}
    assert forms <= entries
    assert entries - forms - started_by_others == set(), "give the new benchmark a form of seconds in FORMS"

    reached, waiting = set(), [*forms]
    while waiting:
        name = waiting.pop()
        if name in there and name not in reached:
            reached.add(name)
            waiting += named_in(there[name].read_text())
            waiting += [f"{name}.__init__", f"{name}.__main__"]
            waiting += [".".join([*name.split(".")[:depth], "__init__"]) for depth in range(name.count(".") + 1)]
    assert set(there) - reached == set(), "no benchmark that is run here imports it"


def test_the_reuse_of_answers_is_measured(tmp_path: Path) -> None:
    assert figures_of("reuse", tmp_path)


def test_the_short_form_runs_every_benchmark_of_times() -> None:
    assert set(BENCHMARKS) == set(FORMS) - {"results", "reuse", "short"}


def test_the_edge_engine_is_measured_on_layers_and_on_the_shipped_edge_halves(tmp_path: Path) -> None:
    found = figures_of("edge_engine", tmp_path)
    assert [row["name"] for row in found["nets"]] == [
        "plain",
        *(f"{name} edge half" for name in ("cifar10", "cifar100", "har")),
    ]
    for row in [*found["layers"], *found["nets"]]:
        assert row["best_fp32"], "torch is there"
        assert all(us > 0 for us in row["all_us"].values()) or row in found["layers"]  # a difference of two chains
    assert (tmp_path / "picture.svg").stat().st_size > 0


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "digits", "har"])
def test_all_runtimes_run_the_same_twin(name: str) -> None:
    twin = twin_of(bundle_file.load(bundle_file.resolve(name)), with_cut=True)
    answers = {each: runtimes.RUNTIMES[each][1](twin, False)() for each in ("torch", "onnxruntime")}
    for ours, theirs in zip(answers["torch"], answers["onnxruntime"], strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-3, atol=1e-3)


def test_the_cost_of_inputs_is_measured_also_beside_another_checkout(tmp_path: Path) -> None:
    found = figures_of("inputs", tmp_path)
    assert set(found["us_a_message"]) == {"own", "names", "nested", "expression", "png", "jpeg", "array"}
    assert all(0 < us < 1e5 for us in found["us_a_message"].values())
    assert set(found["over_own"]) == {"names", "nested", "expression"}
    assert set(found["over_beside"]) == {"own", "png", "jpeg", "array"}


def test_metrics_audit_and_control_are_priced_on_whole_workers(tmp_path: Path) -> None:
    found = figures_of("overhead", tmp_path)
    assert found["rounds"] == 1
    assert found["throughput_on_over_off"]["median"] > 0


def test_traces_are_priced_on_whole_workers(tmp_path: Path) -> None:
    found = figures_of("traces", tmp_path)
    assert found["rounds"] == 1
    assert found["off_calls_us_per_sample"] > 0


def test_edges_of_every_size_are_timed_beside_the_shipped_one(tmp_path: Path) -> None:
    found = figures_of(
        "sizes", tmp_path, statuses=(0, 1)
    )  # a busy machine may break a bound, which is no fault of the tool
    assert found["rows"][0]["name"] == "cifar10"
    assert len(found["rows"]) > 5
    assert set(found["kept"]) == {"64", "224"}


def test_the_figures_of_a_bundle_are_written_and_drawn(tmp_path: Path) -> None:
    figures_of("results", tmp_path)
    told = json.loads((tmp_path / "results" / "digits-s0.json").read_text())
    assert told["evaluation"]["accuracy"]["hybrid"] > 0.9
    assert {path.name for path in (tmp_path / "results").glob("*.svg")} == {"digits.svg", "reliability.svg"}
