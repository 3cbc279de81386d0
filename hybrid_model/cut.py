"""The feature codec: what crosses from edge to cloud, as bytes.

Codes (H, W, C) of 1 to 4 bits are written one after the other in row-major order, least significant bit first, across
byte boundaries; the bits that fill up the last byte are zero. One sample has exactly one encoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from hybrid_model.errors import DewpointError

CodeArray = npt.NDArray[np.uint8]
Shape = tuple[int, int, int]


class CutError(DewpointError, ValueError):
    """Features that cannot be of this cut: another length, padding that is not zero, codes beyond their bits."""


def packed_bytes(shape: Shape, bits: int) -> int:
    """Bytes of one sample's features for codes of `shape` (H, W, C). Raises CutError for bits outside 1 to 4."""
    _check_bits(bits)
    return (shape[0] * shape[1] * shape[2] * bits + 7) // 8


def pack(codes: CodeArray, bits: int) -> bytes:
    """Codes (H, W, C) uint8 below 2^bits -> bytes. Raises CutError for another type, shape or a greater code."""
    if codes.ndim != 3:
        raise CutError(f"codes have the shape (H, W, C), not {codes.shape}")
    return pack_batch(codes[np.newaxis], bits)[0]


def pack_batch(codes: CodeArray, bits: int) -> list[bytes]:
    """Codes (N, H, W, C) uint8 below 2^bits -> one bytes object per sample. Raises CutError as `pack` does."""
    _check_bits(bits)
    if codes.dtype != np.uint8 or codes.ndim != 4:
        raise CutError(f"codes have the shape (N, H, W, C) and type uint8, not {codes.shape} {codes.dtype}")
    if codes.size and int(codes.max()) >> bits:
        raise CutError(f"code {int(codes.max())} does not fit {bits} bits")
    places = np.arange(bits, dtype=np.uint8)
    spread = (codes[..., np.newaxis] >> places) & np.uint8(1)
    rows = spread.reshape(codes.shape[0], int(np.prod(codes.shape[1:])) * bits)
    return [row.tobytes() for row in np.packbits(rows, axis=1, bitorder="little")]


def unpack(features: bytes, shape: Shape, bits: int) -> CodeArray:
    """Bytes -> codes (H, W, C) uint8. Raises CutError for another length, or padding bits that are not zero."""
    codes: CodeArray = unpack_batch([features], shape, bits)[0]
    return codes


def unpack_batch(features: Sequence[bytes], shape: Shape, bits: int) -> CodeArray:
    """One bytes object per sample -> codes (N, H, W, C) uint8. Raises CutError as `unpack` does."""
    expected = packed_bytes(shape, bits)
    for row in features:
        if len(row) != expected:
            raise CutError(f"features of a {shape} cut at {bits} bits have {expected} bytes, not {len(row)}")
    count = shape[0] * shape[1] * shape[2]
    packed = np.frombuffer(b"".join(features), dtype=np.uint8).reshape(len(features), expected)
    if 8 % bits == 0:  # a byte holds whole codes
        spread = np.take(_codes_of_a_byte(bits), packed, axis=0).reshape(len(features), expected * 8 // bits)
        codes, rest = spread[:, :count], spread[:, count:]
    else:
        spread = np.unpackbits(packed, axis=1, bitorder="little")
        planes, rest = spread[:, : count * bits].reshape(len(features), count, bits), spread[:, count * bits :]
        codes = planes[..., 0]
        for place in range(1, bits):
            codes = codes | (planes[..., place] << np.uint8(place))
    if rest.any():
        raise CutError("the bits behind the last code are not zero")
    joined: CodeArray = codes.reshape((len(features), *shape))
    return joined


@cache
def _codes_of_a_byte(bits: int) -> CodeArray:
    """The codes (256, 8 / bits) uint8 that every byte holds, for bits that divide 8."""
    places = np.arange(0, 8, bits, dtype=np.uint8)
    codes: CodeArray = (np.arange(256, dtype=np.uint8)[:, np.newaxis] >> places) & np.uint8(2**bits - 1)
    codes.setflags(write=False)
    return codes


def differing_bits(one: bytes, other: bytes) -> int:
    """The Hamming distance of two samples' features of one cut, in bits. Raises CutError where lengths differ."""
    if len(one) != len(other):
        raise CutError(f"features of {len(one)} and {len(other)} bytes are of different cuts")
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def _check_bits(bits: int) -> None:
    if bits not in (1, 2, 3, 4):
        raise CutError(f"a cut has 1 to 4 bits, not {bits}")
