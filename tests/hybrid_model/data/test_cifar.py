from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from hybrid_model import data
from hybrid_model.data import cifar, fetch, packed

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def _binary(rng, rows):
    y = rng.permutation(np.arange(rows) % 10).astype(np.uint8)
    x = rng.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)
    records = np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(rows, -1)], axis=1)
    return x, y, records.tobytes()


@pytest.fixture
def publishers_folder(empty_home):
    """The publisher's files with fewer pictures (of noise: only their arrangement is under test)."""
    rng = np.random.default_rng(0)
    folder = empty_home / "cifar-10-batches-bin"
    folder.mkdir()
    written = {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        x, y, content = _binary(rng, 1100)
        (folder / f"{name}.bin").write_bytes(content)
        written[name] = (x, y)
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder, written


def test_cifar10_packed_yields_the_published_pixels_and_classes(data_folder):
    source = cifar._open("cifar10", progress=False)
    train = hashlib.sha256(source.train.x.data).hexdigest()
    test = hashlib.sha256(source.test.x.data).hexdigest()
    assert train == "c7c6557433f8d7c52900e0fc5549bd21bf6f33fefee1f478f5adbc5499bb11c7"
    assert test == "25a508aee148b4ccf689df271258bb61c79db1edd6c7bdc2d32e0f748c0bf68c"
    assert source.classes == tuple(NAMES)
    assert len(source.approx_test) == 21


def test_cifar100_holds_out_25_pictures_of_each_class_for_tuning_and_for_calibration(data_folder):
    cifar100 = data.load("cifar100", progress=False)
    assert len(cifar100.classes) == 100
    assert {name: len(cifar100.split(name)) for name in data.SPLITS} == {
        "train": 45_000, "tuning": 2_500, "calibration": 2_500, "test": 10_000,
    }  # fmt: skip
    for name in ("tuning", "calibration"):
        assert (np.bincount(cifar100.split(name).y) == 25).all()
    assert hashlib.sha256(cifar100.test.x.data).hexdigest().startswith("4cb8e5d9309da489")


def test_the_publishers_extracted_files_are_read(publishers_folder):
    _, written = publishers_folder
    cifar10 = data.load("cifar10", progress=False)
    x, y = written["test_batch"]
    assert (cifar10.test.x == x).all()
    assert (cifar10.test.y == y).all()
    assert cifar10.classes == tuple(NAMES)
    assert len(cifar10.train) == 5500 - 5000
    assert len(cifar10.approx_test) == 0


def test_the_publishers_archive_is_read_without_being_extracted(publishers_folder, empty_home, monkeypatch):
    folder, written = publishers_folder
    archive = empty_home / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname="cifar-10-batches-bin")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    layout = cifar._LAYOUTS["cifar10"]
    honest = fetch.Archive(layout.archive.url, layout.archive.file_name, md5, layout.archive.bytes_max)
    monkeypatch.setitem(cifar._LAYOUTS, "cifar10", cifar._Layout(**{**vars(layout), "archive": honest}))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert (data.load("cifar10", progress=False).test.x == written["test_batch"][0]).all()


def test_an_archive_with_another_checksum_is_refused(empty_home):
    (empty_home / "cifar-10-binary.tar.gz").write_bytes(b"not what was published")
    with pytest.raises(data.DataDamagedError, match=r"cifar-10-binary.tar.gz: its MD5 is"):
        data.load("cifar10", progress=False)


def test_a_truncated_file_is_refused_by_name(publishers_folder):
    folder, _ = publishers_folder
    file = folder / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(data.DataDamagedError, match=r"data_batch_3.bin is \d+ bytes"):
        data.load("cifar10", progress=False)


def test_a_class_beyond_the_last_is_refused(publishers_folder):
    folder, _ = publishers_folder
    file = folder / "test_batch.bin"
    file.write_bytes(b"\x0a" + file.read_bytes()[1:])
    with pytest.raises(data.DataDamagedError, match="holds class 10"):
        data.load("cifar10", progress=False)


def test_strips_that_do_not_decode_are_refused(tmp_path):
    good = io.BytesIO()
    Image.fromarray(np.zeros((64, 32, 3), np.uint8)).save(good, "webp", lossless=True)
    blob = np.frombuffer(good.getvalue(), np.uint8)
    whole = {"blob": blob, "off": np.array([0, len(blob)])}
    assert packed.images(tmp_path, whole).shape == (2, 32, 32, 3)
    with pytest.raises(data.DataDamagedError, match="do not decode"):
        packed.images(tmp_path, {"blob": blob, "off": np.array([0, 20])})


def test_a_packed_file_that_is_cut_short_is_refused(empty_home):
    for part in ("train_a", "train_b", "test"):
        (empty_home / f"cifar10_lossless_{part}.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(data.DataDamagedError, match=r"cifar10_lossless_train_a.npz: not a packed data set"):
        data.load("cifar10", progress=False)
