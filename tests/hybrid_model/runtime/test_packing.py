from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.runtime.packing import pack_words, unpack_words, words_for


@given(st.integers(1, 130), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_bits_come_back_from_words_and_unused_bits_are_zero(channels: int, rows: int, seed: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 2, (2, rows, channels)).astype(bool)
    words = pack_words(bits)
    assert words.shape == (2, rows, words_for(channels))
    assert words.dtype == np.uint32
    assert np.array_equal(unpack_words(words, channels), bits)
    assert int(np.bitwise_count(words).sum()) == int(bits.sum())


def test_the_first_channel_is_the_least_significant_bit() -> None:
    bits = np.zeros((1, 33), dtype=bool)
    bits[0, [0, 5, 32]] = True
    assert pack_words(bits).tolist() == [[0b100001, 1]]


def test_a_channel_count_that_needs_other_words_is_refused() -> None:
    with pytest.raises(ValueError, match="2 uint32 words, not 1"):
        unpack_words(np.zeros((3, 1), dtype=np.uint32), 33)
