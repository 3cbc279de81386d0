"""The manifest's part `calibration`: what holds together is read, everything else refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import BundleError
from hybrid_model.bundle.calibration import Calibration
from tests.hybrid_model.small_bundle import small_network
from tests.hybrid_model.small_calibration import small_calibration

Content = dict[str, Any]


def read(content: Content) -> Calibration:
    return Calibration.model_validate_json(json.dumps(content), strict=True)


def changed(change: Callable[[Content], object]) -> Content:
    content = small_calibration()
    change(content)
    return content


def test_what_holds_together_is_read_as_it_was_written() -> None:
    assert read(small_calibration()).model_dump(mode="json") == small_calibration()


@pytest.mark.parametrize(("point", "guaranteed"), [(0, False), (1, True), (2, True), (3, False)])
def test_the_working_point_is_guaranteed_where_it_passed(point: int, guaranteed: bool) -> None:
    assert read(small_calibration() | {"point": point}).guaranteed is guaranteed


def test_without_a_start_or_where_the_first_failed_nothing_is_guaranteed() -> None:
    def untested(content: Content) -> None:
        content |= {"start": None, "passed": None}
        for point in content["path"]:
            point["p_value"] = None

    def failed_at_once(content: Content) -> None:
        content["passed"] = None
        content["path"][1]["p_value"], content["path"][2]["p_value"], content["path"][3]["p_value"] = 0.3, None, None

    for change in (untested, failed_at_once):
        assert not read(changed(change)).guaranteed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["path"][3].update(thresholds=[0.2, 0.5]), "point 3 of the path is not looser"),
        (lambda c: c["path"][3].update(thresholds=[0.3, 0.3]), "point 3 of the path is not looser"),
        (lambda c: c["path"][2].update(thresholds=[0.3]), "point 2 of the path is not of 2 exits"),
        (lambda c: c["path"][2].update(exit_share=[0.5]), "point 2 of the path is not of 2 exits"),
        (lambda c: c["path"][2].update(edge_share=0.6), "do not sum"),
        (lambda c: c["path"][1].update(p_value=0.06), "p-value of point 1"),
        (lambda c: c["path"][3].update(p_value=0.04), "p-value of point 3"),
        (lambda c: c["path"][3].update(p_value=None), "p-value of point 3"),
        (lambda c: c["path"][4].update(p_value=0.5), "not tested"),
        (lambda c: c["path"][0].update(p_value=0.5), "not tested"),
        (lambda c: c.update(point=5), "is not on the path"),
        (lambda c: c.update(start=None), "without a start"),
        (lambda c: c.update(start=3), "not points of the path"),
        (lambda c: c.update(passed=5), "not points of the path"),
        (lambda c: c.update(start=9, passed=None), "not points of the path"),
        (lambda c: c.update(chosen_by={}), "chosen_by"),
        (lambda c: c.update(chosen_by={"edge_share": 0.5, "guarantee": 0.05}), "chosen_by"),
        (lambda c: c.update(chosen_by={"taste": 0.5}), "chosen_by"),
        (lambda c: c.update(alpha=0.0), "alpha"),
        (lambda c: c.update(surprise=1), "surprise"),
        (lambda c: c["histogram"].pop(), "1 histograms for 2 exits"),
        (lambda c: c["histogram"][0].update(edges=[0.0, 0.0, 1.0]), "ascend"),
        (lambda c: c["histogram"][0].update(counts=[50]), "2 bins"),
        (lambda c: c["histogram"][0].update(counts=[30, 21]), "every calibration sample once"),
        (lambda c: c["path"][1].update(thresholds=[float("nan"), 0.2]), "finite"),
    ],
)
def test_what_does_not_hold_together_is_refused(change: Callable[[Content], object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        read(changed(change))


def test_of_scores_that_grow_with_confidence_looser_is_smaller() -> None:
    def margins(content: Content) -> None:
        content["score"] = "margin"
        for point in content["path"]:
            point["thresholds"] = [1.0 - value for value in point["thresholds"]]

    assert read(changed(margins)).score == "margin"
    with pytest.raises(ValidationError, match="not looser"):
        read(small_calibration() | {"score": "margin"})


def calibrated() -> tuple[Content, Any, Any]:
    manifest, edge, cloud = small_network()
    manifest["calibration"] = small_calibration()
    for one, threshold in zip(manifest["exits"], small_calibration()["path"][2]["thresholds"], strict=True):
        one["threshold"] = threshold
    return manifest, edge, cloud


def test_a_bundle_keeps_its_calibration_and_its_network_id_with_it(tmp_path: Path) -> None:
    told = bundle_file.save(tmp_path / "a.dew", *calibrated())
    loaded = bundle_file.load(tmp_path / "a.dew").manifest.calibration
    assert loaded is not None
    assert loaded.model_dump(mode="json") == small_calibration()
    assert told == bundle_file.save(tmp_path / "b.dew", *small_network())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["exits"][0].update(threshold=0.31), "not .*those of the working point"),
        (lambda m: m["exits"][1].update(score="margin"), "another score"),
        (lambda m: m["calibration"].update(point=1), "those of the working point"),
    ],
)
def test_exits_that_are_not_at_the_working_point_are_refused(
    change: Callable[[Content], object], reason: str, tmp_path: Path
) -> None:
    manifest, edge, cloud = calibrated()
    change(manifest)
    with pytest.raises(BundleError, match=reason):
        bundle_file.save(tmp_path / "a.dew", manifest, edge, cloud)
