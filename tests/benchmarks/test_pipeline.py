"""The pipeline's benchmark: everybody answers the same samples; figures and tables follow from what was measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.pipeline import figures, footprint, goals, stands, table
from benchmarks.pipeline.cells import DEEP, MAIN, Cell
from benchmarks.pipeline.latencies import Latencies
from benchmarks.pipeline.samples import ID_CHARS, samples_of
from hybrid_model.runtime import EdgeEngine
from services.messages import Sample
from tests.benchmarks.forms import figures_of

pytestmark = pytest.mark.early


def test_everybody_answers_in_the_form_of_seconds(tmp_path: Path) -> None:
    found = figures_of("pipeline", tmp_path)
    assert found["missing"] == {}, "the libraries of the alternatives belong to what tests need"
    assert found["failed"] == {}
    by_name = {entry["stand"].split()[0]: entry for entry in found["cells"] if "in flight" in entry["cell"]}
    assert set(by_name) == set(stands.NAMES)
    for entry in by_name.values():
        assert entry["of"]["unanswered"] == entry["null"]["unanswered"] == 0
        assert entry["of"]["cpu_us"].keys() >= {"broker", "redis", "generator"}
    # Our two halves answer as they do in tests, by our own way and by every queue; Redis carries what rises.
    for name in ("dewpoint", "celery", "dramatiq", "faststream"):
        of = by_name[name]["of"]
        assert of["labels"] == 0 or (of["right"] > 0.8 and of["cloud"] == 1), name
    assert by_name["dewpoint"]["of"]["redis_bytes"] > 100
    assert {entry["stand"].split()[0] for entry in found["starts"]} == set(stands.NAMES)
    assert found["footprint"]["Dewpoint: edge"]["bytes"] < found["footprint"]["Dewpoint: cloud"]["bytes"]


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_share_that_rises_is_that_of_the_threshold(share: float) -> None:
    samples = samples_of("digits")
    rises = EdgeEngine(samples.bundle).infer(samples.x, thresholds=[samples.threshold(share)], guard=False).exit_index
    assert float((rises < 0).mean()) == pytest.approx(share, abs=0.01)
    assert len(samples.hard_digests(share)) == int((rises < 0).sum())
    assert (share == 0) or rises[samples.hardest()] < 0
    assert (share == 1) or rises[samples.easiest()] >= 0


@pytest.mark.parametrize("payload", ["array", "image"])
def test_a_message_is_the_envelope_with_an_id_of_its_own(payload: Any) -> None:
    samples = samples_of("digits")
    message = samples.messages("site", payload, 0)[3]
    sample_id = b"0" * (ID_CHARS - 1) + b"7"
    packet = message.packet(b"", sample_id)
    assert packet.startswith(message.start)
    sample = Sample.decode(packet[len(message.start) :])
    assert sample.id == sample_id.decode()
    assert sample.kind == payload
    if payload == "array":
        np.testing.assert_array_equal(np.frombuffer(sample.data, np.uint8).reshape(sample.shape or ()), samples.x[3])


def entry(stand: str, cell: Cell, number: int, labels_per_s: float, **more: float) -> dict[str, Any]:
    """A round's cell in which the null limit makes 100 labels a second for 100 us each."""

    def side(labels: float, edge_us: float, p99_ms: float) -> dict[str, Any]:
        return {
            "labels_per_s": labels,
            "cpu_us": {"edge": edge_us},
            "device_bytes": 10.0,
            "redis_bytes": 0.0,
            "rss_bytes": {"edge": 1 << 20},
            "latency_ms": {"p50": 1.0, "p99": p99_ms},
            "edge_latency_ms": {"p50": 1.0, "p99": p99_ms},
            "cloud": 0.0,
            "unanswered": 0,
        }

    of = side(labels_per_s, more.get("edge_us", 100.0), more.get("p99_ms", 1.0))
    return {"stand": stand, "cell": cell.name, "round": number, "of": of, "null": side(100.0, 100.0, 1.0)}


def made(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"cells": list(entries), "model_us": {"digits": 20.0}, "starts": []}


def test_ratios_are_taken_within_a_round_and_without_our_model() -> None:
    cells = [entry("dewpoint digits 0%", MAIN, number, hz, edge_us=220.0) for number, hz in enumerate((50, 60, 90))]
    over = figures.rows(made(*cells))[0]["over_null"]
    assert over["labels"] == {"median": 0.6, "least": 0.5, "most": 0.9}
    assert over["edge_cpu"]["median"] == 2.0
    assert over["workers_cpu"]["median"] == 2.2


def test_of_an_alternative_all_that_the_edge_does_counts() -> None:
    over = figures.rows(made(entry("celery digits 100%", MAIN, 0, 50, edge_us=220.0)))[0]["over_null"]
    assert over["edge_cpu"]["median"] == 2.2


def test_the_table_says_where_an_alternative_wins_and_where_a_floor_is_met() -> None:
    ours = [entry("dewpoint digits 20%", DEEP, 0, 90), entry("dewpoint digits 0%", MAIN, 0, 90)]
    theirs = [entry("to_cloud digits", DEEP, 0, 10), entry("int8_edge digits", MAIN, 0, 99)]
    said = {row["what"]: table.verdict(row) for row in goals.ratios(made(*ours, *theirs))}
    assert said["digits: labels, a fifth rises, over (a) all to the cloud"] == "floor met"
    assert said["digits: labels, all exit, over (b) int8 edge without cloud"] == "the alternative wins"
    assert said["digits: labels, all exit, QoS 1, 32 in flight, over null"] == "floor met"
    assert said["digits: worker CPU outside the model over null"] == "goal met"


def test_nobody_wins_where_the_rounds_disagree() -> None:
    ours = [entry("dewpoint digits 0%", MAIN, number, hz) for number, hz in enumerate((80, 90, 120))]
    theirs = [entry("int8_edge digits", MAIN, number, 100) for number in range(3)]
    said = {row["what"]: table.verdict(row) for row in goals.ratios(made(*ours, *theirs))}
    assert said["digits: labels, all exit, over (b) int8 edge without cloud"] == "no winner within the spread"


def test_who_leaves_samples_unanswered_wins_nothing_and_is_named() -> None:
    ours, theirs = entry("dewpoint digits 100%", DEEP, 0, 50), entry("faststream digits 100%", DEEP, 0, 99)
    assert figures.against(made(ours, theirs), ours["stand"], theirs["stand"], DEEP.name) is not None
    theirs["of"]["unanswered"] = 3
    assert figures.against(made(ours, theirs), ours["stand"], theirs["stand"], DEEP.name) is None
    assert not [row for row in goals.ratios(made(ours, theirs)) if "FastStream" in row["what"]]
    told = {"broker": "", "cores": 2, "load_average": [0, 0], "rounds": 1, "seconds": 1}
    text = table.tables({**made(ours, theirs), **told, "footprint": {}, "missing": {}, "failed": {}})
    assert "faststream digits 100%, 256 in flight, QoS 1, array: 3" in text


def test_what_was_not_measured_is_no_row() -> None:
    assert goals.ratios(made(entry("null digits", MAIN, 0, 90))) == []


def test_latencies_of_no_samples_are_none() -> None:
    assert set(Latencies([]).quantiles_ms().values()) == {None}
    assert Latencies([0.001] * 99 + [0.5]).quantiles_ms()["max"] == 500
    assert math.isclose(Latencies([0.001, 0.003]).quantiles_ms()["p50"] or 0, 2.0)


def test_a_footprint_counts_what_is_required_once_and_names_what_is_not_there() -> None:
    paho = footprint.footprint(("paho-mqtt",))
    assert paho["packages"] == 1
    assert footprint.footprint(("paho-mqtt", "paho-mqtt")) == paho
    assert footprint.footprint(("no-such-distribution",))["missing"] == ["no-such-distribution"]


def test_a_stand_whose_library_is_not_there_says_what_to_install() -> None:
    stand = stands.stands("digits", short=True)[0]
    lacking = stands.Stand("x", "x", "digits", None, (), (), needs=("no_such_module",))
    assert stand.missing is None
    assert lacking.missing == 'not installed: pip install "dewpoint[bench]" (no_such_module)'
