"""`dewpoint explain` with files and data sets: what it shows, writes, and says where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from hybrid_model import bundle, data
from hybrid_model.explanation import explain
from hybrid_model.runtime import EdgeEngine
from services.cli import app
from services.cli.views import explanation_view
from services.edge.observe.explanation_json import explanation_json
from services.settings import EdgeSettings
from tests.services.common.raw_server import NO_HTTP, RawServer


def run(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["explain", *arguments], catch_exceptions=False)
    return ended.exit_code, " ".join(ended.output.split())


def figures(path: Path, *arguments: str) -> dict[str, Any]:
    status, text = run(*arguments, "--json", str(path))
    assert status == 0, text
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_sample_of_a_data_set_is_explained_by_the_bundle_of_its_name(tmp_path: Path) -> None:
    found = figures(tmp_path / "found.json", "digits:3")
    digits = bundle.load(bundle.resolve("digits"))
    sample = data.load("digits").test.x[3]
    told = explain(EdgeEngine(digits), digits.manifest, sample)
    assert found == explanation_json(digits.manifest, told, sample, device=None, sample_id="digits:3")
    status, text = run("digits:3")
    assert status == 0
    assert explanation_view.sentence(found) in text
    assert f"{found['exits'][0]['confidence']:.4g}" in text


def test_a_picture_of_any_size_and_an_array_are_explained(tmp_path: Path) -> None:
    sample = data.load("digits").test.x[0]
    np.save(tmp_path / "sample.npy", sample)
    Image.fromarray(sample[:, :, 0]).save(tmp_path / "sample.png")
    Image.fromarray(sample[:, :, 0]).resize((64, 64)).save(tmp_path / "large.png")
    written = tmp_path / "found.json"
    by_array, by_picture, _ = (
        figures(written, str(tmp_path / name), "--bundle", "digits")
        for name in ("sample.npy", "sample.png", "large.png")
    )
    assert by_array["exits"] == by_picture["exits"] == figures(written, "digits:0")["exits"]
    assert by_array["input"]["png_base64"] == by_picture["input"]["png_base64"]


def test_a_window_of_readings_is_shown_as_lines_over_time(tmp_path: Path) -> None:
    window = np.random.default_rng(1).normal(size=(1, 128, 9)).astype(np.float32)
    np.save(tmp_path / "window.npy", window)
    found = figures(tmp_path / "found.json", str(tmp_path / "window.npy"), "--bundle", "har")
    assert np.allclose(found["input"]["values"], window[0], atol=1e-6)
    assert np.array(found["occlusion"]["grid"]).shape == (1, 64)
    status, text = run(str(tmp_path / "window.npy"), "--bundle", "har")
    assert status == 0
    assert all(channel in text for channel in found["input"]["channels"])
    assert "6 readings at a time" in text


@pytest.mark.parametrize("colours", [False, True])
def test_the_map_shows_what_the_exit_relies_on_and_what_holds_it_back(colours: bool) -> None:
    found = {
        "device": "cam\x1b[2J",
        "id": "s-1",
        "bundle": "b@1",
        "classes": ["cat", "dog", "cow"],
        "decision": "escalated",
        "input": {"kind": "array", "shape": [2, 2, 2], "channels": None, "values": [[[0, 0], [0, 0]]] * 2},
        "exits": [
            {"exit": 0, "score_kind": "entropy", "score": 0.5, "threshold": 0.25, "class": 1, "label": "dog",
             "confidence": 0.75, "probabilities": [0.2, 0.75, 0.05], "leaves": False},
            {"exit": 1, "score_kind": "margin", "score": None, "threshold": 0.25, "class": 1, "label": "dog",
             "confidence": 0.0, "probabilities": [None, None, None], "leaves": False},
        ],
        "occlusion": {"exit": 0, "score_kind": "entropy", "cell": [1, 1], "patch": [2, 2],
                      "grid": [[-0.4, 0.1], [0.4, None]], "surer": [[0.4, -0.1], [-0.4, None]]},
    }  # fmt: skip
    console = Console(width=200, color_system="truecolor" if colours else None, force_terminal=colours)
    with console.capture() as captured:
        console.print(explanation_view.view(found, colours=colours))
    text = captured.get()
    assert "escalated: at exit 0 entropy 0.5 >= 0.25; at exit 1 the margin is no number" in text
    assert "cat 0.200, cow 0.050" in text
    assert "cam?[2J/s-1" in text
    assert "\x1b[2J" not in text
    if colours:
        assert "217;95;2" in text  # surer when covered, at full strength
        assert "33;102;172" in text  # less sure
    else:
        assert [line.split() for line in text.splitlines() if line.strip().startswith(("++", "--"))] == [
            ["++", "-"],
            ["--", "?"],
        ]


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    for name, sample in (("digits.png", "digits:1"), ("digits.svg", "digits:2")):
        assert run(sample, "--picture", str(tmp_path / name))[0] == 0
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "which sample?"),
        (("no-such.png", "--bundle", "digits"), "SAMPLE is a picture"),
        (("no-such.png",), "--bundle BUNDLE"),
        (("digits:100000",), "there is no 100000"),
        (("digits:1", "--split", "none"), "train, tuning, calibration, test"),
        (("digits:1", "--exit", "7"), "no exit 7"),
        (("digits:1", "--bundle", "har"), "cannot look at it"),
        (("digits:1", "--picture", "x.gif"), ".svg, .png, .pdf"),
        (("cam/1", "--worker", "127.0.0.1:1"), "no worker answers at 127.0.0.1:1"),
        (("cam/1", "--worker", "file:///etc/passwd"), "http://HOST:PORT"),
        (("cam", "--worker", "127.0.0.1:1"), "not DEVICE/ID"),
        (("cam/1", "--worker", "127.0.0.1:1", "--bundle", "digits"), "leave out --bundle"),
    ],
)
def test_what_cannot_be_explained_is_told_with_a_remedy(arguments: tuple[str, ...], told: str) -> None:
    status, text = run(*arguments)
    assert status == 2
    assert told in text


@pytest.mark.parametrize("reply", NO_HTTP.values(), ids=list(NO_HTTP))
@pytest.mark.parametrize("sample", [("cam/1",), ()], ids=["one", "list"])
def test_a_port_that_speaks_no_http_is_told_in_one_line(reply: bytes, sample: tuple[str, ...]) -> None:
    with RawServer(reply) as server:
        ended = CliRunner().invoke(app, ["explain", *sample, "--worker", server.address], catch_exceptions=False)
    assert ended.exit_code == 2
    assert ended.output.startswith(f"dewpoint: no worker answers at {server.address}: ")
    assert ended.output.count("\n") == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"<html>", b'{"inputs": 3}'])
@pytest.mark.parametrize("sample", [("cam/1",), ()], ids=["one", "list"])
def test_an_address_of_another_kind_is_told(body: bytes, sample: tuple[str, ...]) -> None:
    with RawServer(b"HTTP/1.1 200 OK\r\n\r\n" + body) as server:
        status, text = run(*sample, "--worker", server.address)
    assert status == 2
    assert "no edge worker's metrics address" in text


def test_a_refusal_without_a_reason_is_told_with_its_status() -> None:
    with RawServer(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as server:
        status, text = run("cam/1", "--worker", server.address)
    assert status == 2
    assert "no edge worker's metrics address" in text
    assert "HTTP 503 Busy" in text


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x93NUMPY\x01\x00"])
@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_a_file_that_is_something_else_is_told(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    status, text = run(str(path), "--bundle", "digits")
    assert status == 2
    assert str(path.name) in text


def test_an_array_of_another_shape_or_with_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "wrong.npy", np.zeros((9, 9), np.uint8))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("wrong.npy", "objects.npy"):
        assert run(str(tmp_path / name), "--bundle", "digits")[0] == 2


def test_no_input_is_kept_unless_it_is_set() -> None:
    assert EdgeSettings().inputs_kept == 0
