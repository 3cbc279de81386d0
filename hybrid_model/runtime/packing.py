"""Bits in 32-bit words: how binary weights lie in a bundle, and how fast kernels keep binary activations.

Bits along the last axis (channels), least significant bit first; unused bits of the last word are zero. A set bit
stands for +1, a clear one for -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

WordArray = npt.NDArray[np.uint32]


def words_for(channels: int) -> int:
    """32-bit words that hold `channels` bits."""
    return (channels + 31) // 32


def pack_words(bits: npt.NDArray[Any]) -> WordArray:
    """Bits (..., C), anything but 0 and False counts as set -> (..., words) uint32."""
    *lead, channels = bits.shape
    padded = np.zeros((*lead, words_for(channels) * 4), dtype=np.uint8)
    packed = np.packbits(bits != 0, axis=-1, bitorder="little")
    padded[..., : packed.shape[-1]] = packed
    return padded.view("<u4").astype(np.uint32, copy=False)


def unpack_words(words: WordArray, channels: int) -> npt.NDArray[np.bool_]:
    """(..., words) uint32 -> bits (..., channels) bool. Raises ValueError where `channels` needs another word count."""
    if words.dtype != np.uint32 or words.shape[-1] != words_for(channels):
        raise ValueError(f"{channels} channels take {words_for(channels)} uint32 words, not {words.shape[-1]}")
    octets = np.ascontiguousarray(words).astype("<u4", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=channels, bitorder="little").astype(np.bool_)
