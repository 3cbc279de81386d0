from __future__ import annotations

import copy
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid_model import bundle as bundle_file
from hybrid_model.bundle import Bundle, BundleError
from hybrid_model.bundle import file as bundle_module
from hybrid_model.runtime import EdgeEngine
from tests.hybrid_model.small_bundle import small_network
from tests.hypothesis_profile import UNTIMED

SAME_FILES = settings(max_examples=300, suppress_health_check=[*UNTIMED, HealthCheck.function_scoped_fixture])


def same(a: Bundle, b: Bundle) -> bool:
    def equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
        return set(left) == set(right) and all(np.array_equal(left[name], right[name]) for name in left)

    return a.manifest == b.manifest and equal(a.edge, b.edge) and equal(a.cloud, b.cloud)


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], object], **options: Any) -> Path:
    """`source` with its members changed, as another program might write it."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def with_manifest(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    def edit(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        members["manifest.json"] = json.dumps(manifest).encode()

    return rewritten(source, target, edit)


def test_what_was_saved_is_loaded(small: Path) -> None:
    manifest, edge, cloud = small_network()
    loaded = bundle_file.load(small, cloud=True)
    assert loaded.manifest.name == "small"
    assert loaded.manifest.to_json()["edge_graph"][0] == manifest["edge_graph"][0]
    assert loaded.manifest.provenance == {"seed": 0}
    for tensors, saved in ((loaded.edge, edge), (loaded.cloud, cloud)):
        assert set(tensors) == set(saved)
        for name, array in saved.items():
            assert tensors[name].dtype == array.dtype
            assert np.array_equal(tensors[name], array)


def test_the_cloud_half_is_kept_only_where_asked_for(small: Path) -> None:
    assert bundle_file.load(small).cloud == {}
    assert set(bundle_file.load(small, cloud=True).cloud) == {"classifier.weight"}


def test_the_same_content_gives_the_same_bytes_and_a_loaded_bundle_saves_as_itself(small: Path, tmp_path: Path) -> None:
    bundle_file.save(tmp_path / "again.dew", *small_network())
    loaded = bundle_file.load(small, cloud=True)
    bundle_file.save(tmp_path / "resaved.dew", loaded.manifest, loaded.edge, loaded.cloud)
    assert (tmp_path / "again.dew").read_bytes() == (tmp_path / "resaved.dew").read_bytes() == small.read_bytes()


def test_recalibrating_keeps_the_network_id(small: Path, tmp_path: Path) -> None:
    manifest, edge, cloud = small_network()
    manifest["exits"][0] |= {"threshold": 0.1, "temperature": 3.0, "score": "margin"}
    assert bundle_file.save(tmp_path / "b.dew", manifest, edge, cloud) == bundle_file.load(small).manifest.network_id


def test_a_guard_is_no_part_of_the_network_id(small: Path, tmp_path: Path) -> None:
    """A running site takes one without a change of its queues: what the cloud half makes of features stays the same."""
    network_id = bundle_file.load(small).manifest.network_id
    assert bundle_file.save(tmp_path / "bare.dew", *small_network(guard_limit=None)) == network_id
    manifest, edge, cloud = small_network(guard_limit=3.0)
    edge["guard.0.mean"] += 1
    assert bundle_file.save(tmp_path / "other.dew", manifest, edge, cloud) == network_id
    assert bundle_file.load(tmp_path / "other.dew").manifest.exits[0].guard is not None


def test_a_bundle_written_before_there_were_guards_is_loaded(tmp_path: Path) -> None:
    manifest, edge, cloud = small_network(guard_limit=None)
    for described in manifest["exits"]:
        del described["guard"]
    bundle_file.save(tmp_path / "b.dew", manifest, edge, cloud)
    with zipfile.ZipFile(tmp_path / "b.dew") as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    content = json.loads(members["manifest.json"])
    for described in content["exits"]:
        del described["guard"]
    with zipfile.ZipFile(tmp_path / "old.dew", "w", zipfile.ZIP_STORED) as old:
        for name, payload in (members | {"manifest.json": json.dumps(content).encode()}).items():
            old.writestr(name, payload)
    loaded = bundle_file.load(tmp_path / "old.dew")
    assert [described.guard for described in loaded.manifest.exits] == [None, None]
    assert EdgeEngine(loaded).infer(np.zeros((2, 8, 8, 3), np.uint8)).in_domain.all()


def test_weights_graph_and_cut_make_the_network_id(small: Path, tmp_path: Path) -> None:
    ids = {bundle_file.load(small).manifest.network_id}
    for kind in ("edge", "cloud", "graph", "cut"):
        manifest, edge, cloud = small_network()
        if kind == "edge":
            edge["t1.threshold"][0] += 1
        if kind == "cloud":
            cloud["classifier.weight"][0, 0] += 1
        if kind == "graph":
            next(op for op in manifest["edge_graph"] if op["op"] == "quantize")["gain"] = 1.25
        if kind == "cut":
            manifest["cut"]["scale"] = {"alpha": 2.0}
        ids.add(bundle_file.save(tmp_path / f"{kind}.dew", manifest, edge, cloud))
    assert len(ids) == 5
    assert all(len(found) == 12 and int(found, 16) >= 0 for found in ids)


def test_a_refused_save_leaves_the_old_file_and_nothing_else(small: Path, tmp_path: Path) -> None:
    path = tmp_path / "kept.dew"
    path.write_bytes(small.read_bytes())
    manifest, edge, cloud = small_network()
    del edge["t1.threshold"]
    with pytest.raises(BundleError, match=r"edge\.safetensors has no t1\.threshold"):
        bundle_file.save(path, manifest, edge, cloud)
    assert path.read_bytes() == small.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_a_manifest_with_an_unknown_field_is_not_saved(tmp_path: Path) -> None:
    manifest, edge, cloud = small_network()
    with pytest.raises(BundleError, match=r"b.dew: manifest: surprise: Extra inputs"):
        bundle_file.save(tmp_path / "b.dew", manifest | {"surprise": 1}, edge, cloud)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_have_are_not_saved(tmp_path: Path, value: float) -> None:
    manifest, edge, cloud = small_network()
    with pytest.raises(BundleError, match="provenance"):
        bundle_file.save(tmp_path / "b.dew", manifest | {"provenance": {"deep": [{"x": value}]}}, edge, cloud)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be written"):
        bundle_file.save(tmp_path / "no" / "b.dew", *small_network())


def test_a_missing_file_and_a_folder_are_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no.dew: no such file; "):
        bundle_file.load(tmp_path / "no.dew")
    with pytest.raises(BundleError, match="cannot be read"):
        bundle_file.load(tmp_path)


def test_every_truncation_is_refused_with_file_and_remedy(small: Path, tmp_path: Path) -> None:
    raw, path = small.read_bytes(), tmp_path / "cut.dew"
    for size in (0, 1, 100, len(raw) // 2, len(raw) - 1000, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(BundleError, match=r"cut.dew: .*; copy it again"):
            bundle_file.load(path)


def test_a_shortened_member_is_told_by_its_missing_bytes(small: Path, tmp_path: Path) -> None:
    def shorten(members: dict[str, bytes]) -> None:
        members["edge.safetensors"] = members["edge.safetensors"][:-812]

    with pytest.raises(BundleError, match=r"b.dew: edge.safetensors is 812 bytes short; copy it again"):
        bundle_file.load(rewritten(small, tmp_path / "b.dew", shorten))


@pytest.mark.parametrize("name", ["edge.safetensors", "cloud.safetensors"])
def test_an_altered_member_is_refused_even_where_it_is_not_kept(small: Path, tmp_path: Path, name: str) -> None:
    def alter(members: dict[str, bytes]) -> None:
        members[name] = members[name][:-1] + bytes([members[name][-1] ^ 1])

    with pytest.raises(BundleError, match=f"{name} was altered"):
        bundle_file.load(rewritten(small, tmp_path / "b.dew", alter))


@SAME_FILES
@given(st.data())
def test_flipped_bytes_are_refused_or_change_nothing(small: Path, tmp_path: Path, data: st.DataObject) -> None:
    raw, path = bytearray(small.read_bytes()), tmp_path / "flipped.dew"
    head = st.integers(0, 200) | st.integers(len(raw) - 400, len(raw) - 1) | st.integers(0, len(raw) - 1)
    for place, mask in data.draw(st.lists(st.tuples(head, st.integers(1, 255)), min_size=1, max_size=4)):
        raw[place] ^= mask
    path.write_bytes(raw)
    try:
        loaded = bundle_file.load(path, cloud=True)
    except BundleError as error:
        message = str(error)
    else:
        message = f"{path}: nothing changed; fine"
        assert same(loaded, bundle_file.load(small, cloud=True))
    assert message.startswith(f"{path}: ")
    assert "; " in message


@settings(max_examples=60, suppress_health_check=[*UNTIMED, HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_any_bytes_are_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "noise.dew"
    path.write_bytes(raw)
    with pytest.raises(BundleError):
        bundle_file.load(path)


@settings(max_examples=60, suppress_health_check=[*UNTIMED, HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from([0, 8, 100]))
def test_a_tensor_file_of_any_bytes_with_a_right_checksum_is_refused(
    small: Path, tmp_path: Path, noise: bytes, keep: int
) -> None:
    def replace(members: dict[str, bytes]) -> None:
        content = members["edge.safetensors"][:keep] + noise
        members["edge.safetensors"] = content
        manifest = json.loads(members["manifest.json"])
        manifest["members"]["edge"] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        members["manifest.json"] = json.dumps(manifest).encode()

    with pytest.raises(BundleError, match=r"not a safetensors file|other tensors"):
        bundle_file.load(rewritten(small, tmp_path / "b.dew", replace))


def test_another_schema_is_refused_by_number(small: Path, tmp_path: Path) -> None:
    path = with_manifest(small, tmp_path / "b.dew", lambda manifest: manifest.update(schema=2, novelty=True))
    with pytest.raises(BundleError, match=r"manifest.json has schema 2, this program reads 1; "):
        bundle_file.load(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(surprise=1), "surprise"),
        (lambda m: m.pop("classes"), "classes: Field required"),
        (lambda m: m["exits"][0].update(temperature=0), "exits.0.temperature"),
        (lambda m: m["exits"][0].update(threshold="0.5"), "exits.0.threshold"),
        (lambda m: m["edge_graph"][0].update(op="exec"), "edge_graph.0"),
        (lambda m: m["edge_graph"][0].update(stride=[1.5, 1]), "edge_graph.0"),
        (lambda m: m.update(network_id="0123456789ab"), "network id is 0123456789ab, its content gives"),
        (lambda m: m["cut"]["scale"].update(alpha=3), "network id"),
        (lambda m: m["members"].pop("cloud"), "does not describe cloud.safetensors"),
        (lambda m: m.update(provenance={"x": float("nan")}), "provenance"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_with_the_place(
    small: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        bundle_file.load(with_manifest(small, tmp_path / "b.dew", change))


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema": 1}', b'{"schema": "1"}']
)
def test_a_manifest_that_is_no_manifest_is_refused(small: Path, tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest.json"):
        bundle_file.load(rewritten(small, tmp_path / "b.dew", lambda members: members.update({"manifest.json": raw})))


def test_compressed_and_foreign_members_are_refused(small: Path, tmp_path: Path) -> None:
    path = rewritten(small, tmp_path / "b.dew", lambda members: None, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="not simply stored"):
        bundle_file.load(path)
    rewritten(small, path, lambda members: members.update({"code.py": b"print()"}))
    with pytest.raises(BundleError, match="and nothing else"):
        bundle_file.load(path)
    rewritten(small, path, lambda members: members.pop("cloud.safetensors"))
    with pytest.raises(BundleError, match="does not hold"):
        bundle_file.load(path)


def test_an_oversized_member_is_refused_before_it_is_read(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bundle_module.MAX_BYTES, "edge.safetensors", 1000)
    with pytest.raises(BundleError, match="the limit is 1000"):
        bundle_file.load(small)
    with pytest.raises(BundleError, match="the limit is 1000"):
        bundle_file.save(tmp_path / "b.dew", *small_network())


def test_a_name_means_a_shipped_bundle_and_a_path_means_itself(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits.dew").write_bytes(small.read_bytes())
    monkeypatch.setattr(bundle_module, "SHIPPED", tmp_path)
    assert bundle_file.resolve("digits") == tmp_path / "digits.dew"
    assert bundle_file.resolve(small) == small
    for wrong in ("horses", "digits.dew", "../digits", ""):
        with pytest.raises(BundleError, match="shipped ones are: digits"):
            bundle_file.resolve(wrong)


LEAF: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-3, 70_000) | st.floats(-2, 9) | st.text(max_size=3) | st.just([])
)


def _places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path] * bool(path) + [place for key, child in children for place in _places(child, (*path, key))]


@SAME_FILES
@given(st.data())
def test_a_manifest_altered_anywhere_is_refused_or_is_another_one_that_runs(
    tmp_path: Path, data: st.DataObject
) -> None:
    manifest, edge, cloud = copy.deepcopy(small_network())
    place = data.draw(st.sampled_from(_places(manifest)))
    node = manifest
    for key in place[:-1]:
        node = node[key]
    if data.draw(st.booleans()) and isinstance(node, dict):
        del node[place[-1]]
    else:
        node[place[-1]] = data.draw(LEAF)
    path = tmp_path / "b.dew"
    try:
        bundle_file.save(path, manifest, edge, cloud)
    except BundleError:
        return
    loaded = bundle_file.load(path)
    batch = np.zeros((2, *loaded.manifest.input.shape), loaded.manifest.input.dtype)
    assert len(EdgeEngine(loaded).infer(batch, force_cut=True).features[1] or b"") == loaded.manifest.cut.bytes
