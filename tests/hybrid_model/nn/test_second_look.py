"""Samples whose first two classes lead almost side by side get float32's logits, the others keep theirs."""

import torch

from hybrid_model.nn.second_look import SecondLook

LOW = torch.tensor([[3.0, 2.9, 0.0], [3.0, 1.0, 2.0], [0.0, 5.0, 5.0], [float("nan"), 1.0, 1.0]])
FULL = torch.tensor([[2.9, 3.0, 0.0], [9.0, 9.0, 9.0], [0.0, 5.1, 5.0], [9.0, 9.0, 9.0]])


def looked(close: float) -> tuple[torch.Tensor, list[int]]:
    asked: list[int] = []

    def full(rows: torch.Tensor) -> torch.Tensor:
        asked.extend(rows.flatten().tolist())
        return FULL[rows.flatten()]

    return SecondLook(lambda rows: LOW[rows.flatten()].clone(), full, close)(torch.arange(4).reshape(4, 1)), asked


def test_close_calls_are_decided_in_float32_and_nothing_else_is():
    logits, asked = looked(0.5)
    assert asked == [0, 2]
    assert logits[[0, 2]].equal(FULL[[0, 2]])
    assert logits[1].equal(LOW[1])
    assert logits[3, 0].isnan()


def test_without_a_distance_nothing_is_looked_at_again():
    logits, asked = looked(0.0)
    assert asked == []
    assert logits[:3].equal(LOW[:3])


def test_float32_is_not_asked_where_nothing_is_close():
    logits, asked = looked(1e-9)
    assert asked == [2]  # a tie
    assert logits[0].equal(LOW[0])
