"""The trial at load: what is faster by enough is chosen, and a small batch is not divided among threads."""

import time

import pytest
import torch

from hybrid_model.nn import speed_trial as module
from hybrid_model.nn.speed_trial import speed_trial, usable_threads

BATCH = torch.zeros(4, 1, 1, 1)


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def lasting(seconds):
    """A forward that takes so long at least."""

    def forward(x):
        time.sleep(seconds)
        return x

    return forward


def test_bfloat16_is_chosen_where_it_is_faster():
    found = speed_trial({"fp32": lasting(0.05), "bf16": lasting(0.005)}, BATCH, None)
    assert found.precision == "bf16"
    assert found.batch == 4
    assert found.seconds["fp32"] >= 0.05


@pytest.mark.parametrize("bf16_s", [0.05, 0.0198])
def test_float32_stays_where_bfloat16_is_slower_or_hardly_faster(bf16_s):
    assert speed_trial({"fp32": lasting(0.02), "bf16": lasting(bf16_s)}, BATCH, 1).precision == "fp32"


def test_a_small_batch_runs_on_one_thread_and_a_large_one_on_all(monkeypatch):
    monkeypatch.setattr(module, "usable_threads", lambda: 2)
    assert speed_trial({"fp32": lambda x: x}, BATCH, None).threads == 1
    assert torch.get_num_threads() == 1
    assert speed_trial({"fp32": lasting(0.002)}, BATCH, None).threads == 2
    assert torch.get_num_threads() == 2


def test_as_many_threads_as_asked_for():
    assert speed_trial({"fp32": lambda x: x}, BATCH, 2).threads == 2
    assert torch.get_num_threads() == 2


def test_it_ends_soon_however_slow_a_forward_is():
    calls = []

    def slow(x):
        calls.append(x)
        time.sleep(0.2)
        return x

    speed_trial({"fp32": slow}, BATCH, 1)
    assert len(calls) <= 4


@pytest.mark.parametrize(
    ("quota", "threads"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("20000 100000", 1), ("?", 8), (None, 8)],
)
def test_no_more_threads_than_a_container_pays_for(monkeypatch, tmp_path, quota, threads):
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(module, "_CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(module, "_DEFAULT_THREADS", 8)
    assert usable_threads() == threads
