"""Pictures as the world sends them: turned, transparent, cut short, of another size, in other wrappings."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hybrid_model.bundle import Input
from hybrid_model.data.pictures.loading import decode
from hybrid_model.data.pictures.survey import Picture
from services.edge.errors import EdgeError
from services.edge.ingest.decoding import payload_kind
from services.messages import MessageError, Sample
from services.settings import InputSettings, LimitSettings

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def bundle_input(*shape: int, dtype: str = "uint8") -> Input:
    return Input.model_validate({"kind": "image", "shape": shape, "dtype": dtype})


def taken(payload: bytes, shape: tuple[int, ...], kind: str = "image", /, **settings: Any) -> np.ndarray[Any, Any]:
    """The pixels that an input of these settings makes of a payload."""
    expected = bundle_input(*shape, dtype=settings.pop("bundle_dtype", "uint8"))
    limits = LimitSettings(**settings.pop("limits", {}))
    decoder: Any = payload_kind(expected, InputSettings(kind=kind, **settings), limits)
    found: np.ndarray[Any, Any] = decoder.sample(payload, 1.0).array
    assert found.shape == shape
    return found


def refused(payload: bytes, shape: tuple[int, ...] = (8, 8, 3), kind: str = "image", **settings: Any) -> MessageError:
    with pytest.raises(MessageError) as caught:
        taken(payload, shape, kind, **settings)
    assert "\n" not in caught.value.detail
    return caught.value


def file(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def noise(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def scene(width: int, height: int) -> Image.Image:
    """Smooth, as a photograph, so that JPEG keeps it; no part like another."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / width * 5 + phase) + np.cos(y / height * 4 - phase) for phase in (0.0, 1.0, 2.5)]
    return Image.fromarray(np.rint(np.stack(waves, -1) * 55 + 128).astype(np.uint8))


# Turned


#: How the camera's sensor saw an upright scene, by the EXIF orientation that it then writes.
SEEN: dict[int, Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def turned(upright: np.ndarray[Any, Any], orientation: int, form: str = "PNG", **options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = np.ascontiguousarray(SEEN[orientation](upright))
    return file(Image.fromarray(seen[:, :, 0] if seen.shape[2] == 1 else seen), form, exif=exif, **options)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("orientation", SEEN)
def test_a_picture_stands_upright_whichever_way_the_camera_was_held(orientation: int, channels: int) -> None:
    upright = noise(6, 9, channels)
    if channels == 4:
        upright[..., 3] |= 1
    assert np.array_equal(taken(turned(upright, orientation), (6, 9, channels)), upright)


@pytest.mark.parametrize("orientation", SEEN)
def test_a_large_jpeg_stands_upright_too(orientation: int) -> None:
    upright = np.asarray(scene(640, 480))
    pixels = taken(turned(upright, orientation, "JPEG", quality=95), (24, 32, 3), fit="resize")
    wanted = np.asarray(scene(640, 480).resize((32, 24), Image.Resampling.BOX))
    assert np.abs(pixels.astype(int) - wanted).max() <= 12


# Transparent


def hidden(colour: tuple[int, int, int]) -> Image.Image:
    """Blue on the left; on the right a colour that nobody sees."""
    image = Image.new("RGBA", (8, 8), (*colour, 0))
    image.paste((*BLUE, 255), (0, 0, 4, 8))
    return image


@pytest.mark.parametrize("fit", ["exact", "resize"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_colour_that_nobody_sees_does_not_count(channels: int, fit: str) -> None:
    size = 8 if fit == "exact" else 4
    seen = [taken(file(hidden(colour)), (size, size, channels), fit=fit) for colour in (RED, GREEN, (0, 0, 0))]
    assert np.array_equal(seen[0], seen[1])
    assert np.array_equal(seen[0], seen[2])
    assert (seen[0][:, -1, : min(channels, 3)] == 255).all()
    assert (seen[0][:, 0, : min(channels, 3)] == (29 if channels == 1 else BLUE)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_with_alpha_lies_on_white(channels: int) -> None:
    pixels = np.zeros((8, 8, 2), np.uint8)
    pixels[:, 4:, 1] = 255
    found = taken(file(Image.fromarray(pixels, "LA")), (8, 8, channels))
    assert (found[:, :4] == 255).all()
    assert (found[:, 4:] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_the_colour_that_a_png_calls_transparent_lies_on_white(mode: str, channels: int) -> None:
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([*RED, *BLUE])
        data = file(image, transparency=0)
    elif mode == "L":
        data = file(Image.new("L", (8, 8), 7), transparency=7)
    else:
        data = file(Image.new("RGB", (8, 8), RED), transparency=RED)
    assert (taken(data, (8, 8, channels)) == 255).all()


def test_transparent_parts_lie_on_the_colour_that_is_set() -> None:
    assert (taken(file(hidden(RED)), (8, 8, 3), background=[0, 128, 0])[:, 4:] == (0, 128, 0)).all()
    half = Image.new("RGBA", (8, 8), (*BLUE, 51))
    assert taken(file(half), (8, 8, 3), background=[0, 0, 0])[0, 0].tolist() == [0, 0, 51]


# Arrays


@pytest.mark.parametrize("shape", [(3, 32, 32), (32, 3, 32), (32, 96, 1, 1), (3, 1024)])
def test_an_array_whose_axes_are_in_another_order_is_not_taken_for_one_of_ours(shape: tuple[int, ...]) -> None:
    if shape == (32, 96, 1, 1):
        assert taken(bytes(3072), (32, 32, 3), "array", shape=shape).shape == (32, 32, 3)
        return
    with pytest.raises(EdgeError) as caught:
        taken(bytes(3072), (32, 32, 3), "array", shape=shape)
    assert ('layout = "chw"' in str(caught.value)) == (shape != (32, 3, 32))


@pytest.mark.parametrize("shape", [None, (3, 32, 32), (3, 1024), (3072,)])
def test_an_array_of_channels_first_is_transposed(shape: tuple[int, ...] | None) -> None:
    wanted = noise(32, 32, 3)
    sent = np.ascontiguousarray(wanted.transpose(2, 0, 1)).tobytes()
    assert np.array_equal(taken(sent, (32, 32, 3), "array", shape=shape, layout="chw"), wanted)


def test_windows_of_channels_first_are_transposed() -> None:
    wanted = np.random.default_rng(0).normal(size=(1, 16, 9)).astype(np.float32)
    sent = np.ascontiguousarray(wanted[0].T).tobytes()
    options = {"shape": (9, 16), "layout": "chw", "bundle_dtype": "float32"}
    assert np.array_equal(taken(sent, (1, 16, 9), "array", **options), wanted)


def test_blue_and_red_change_places() -> None:
    wanted = noise(8, 8, 3)
    swapped = np.ascontiguousarray(wanted[..., ::-1])
    assert np.array_equal(taken(swapped.tobytes(), (8, 8, 3), "array", channels="bgr"), wanted)
    assert np.array_equal(taken(file(Image.fromarray(swapped)), (8, 8, 3), channels="bgr"), wanted)
    grey = taken(file(Image.fromarray(swapped)), (8, 8, 1), channels="bgr")
    assert np.array_equal(grey, taken(file(Image.fromarray(wanted)), (8, 8, 1)))


@pytest.mark.parametrize(("scale", "top"), [("0..1", 1.0), ("0..255", 255.0)])
def test_an_array_of_another_range_is_brought_to_0_to_255(scale: str, top: float) -> None:
    wanted = noise(8, 8, 3)
    sent = (wanted.astype(np.float32) * (top / 255)).astype("<f4").tobytes()
    found = taken(sent, (8, 8, 3), "array", dtype="float32", scale=scale)
    assert np.array_equal(found, wanted)
    assert found.dtype == np.uint8


def test_values_beyond_the_range_are_refused_with_what_they_are() -> None:
    sent = np.full((8, 8, 3), 2.5, "<f4").tobytes()
    error = refused(sent, kind="array", dtype="float32", scale="0..1")
    assert error.reason == "out_of_range"
    assert "2.5" in error.detail


def test_an_envelope_heeds_the_order_of_axes_and_colours() -> None:
    wanted = noise(8, 8, 3)
    sent = np.ascontiguousarray(wanted[..., ::-1].transpose(2, 0, 1))
    envelope = Sample("s", 1.0, "array", (3, 8, 8), "uint8", sent.tobytes()).encode()
    assert np.array_equal(taken(envelope, (8, 8, 3), "sample", layout="chw", channels="bgr"), wanted)
    assert refused(envelope, kind="sample").reason == "wrong_shape"


# What is none of ours


JPEG = file(scene(64, 64), "JPEG")
FOREIGN = {
    "base64": (base64.b64encode(JPEG), 'base64 of a file of JPEG: encoding = "base64"'),
    "data URL": (b"data:image/jpeg;base64," + base64.b64encode(JPEG), 'data URL: encoding = "base64"'),
    "JSON": (b'{"image": "' + base64.b64encode(JPEG) + b'"}', "JSON: `fields`"),
    "JSON with a BOM": (b'\xef\xbb\xbf{"image": ""}', "JSON: `fields`"),
    "multipart": (
        b'--b1\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + JPEG + b"\r\n--b1--",
        "multipart, as of a form, which no setting reads: let the device send the file alone",
    ),
    "GIF": (file(scene(64, 64), "GIF"), "a file of GIF, which no setting reads: let the device send JPEG"),
    "BMP": (file(scene(64, 64), "BMP"), "a file of BMP"),
    "TIFF": (file(scene(64, 64), "TIFF"), "a file of TIFF"),
    "AVIF": (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "a file of AVIF"),
    "MP4": (b"\0\0\0\x18ftypmp42\0\0\0\0", "a file of MP4"),
    "UTF-16": ('{"image": ""}'.encode("utf-16"), "text in UTF-16"),
    "HTML": (b"<!DOCTYPE html><html>503</html>", "HTML"),
    "envelope": (Sample("s", 1.0, "image", None, None, JPEG).encode(), 'kind = "sample"'),
    "text": (b"offline", "text, 'offline'"),
    "nothing": (b"", "is empty"),
    "bytes": (bytes(range(1, 60)), "01 02 03 04 05 06 07 08"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_picture_is_refused_with_what_it_looks_like(name: str) -> None:
    payload, told = FOREIGN[name]
    error = refused(payload)
    assert error.reason == "bad_image"
    assert told in error.detail
    assert "object at 0x" not in error.detail


@pytest.mark.parametrize("name", ["base64", "data URL"])
def test_text_is_read_where_the_setting_says_so(name: str) -> None:
    payload, _ = FOREIGN[name]
    plain = taken(JPEG, (64, 64, 3))
    assert np.array_equal(taken(payload, (64, 64, 3), encoding="base64"), plain)
    assert np.array_equal(taken(payload.rstrip(b"=") + b"\n", (64, 64, 3), encoding="base64"), plain)


@pytest.mark.parametrize("payload", [JPEG, b"data:image/jpeg,%FF%D8", b"no base64!", "é".encode()])
def test_what_is_no_base64_is_refused(payload: bytes) -> None:
    assert refused(payload, encoding="base64").reason == "not_base64"


@pytest.mark.parametrize(
    ("kind", "told"), [("sample", 'kind = "image"'), ("array", 'JPEG: damaged, or for an input of kind = "image"')]
)
def test_other_kinds_say_what_a_jpeg_is_for(kind: str, told: str) -> None:
    assert told in refused(JPEG, kind=kind).detail


# Cut short, and too small


@pytest.mark.parametrize("missing", [2, 40, 400])
def test_a_jpeg_whose_end_is_missing_is_refused_or_accepted(missing: int) -> None:
    data = file(scene(64, 64), "JPEG", quality=95)
    assert 'truncated = "accept"' in refused(data[:-missing], (64, 64, 3)).detail
    found = taken(data[:-missing], (64, 64, 3), truncated="accept")
    whole = taken(data, (64, 64, 3))
    assert np.array_equal(found[:16], whole[:16])
    if missing == 2:
        assert np.array_equal(found, whole)
    assert np.array_equal(taken(data, (64, 64, 3), truncated="accept"), whole)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_other_files_that_are_cut_short_are_refused_all_the_same(form: str) -> None:
    data = file(scene(64, 64), form)
    assert refused(data[: len(data) // 2], (64, 64, 3), truncated="accept").reason == "bad_image"


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 9)])
def test_a_picture_of_too_few_pixels_is_not_scaled_up(size: tuple[int, int]) -> None:
    data = file(Image.new("RGB", size, RED))
    error = refused(data, (32, 32, 3), fit="resize")
    assert error.reason == "too_few_pixels"
    assert "limits.image_pixels_min" in error.detail
    assert taken(data, (32, 32, 3), fit="resize", limits={"image_pixels_min": 1}).shape == (32, 32, 3)


def test_a_picture_of_the_size_that_is_wanted_is_never_too_small() -> None:
    assert taken(file(Image.new("RGB", (4, 4), RED)), (4, 4, 3), fit="resize").shape == (4, 4, 3)


# Sizes


def halves() -> Image.Image:
    """64 x 32: a red square left, a blue one right."""
    image = Image.new("RGB", (64, 32), RED)
    image.paste(BLUE, (32, 0, 64, 32))
    return image


def test_crop_takes_the_middle() -> None:
    found = taken(file(halves()), (16, 16, 3), fit="crop")
    assert (found[:, :7] == RED).all()
    assert (found[:, 9:] == BLUE).all()


def test_letterbox_leaves_proportions_and_fills_the_rest() -> None:
    found = taken(file(halves()), (16, 16, 3), fit="letterbox", background=[0, 255, 0])
    assert (found[:4] == GREEN).all()
    assert (found[12:] == GREEN).all()
    assert (found[4:12, :7] == RED).all()
    assert (found[4:12, 9:] == BLUE).all()
    grey = taken(file(halves()), (16, 16, 1), fit="letterbox", background=[0, 255, 0])
    assert (grey[:4] == 150).all()


def test_a_tall_picture_is_letterboxed_at_its_sides() -> None:
    found = taken(file(halves().transpose(Image.Transpose.ROTATE_90)), (16, 32, 3), fit="letterbox")
    assert (found[:, :12] == 255).all()
    assert (found[:, 20:] == 255).all()
    assert (found[:7, 12:20] == BLUE).all()


@pytest.mark.parametrize("fit", ["exact", "resize", "crop", "letterbox"])
def test_only_the_region_of_interest_counts(fit: str) -> None:
    found = taken(file(halves()), (32, 32, 3), fit=fit, roi=[0.5, 0.0, 1.0, 1.0])
    assert (found == BLUE).all()


def test_the_region_is_of_the_upright_picture() -> None:
    data = turned(np.asarray(halves()), 6)
    assert (taken(data, (32, 32, 3), roi=[0.0, 0.0, 0.5, 1.0]) == RED).all()


def test_pixels_are_those_of_a_plain_crop_and_scale() -> None:
    image = scene(200, 120)
    found = taken(file(image), (30, 40, 3), fit="resize", roi=[0.1, 0.25, 0.9, 0.75])
    wanted = image.resize((40, 30), Image.Resampling.BILINEAR, box=(20, 30, 180, 90), reducing_gap=2.0)
    assert np.array_equal(found, np.asarray(wanted))


@pytest.mark.parametrize(
    "roi", [[0.5, 0, 0.5, 1], [0, 0, 1.1, 1], [-0.1, 0, 1, 1], [0.9, 0, 0.1, 1], [0, 0, 1], [0, 0, float("nan"), 1]]
)
def test_a_region_that_is_none_is_refused_at_the_start(roi: list[float]) -> None:
    with pytest.raises(ValueError, match="roi"):
        InputSettings(kind="image", roi=roi)


# Grey of 16 bits


def test_grey_of_16_bits_is_taken_by_its_range() -> None:
    levels = np.zeros((8, 8), np.uint16)
    levels[0, :4] = (0, 1000, 2000, 5000)
    data = file(Image.fromarray(levels))
    assert "`range`" in refused(data, (8, 8, 1)).detail
    found = taken(data, (8, 8, 1), range=[1000, 3000])
    assert found[0, :4, 0].tolist() == [0, 0, 128, 255]
    assert taken(data, (8, 8, 3), range=[1000, 3000])[0, 2].tolist() == [128] * 3


def test_grey_of_8_bits_is_stretched_by_its_range() -> None:
    data = file(Image.fromarray(np.full((8, 8), 126, np.uint8)))
    assert (taken(data, (8, 8, 1), range=[16, 236]) == 128).all()
    assert refused(file(halves()), (32, 64, 3), range=[0, 255]).reason == "wrong_mode"


# The same as in training


def own(path: Path) -> Picture:
    with Image.open(path) as image:
        return Picture(path, path.name, "a", None, bytes(8), image.height, image.width)


LIKE_TRAINING = {
    "a large JPEG": lambda: (turned(np.asarray(scene(1920, 1080)), 1, "JPEG"), {}),
    "a large JPEG on its side": lambda: (turned(np.asarray(scene(1080, 1920)), 6, "JPEG"), {}),
    "a grey JPEG": lambda: (file(scene(800, 600).convert("L"), "JPEG"), {}),
    "a small PNG": lambda: (file(scene(20, 30)), {}),
    "a transparent PNG": lambda: (file(hidden(GREEN).resize((50, 40))), {}),
    "a palette": lambda: (file(scene(90, 60).convert("P")), {}),
    "WebP": lambda: (file(scene(90, 60), "WEBP"), {}),
    "16 bits": lambda: (file(Image.fromarray(noise(50, 40).astype(np.uint16) * 257)), {"range": [0, 65535]}),
}


@pytest.mark.parametrize("name", LIKE_TRAINING)
@pytest.mark.parametrize("size", [32, 96])
def test_the_edge_sees_the_pixels_that_a_training_on_own_pictures_saw(name: str, size: int, tmp_path: Path) -> None:
    """A training stretches: `fit = "resize"` is the only fit that it has."""
    data, settings = LIKE_TRAINING[name]()
    (tmp_path / "a").write_bytes(data)
    splits, *_ = decode({"train": [own(tmp_path / "a")]}, ["a"], (size, size), progress=False)
    assert np.array_equal(taken(data, (size, size, 3), fit="resize", **settings), splits["train"].x[0])


def test_a_bundle_that_takes_floats_gets_the_same_values() -> None:
    found = taken(file(halves()), (32, 64, 3), bundle_dtype="float32")
    assert found.dtype == np.float32
    assert (found[:, :32] == RED).all()


# Settings that would be without effect


@pytest.mark.parametrize(
    ("kind", "settings", "named"),
    [
        ("image", {"layout": "chw"}, "layout"),
        ("image", {"scale": "0..1"}, "scale"),
        ("array", {"roi": [0, 0, 0.5, 1]}, "roi"),
        ("array", {"truncated": "accept"}, "truncated"),
        ("sample", {"encoding": "base64"}, "encoding"),
        ("array", {"fields": {"values": ["a"]}}, "fields"),
    ],
)
def test_a_setting_that_means_nothing_for_a_kind_is_refused(kind: str, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(EdgeError, match=f"`{named}` means nothing for kind '{kind}'"):
        taken(b"", (8, 8, 3), kind, **settings)


def test_shapes_are_drawn_right_side_up_whatever_the_fit() -> None:
    image = Image.new("RGB", (300, 200), WHITE)
    ImageDraw.Draw(image).rectangle((0, 0, 299, 40), fill=RED)
    for fit in ("resize", "crop", "letterbox"):
        found = taken(file(image, "JPEG", quality=95), (30, 30, 3), fit=fit)
        top = 5 if fit == "letterbox" else 0
        assert found[top + 1, 15, 1] < 60
        assert found[-8, 15, 1] > 200
