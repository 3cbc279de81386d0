"""Picture files: pixels, or a refusal with a reason; never a crash. And pixels as PNG."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hybrid_model.pixels import PictureRules, opened, rgb_pixels
from services.messages import MessageError
from services.pictures import decode_picture, png_bytes, png_url, read_picture


def picture(shape: tuple[int, ...] = (8, 8), *, form: str = "PNG", mode: str | None = None) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(file, form)
    return file.getvalue()


def reason(caught: pytest.ExceptionInfo[MessageError]) -> str:
    return caught.value.reason


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_pictures_of_each_format_decode(form: str) -> None:
    pixels = decode_picture(picture((4, 6, 3), form=form), (4, 6, 3))
    assert pixels.shape == (4, 6, 3)
    assert pixels.dtype == np.uint8


def turned(width: int, height: int) -> bytes:
    """A picture that was taken with the camera on its side, `width` and `height` as it is upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    file = io.BytesIO()
    Image.new("RGB", (height, width)).save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_is_turned_upright_before_its_shape_is_compared(channels: int) -> None:
    pixels = decode_picture(turned(8, 4), (4, 8, channels))
    assert pixels.shape == (4, 8, channels)


def test_pixels_are_those_that_a_training_on_own_pictures_sees(tmp_path) -> None:
    data = picture((60, 50, 3), form="JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    with opened(tmp_path / "a.jpg") as image:
        trained = rgb_pixels(image, 32, 32)
    assert np.array_equal(decode_picture(data, (32, 32, 3), rules=PictureRules()), trained)


@pytest.mark.parametrize(("mode", "shape"), [("L", (8, 8, 3)), ("RGB", (8, 8, 1)), ("P", (8, 8, 3)), ("1", (8, 8, 1))])
def test_pictures_of_another_mode_are_converted(mode: str, shape: tuple[int, ...]) -> None:
    assert decode_picture(picture((8, 8, 3), mode=mode), shape).shape == shape


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_picture_is_refused(form: str, share: float) -> None:
    data = picture((64, 64, 3), form=form)
    with pytest.raises(MessageError) as caught:
        decode_picture(data[: int(len(data) * share)], (64, 64, 3))
    assert reason(caught) == "bad_image"


def test_a_picture_of_another_size_is_refused_or_scaled() -> None:
    with pytest.raises(MessageError) as caught:
        decode_picture(picture((9, 8)), (8, 8, 1))
    assert reason(caught) == "wrong_shape"
    assert decode_picture(picture((90, 80)), (8, 8, 1), rules=PictureRules()).shape == (8, 8, 1)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000)))
    with pytest.raises(MessageError) as caught:
        decode_picture(bomb, (8, 8, 1), rules=PictureRules())
    assert reason(caught) == "too_many_pixels"


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(form: str) -> None:
    with pytest.raises(MessageError) as caught:
        decode_picture(picture(form=form), (8, 8, 1))
    assert reason(caught) == "bad_image"


def test_pictures_of_16_bits_are_refused() -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(file, "PNG")
    with pytest.raises(MessageError) as caught:
        decode_picture(file.getvalue(), (8, 8, 1))
    assert reason(caught) == "wrong_mode"


@given(st.binary(max_size=200), st.integers(0, 300))
def test_any_bytes_are_a_picture_or_a_message_error(noise: bytes, at: int) -> None:
    data = picture()
    for payload in (noise, data[:at] + noise + data[at + len(noise) :]):
        try:
            assert decode_picture(payload, (8, 8, 1)).shape == (8, 8, 1)
        except MessageError:
            continue


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_loses_nothing(channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    assert (decode_picture(png_bytes(pixels), pixels.shape) == pixels).all()
    assert (read_picture(png_bytes(pixels), side_max=100) == pixels).all()
    head, _, body = png_url(pixels, side_max=100).partition(",")
    assert head == "data:image/png;base64"
    assert (decode_picture(base64.b64decode(body), pixels.shape) == pixels).all()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_picture_to_look_at_is_made_smaller_and_keeps_its_proportions(form: str) -> None:
    assert read_picture(picture((300, 600, 3), form=form), side_max=100).shape == (50, 100, 3)
    large = np.zeros((300, 600, 1), np.uint8)
    shown = base64.b64decode(png_url(large, side_max=100).partition(",")[2])
    assert decode_picture(shown, (50, 100, 1)).shape == (50, 100, 1)


def test_a_picture_to_look_at_is_refused_by_its_size_or_content() -> None:
    with pytest.raises(MessageError) as caught:
        read_picture(picture((40, 40)), side_max=10, pixels_max=1000)
    assert reason(caught) == "too_many_pixels"
    with pytest.raises(MessageError) as caught:
        read_picture(b"no picture", side_max=10)
    assert reason(caught) == "bad_image"
    assert read_picture(picture((8, 8, 3), mode="P"), side_max=10).shape == (8, 8, 3)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_to_look_at_stands_upright(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture_on_its_side = Image.new("RGB", (60, 40), "red")
    picture_on_its_side.paste("blue", (0, 20, 60, 40))
    picture_on_its_side.save(file, form, exif=exif)
    shown = read_picture(file.getvalue(), side_max=30)
    assert shown.shape == (30, 20, 3)
    assert shown[15, 2].tolist()[2] > 200  # what was at the bottom is on the left
    assert shown[15, -3].tolist()[0] > 200


def test_in_a_picture_to_look_at_no_colour_shows_that_is_transparent() -> None:
    file = io.BytesIO()
    Image.new("P", (8, 8), 0).save(file, "PNG", transparency=0)
    assert (read_picture(file.getvalue(), side_max=8) == 255).all()


def test_a_picture_of_16_bits_to_look_at_is_not_all_white() -> None:
    levels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    shown = read_picture(file.getvalue(), side_max=8)
    assert (shown[0, 0, 0], shown[-1, -1, 0]) == (0, 255)
    assert 100 < shown[4, 0, 0] < 150
