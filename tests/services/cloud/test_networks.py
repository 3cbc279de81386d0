"""Which bundles a cloud worker finds, and what it says of those that it cannot use."""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from hybrid_model import bundle
from hybrid_model.bundle import BundleError
from services.cloud import Networks
from services.cloud.networks import load_cloud_half
from tests.services.cloud.stand_in import BUNDLE, MANIFEST, B, StandIn


def found(*sources: str | Path) -> Networks:
    return Networks(sources, lambda _: StandIn())


def test_a_bundle_is_found_by_its_network_id(tmp_path: Path) -> None:
    shutil.copy(bundle.resolve(BUNDLE), tmp_path / "renamed.dew")
    for networks in (found(BUNDLE), found(tmp_path), found(tmp_path / "renamed.dew")):
        network = networks.get(B)
        assert network is not None
        assert network.features_bytes == MANIFEST.cut.bytes
        assert network.energy_j > 0
        assert networks.get(B) is network
    assert found(BUNDLE).get("000000000000") is None


def test_a_bundle_copied_into_the_folder_later_is_found(tmp_path: Path) -> None:
    shutil.copy(bundle.resolve("har"), tmp_path)
    networks = found(tmp_path)
    assert networks.get(B) is None
    shutil.copy(bundle.resolve(BUNDLE), tmp_path)
    assert networks.get(B) is not None


def test_a_damaged_bundle_in_a_folder_leaves_the_others_alone(tmp_path: Path) -> None:
    shutil.copy(bundle.resolve(BUNDLE), tmp_path)
    (tmp_path / "damaged.dew").write_bytes((tmp_path / f"{BUNDLE}.dew").read_bytes()[:-1000])
    assert found(tmp_path).ids == {B}


def test_a_missing_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere\.dew"):
        found(tmp_path / "nowhere.dew")
    with pytest.raises(BundleError, match="no bundle"):
        found(tmp_path)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_tells_in_which_precision_it_computes(precision: Literal["fp32", "bf16"]) -> None:
    network = Networks([BUNDLE], partial(load_cloud_half, precision=precision)).get(B)
    assert network is not None
    assert network.precision == precision
    stand_in = Networks([BUNDLE], lambda path: StandIn()).get(B)
    assert stand_in is not None
    assert stand_in.precision == ""


def test_a_cloud_half_that_cannot_be_loaded_is_not_served() -> None:
    def refuse(path: Path) -> StandIn:
        raise BundleError(f"{path}: refused")

    assert Networks([BUNDLE], refuse).get(B) is None


@pytest.mark.parametrize("name", [f"{BUNDLE}.dew", "another.dew"])
def test_a_bundle_that_was_refused_and_is_mended_is_served(tmp_path: Path, name: str) -> None:
    damaged = tmp_path / f"{BUNDLE}.dew"
    refused_at: list[float] = []

    def load(path: Path) -> StandIn:
        if path.stat().st_mtime == 1e9:
            refused_at.append(1e9)
            raise BundleError(f"{path}: refused")
        return StandIn()

    shutil.copy(bundle.resolve(BUNDLE), damaged)
    os.utime(damaged, (1e9, 1e9))
    networks = Networks([tmp_path], load)
    assert networks.get(B) is None
    assert networks.get(B) is None
    assert refused_at == [1e9], "it is not read again before it changes"
    shutil.copy(bundle.resolve(BUNDLE), tmp_path / name)
    assert networks.get(B) is not None
