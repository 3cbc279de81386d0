from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model.runtime.plan import Plan, build_plan
from tests.hybrid_model.small_bundle import small_network


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    path: Path = tmp_path_factory.mktemp("plan") / "small.dew"
    bundle_file.save(path, *small_network())
    return build_plan(bundle_file.load(path))


def test_every_exit_ends_a_stage_and_the_last_stage_ends_at_the_cut(plan: Plan) -> None:
    assert len(plan.stages) == 3
    assert [plan.buffers[s.exit_buffer].kind for s in plan.stages if s.exit_buffer is not None] == ["logits", "logits"]
    assert plan.stages[-1].exit_buffer is None
    assert plan.stages[-1].steps[-1].output == plan.cut_buffer
    assert plan.buffers[plan.cut_buffer].kind == "codes"


def test_every_buffer_is_there_when_it_is_read_and_gone_when_it_is_not(plan: Plan) -> None:
    alive = {0}
    for stage in plan.stages:
        for step in stage.steps:
            assert set(step.inputs) <= alive
            alive = (alive | {step.output}) - set(step.frees)
        assert stage.exit_buffer is None or stage.exit_buffer in alive
        assert set(stage.kept) <= alive
        alive = set(stage.kept)
    assert alive == set()


def test_only_what_later_stages_read_is_kept(plan: Plan) -> None:
    assert [len(stage.kept) for stage in plan.stages] == [1, 1, 0]


def test_parameters_cannot_be_written(plan: Plan) -> None:
    arrays = [array for stage in plan.stages for step in stage.steps for array in step.params.values()]
    assert arrays
    assert not any(array.flags.writeable for array in arrays)
    assert all(array.flags.c_contiguous for array in arrays)


def test_the_bytes_of_one_sample_are_those_of_all_its_buffers(plan: Plan) -> None:
    sizes = {"uint8": 1, "float32": 4, "bits": 1, "levels": 1, "logits": 4, "codes": 1}
    assert plan.sample_bytes == sum(sizes[b.kind] * int(np.prod(b.shape)) for b in plan.buffers)
