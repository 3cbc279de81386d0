"""Contrast, elastic transforms, pixelation, JPEG. Pictures in 0..1 in and out; severity counts from 0."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from hybrid_model.corruptions.pictures import Pictures, to_bytes
from hybrid_model.corruptions.resampling import gaussian_blurred, sampled
from hybrid_model.corruptions.streams import Streams

#: Share of the contrast that is left.
_CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
#: As shares of the side: strength and smoothness of the displacement, and how far three points are moved.
_ELASTIC = ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))
#: Side of the small picture, as a share.
_PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)
_JPEG_QUALITY = (80, 65, 58, 50, 40)


def contrast(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Each channel drawn towards its mean."""
    del streams
    # In whole grey levels, so that the sum does not depend on its order.
    levels = np.rint(x * 255).astype(np.int64).sum(axis=(1, 2), keepdims=True)
    mean = (levels / (255.0 * x.shape[1] * x.shape[2])).astype(np.float32)
    flatter: Pictures = (x - mean) * np.float32(_CONTRAST[severity]) + mean
    return flatter


def elastic_transform(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Sheared a little, and stretched and pressed from place to place (after Simard, Steinkraus and Platt 2003)."""
    strength, smoothness, shear = (share * min(x.shape[1:3]) for share in _ELASTIC[severity])
    height, width = x.shape[1:3]
    rows, columns = np.meshgrid(
        np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32), indexing="ij"
    )  # (H, W) each
    places = np.stack([np.broadcast_to(one, x.shape[:3]) for one in (columns, rows)])
    matrix, shift = _affine(height, width, shear, streams)
    if strength > 0:
        drawn = np.moveaxis(streams.uniform(-1.0, 1.0, height, width, 2), 3, 0)
        smooth = [gaussian_blurred(one[..., None], smoothness)[..., 0] for one in drawn]
        places = places + np.float32(strength) * np.stack(smooth)
    across, down = (
        matrix[:, row, 0, None, None] * places[0]
        + matrix[:, row, 1, None, None] * places[1]
        + shift[:, row, None, None]
        for row in (0, 1)
    )
    return sampled(x, down, across)


def pixelate(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Made smaller and larger again, by box filters."""
    del streams
    height, width = x.shape[1:3]
    small = (int(width * _PIXELATE[severity]), int(height * _PIXELATE[severity]))

    def coarse(picture: Image.Image) -> Image.Image:
        box = Image.Resampling.BOX
        return picture.resize(small, box).resize((width, height), box)

    return _shares(np.stack([_array(coarse(_picture(one))) for one in to_bytes(x)]))


def jpeg_compression(x: Pictures, severity: int, streams: Streams) -> Pictures:
    """Through JPEG."""
    del streams
    return through_jpeg(x, _JPEG_QUALITY[severity])


def through_jpeg(x: Pictures, quality: int) -> Pictures:
    """Encoded and decoded by Pillow at this quality, 1 to 95. What comes out depends on the version of its library."""
    found = []
    for one in to_bytes(x):
        buffer = io.BytesIO()
        _picture(one).save(buffer, "JPEG", quality=quality)
        found.append(_array(Image.open(buffer)))
    return _shares(np.stack(found))


def _affine(
    height: int, width: int, shear: float, streams: Streams
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Matrix (N, 2, 2) and shift (N, 2), x before y: from where each place is taken if three points move at random.

    The points are corners of a square around the centre, two thirds of the shorter side wide.
    """
    centre = np.array([width // 2, height // 2], dtype=np.float32)
    reach = np.float32(min(height, width) // 3)
    fixed = centre + reach * np.array([[1, 1], [1, -1], [-1, -1]], dtype=np.float32)
    moved = fixed + streams.uniform(-shear, shear, 3, 2)
    (a, c), (b, d) = (np.moveaxis(moved[:, point] - moved[:, 2], 1, 0) for point in (0, 1))
    (e, g), (f, h) = (fixed[point] - fixed[2] for point in (0, 1))
    area = a * d - b * c
    # [[e, f], [g, h]] times the inverse of [[a, b], [c, d]]
    top = [(e * d - f * c) / area, (f * a - e * b) / area]
    bottom = [(g * d - h * c) / area, (h * a - g * b) / area]
    matrix = np.stack([np.stack(top, axis=1), np.stack(bottom, axis=1)], axis=1)
    shift = fixed[2] - (matrix[:, :, 0] * moved[:, 2, 0, None] + matrix[:, :, 1] * moved[:, 2, 1, None])
    return matrix, shift


def _picture(values: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)


def _array(picture: Image.Image) -> npt.NDArray[np.uint8]:
    values = np.asarray(picture)
    return values[:, :, None] if values.ndim == 2 else values


def _shares(values: npt.NDArray[np.uint8]) -> Pictures:
    return values.astype(np.float32) / np.float32(255)
