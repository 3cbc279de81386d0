"""Whatever Pillow reads becomes upright RGB of 8 bits in one size."""

import io

import numpy as np
import pytest
from PIL import Image

from hybrid_model.pixels import Fit, PictureRules, network_pixels, opened, rgb_pixels, upright_size

RED, BLUE = (255, 0, 0), (0, 0, 255)


def _file(image: Image.Image, form: str = "PNG", **options) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, format=form, **options)
    stream.seek(0)
    return opened(stream)


def _halves(mode: str = "RGB") -> Image.Image:
    """Red above blue, 8 wide and 4 high."""
    image = Image.new("RGB", (8, 4), RED)
    image.paste(BLUE, (0, 2, 8, 4))
    return image.convert(mode)


@pytest.mark.parametrize(("orientation", "corner"), [(1, "top"), (3, "bottom"), (6, "right"), (8, "left")])
def test_a_picture_is_turned_as_its_exif_data_say(orientation, corner):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = _file(_halves(), exif=exif)
    size = upright_size(image)
    assert size == ((8, 4) if orientation in (6, 8) else (4, 8))
    pixels = rgb_pixels(image, *size)
    middle_row, middle_column = size[0] // 2, size[1] // 2
    red = {
        "top": pixels[0, middle_column], "bottom": pixels[-1, middle_column],
        "left": pixels[middle_row, 0], "right": pixels[middle_row, -1],
    }[corner]  # fmt: skip
    assert red.tolist() == list(RED)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_modes_of_colour_give_the_same_pixels(mode):
    assert np.array_equal(rgb_pixels(_file(_halves(mode)), 4, 8), np.asarray(_halves()))


def test_print_colours_become_rgb():
    pixels = rgb_pixels(_file(_halves("CMYK"), "TIFF"), 4, 8)
    assert pixels[0, 0].tolist() == list(RED)


def test_what_is_transparent_lies_on_white():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (rgb_pixels(_file(image), 4, 4) == 255).all()


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_becomes_three_equal_channels(mode):
    pixels = rgb_pixels(_file(_halves("L").convert(mode)), 4, 8)
    assert (pixels == pixels[..., :1]).all()


def test_sixteen_bits_become_eight():
    levels = np.array([[0, 257 * 100, 65535]], dtype=np.uint16)
    assert rgb_pixels(_file(Image.fromarray(levels)), 1, 3)[0, :, 0].tolist() == [0, 100, 255]


def test_floats_from_zero_to_one_become_grey_levels():
    values = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    assert rgb_pixels(_file(Image.fromarray(values), "TIFF"), 1, 3)[0, :, 0].tolist() == [0, 128, 255]


def test_of_an_animation_the_first_frame_counts():
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    animated = _file(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert rgb_pixels(animated, 4, 4)[0, 0].tolist() == list(RED)


def test_a_picture_is_stretched_to_the_size():
    assert rgb_pixels(_file(_halves()), 16, 16).shape == (16, 16, 3)


def test_a_large_jpeg_is_decoded_small_and_looks_the_same():
    image = Image.new("RGB", (1600, 1200), (200, 120, 40))
    pixels = rgb_pixels(_file(image, "JPEG"), 32, 32)
    assert np.abs(pixels.astype(int) - (200, 120, 40)).max() <= 2


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("fit", ["resize", "crop", "letterbox"])
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(fit: Fit, channels: int):
    image = _file(Image.new("RGB", (1920, 1080), (200, 120, 40)), "JPEG")
    network_pixels(image, (32, 32, channels), PictureRules(fit=fit))
    assert image.size == (240, 135)  # an eighth: what was decoded


def test_of_a_part_as_many_pixels_are_decoded_as_it_takes():
    image = _file(Image.new("RGB", (1920, 1080)), "JPEG")
    network_pixels(image, (32, 32, 3), PictureRules(roi=(0.25, 0.25, 0.5, 0.5)))
    assert image.size == (480, 270)  # of which the part is 120 x 68, twice what is wanted


def test_damaged_exif_data_do_not_spoil_a_picture(monkeypatch):
    monkeypatch.setattr(Image.Image, "getexif", lambda self: {}["damaged"])
    assert np.array_equal(rgb_pixels(_file(_halves()), 4, 8), np.asarray(_halves()))


def test_programs_that_draw_are_not_opened():
    with pytest.raises(Exception, match="cannot identify"):
        opened(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"))
