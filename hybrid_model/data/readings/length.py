"""How many readings make a window."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hybrid_model.data.readings.error import ReadingsError
from hybrid_model.data.readings.recordings import Recording
from hybrid_model.data.readings.windows import labelled_run

__all__ = ["LENGTHS", "chosen_length", "stem_stride"]

#: Seconds of a window where nobody asks for others: of people moving, some steps.
_SECONDS = 2.56
#: Shortest and longest window; what is longer is more than one look at a machine needs, and slow at the edge.
LENGTHS = (8, 16_384)
_CHOSEN = (32, 2048)
#: What the network halves the length by, behind its stem.
_HALVINGS = 4
_POSITIONS = 32
_STRIDE_MAX = 16


def stem_stride(length: int) -> int:
    """By how much the first convolution thins a window, so that about 32 places are left; 16 at most."""
    return int(min(_STRIDE_MAX, max(1, 2 ** round(math.log2(max(length / _POSITIONS, 1))))))


def chosen_length(
    found: Sequence[Recording], rate_hz: float, window_s: float | None, hop_s: float | None
) -> tuple[int, int, str]:
    """Readings of a window, from one to the next, and a line that tells why. Raises ReadingsError."""
    if window_s is None:
        wanted = 2 ** round(math.log2(max(rate_hz * _SECONDS, 1)))
        wanted = min(max(wanted, _CHOSEN[0]), _CHOSEN[1])
        why = f"near {_SECONDS:g} s" if _CHOSEN[0] < wanted < _CHOSEN[1] else f"within {_CHOSEN[0]} to {_CHOSEN[1]}"
        run = labelled_run(found)
        while wanted > LENGTHS[0] and 2 * wanted > run:
            wanted //= 2
            why = f"labels stay the same for {run} readings at the median, which has to hold two windows"
    else:
        wanted = round(window_s * rate_hz)
        why = "as asked"
    length = _permitted(wanted)
    if not LENGTHS[0] <= length <= LENGTHS[1]:
        shortest_s, longest_s = (number / rate_hz for number in LENGTHS)
        raise ReadingsError(
            f"a window of {window_s:g} s has {wanted:,} readings at {rate_hz:g} Hz, {LENGTHS[0]} to {LENGTHS[1]:,} are "
            f"possible: take a --window-s from {shortest_s:.3g} to {longest_s:.3g}, or another --rate-hz"
        )
    hop = length // 2 if hop_s is None else round(hop_s * rate_hz)
    if not 1 <= hop <= length:
        raise ReadingsError(
            f"--hop-s {hop_s:g} is {hop} readings, 1 to {length} (a window) are possible at {rate_hz:g} Hz"
        )
    rounded = "" if length == wanted else f", {wanted} made a multiple of {_HALVINGS * stem_stride(length)}"
    return (
        length,
        hop,
        (f"windows of {length} readings ({length / rate_hz:.4g} s at {rate_hz:g} Hz), one every {hop}: {why}{rounded}"),
    )


def _permitted(wanted: int) -> int:
    """The nearest length that the network can halve after its stem."""
    multiple = _HALVINGS * stem_stride(wanted)
    length = max(1, round(wanted / multiple)) * multiple
    while length % (_HALVINGS * stem_stride(length)):
        length += multiple
    return length
