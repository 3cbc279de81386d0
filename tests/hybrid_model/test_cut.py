from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid_model.cut import CutError, differing_bits, pack, pack_batch, packed_bytes, unpack, unpack_batch

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 17))


@given(SHAPES, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_codes_come_back_as_they_were_packed(shape: tuple[int, int, int], bits: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, 2**bits, shape, dtype=np.uint8)
    packed = pack(codes, bits)
    assert len(packed) == packed_bytes(shape, bits) == -(-codes.size * bits // 8)
    assert np.array_equal(unpack(packed, shape, bits), codes)


@given(SHAPES, st.integers(1, 4), st.binary(max_size=64))
def test_every_byte_string_is_refused_or_is_the_one_encoding_of_its_codes(
    shape: tuple[int, int, int], bits: int, raw: bytes
) -> None:
    try:
        codes = unpack(raw, shape, bits)
    except CutError:
        return
    assert pack(codes, bits) == raw


def test_codes_are_laid_out_least_significant_bit_first_across_bytes() -> None:
    assert pack(np.array([[[1, 0, 1, 1, 0, 0, 0, 0, 1]]], dtype=np.uint8), 1) == bytes([0b00001101, 0b1])
    assert pack(np.array([[[5, 2, 7]]], dtype=np.uint8), 3) == bytes([0b11010101, 0b1])


def test_a_batch_packs_each_sample_as_if_it_were_alone() -> None:
    codes = np.random.default_rng(0).integers(0, 8, (6, 2, 3, 5), dtype=np.uint8)
    packed = pack_batch(codes, 3)
    assert packed == [pack(sample, 3) for sample in codes]
    assert np.array_equal(unpack_batch(packed, (2, 3, 5), 3), codes)
    assert pack_batch(codes[:0], 3) == []
    assert unpack_batch([], (2, 3, 5), 3).shape == (0, 2, 3, 5)


def test_set_bits_behind_the_last_code_are_refused() -> None:
    assert unpack(b"\x07", (1, 1, 3), 1).tolist() == [[[1, 1, 1]]]
    with pytest.raises(CutError, match="not zero"):
        unpack(b"\x0f", (1, 1, 3), 1)


def test_features_of_another_length_are_refused_with_both_lengths() -> None:
    with pytest.raises(CutError, match="2 bytes, not 3"):
        unpack(b"\0\0\0", (2, 2, 4), 1)


@pytest.mark.parametrize("bits", [0, 5, 8])
def test_a_cut_of_other_than_1_to_4_bits_is_refused(bits: int) -> None:
    with pytest.raises(CutError, match="1 to 4 bits"):
        packed_bytes((1, 1, 1), bits)


def test_codes_that_do_not_fit_their_bits_or_type_are_refused() -> None:
    with pytest.raises(CutError, match="code 4 does not fit 2 bits"):
        pack(np.array([[[4]]], dtype=np.uint8), 2)
    with pytest.raises(CutError, match="uint8"):
        pack(np.zeros((1, 1, 1), dtype=np.int64), 2)
    with pytest.raises(CutError, match="shape"):
        pack(np.zeros((1, 1), dtype=np.uint8), 2)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=600))
def test_differing_bits_are_those_that_numpy_counts(pairs: list[tuple[int, int]]) -> None:
    one, other = (bytes(column) for column in (zip(*pairs, strict=True) if pairs else ((), ())))
    unpacked = [np.unpackbits(np.frombuffer(features, dtype=np.uint8)) for features in (one, other)]
    assert differing_bits(one, other) == np.count_nonzero(unpacked[0] != unpacked[1])


@given(st.integers(1, 64).flatmap(lambda size: st.tuples(*[st.binary(min_size=size, max_size=size)] * 3)))
def test_differing_bits_are_a_distance(features: tuple[bytes, bytes, bytes]) -> None:
    one, other, third = features
    assert differing_bits(one, one) == 0
    assert differing_bits(one, other) == differing_bits(other, one)
    assert (differing_bits(one, other) == 0) == (one == other)
    assert differing_bits(one, third) <= differing_bits(one, other) + differing_bits(other, third)
    assert differing_bits(one, bytes(255 - byte for byte in one)) == 8 * len(one)


@given(SHAPES, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_one_code_that_is_off_by_a_bit_is_one_bit_away(shape: tuple[int, int, int], bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**bits, shape, dtype=np.uint8)
    other = codes.copy()
    other.flat[rng.integers(codes.size)] ^= 1 << int(rng.integers(bits))
    assert differing_bits(pack(codes, bits), pack(other, bits)) == 1


def test_features_of_different_cuts_have_no_distance() -> None:
    with pytest.raises(CutError, match="2 and 3 bytes"):
        differing_bits(b"\0\0", b"\0\0\0")
