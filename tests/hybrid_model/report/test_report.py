"""The report of a network trained on somebody's own data: one page, and the same figures as plain data."""

import dataclasses
import json
import re

import numpy as np
import pytest

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.calibration import calibrate, operating_point, wish_of
from hybrid_model.data import SPLITS
from hybrid_model.data.own import LeftOut, OwnData
from hybrid_model.data.splits import stratified
from hybrid_model.planning import Choice
from hybrid_model.report import page as page_module
from hybrid_model.report import samples_to_run, write_report
from hybrid_model.report.axes import round_ticks
from hybrid_model.report.figures import confusion_matrix
from hybrid_model.report.page import byte_count, joules
from hybrid_model.training import TrainingRun, load_recipe

HOSTILE = '</title></style><script>alert("owned")</script><img src=http://example.org/x onerror=1>'
HISTORY = [
    {
        "epoch": float(n),
        "loss": 2.0 / n,
        "seconds": 1.0 * n,
        "tuning_exit0": 0.9 - 0.5 / n,
        "tuning_final": 0.95 - 0.5 / n,
    }
    for n in range(1, 11)
]
CHOICES = (
    Choice("input size", "8 x 8", "all pictures have it"),
    Choice("seed", "7", "given on the command line", given=True),
)


def own(name, rows=60, classes=None):
    """A data set as if it were somebody's own, the first `rows` of each split."""
    whole = data.load(name, progress=False)
    few = {}
    for split in SPLITS:
        part = whole.split(split)
        few[split] = part.take(np.flatnonzero(stratified(part.y, count=min(rows, len(part)))))
    dataset = dataclasses.replace(
        whole, **few, classes=classes or whole.classes, approx_test=np.empty(0, dtype=np.int64)
    )
    sources = {split: tuple(f"{split}/{row}.png" for row in range(len(few[split]))) for split in SPLITS}
    left_out = (
        LeftOut("broken.png", "cannot be read"),
        LeftOut("copy.png", "seen before"),
        LeftOut("b.png", "seen before"),
    )
    return OwnData(dataset, sources, dict.fromkeys(SPLITS, ()), left_out, ("Grey pictures stay grey.",))


def network(name, classes=None):
    loaded = bundle_file.load(bundle_file.resolve(name), cloud=True)
    if classes is None:
        return loaded
    return dataclasses.replace(loaded, manifest=loaded.manifest.model_copy(update={"classes": tuple(classes)}))


def run_of(name, history=HISTORY):
    return TrainingRun(None, load_recipe(name), "float32", 75.0, list(history), machine="x86_64 CPU, 2 cores, AVX2")


def write(folder, name, bundle=None, brought=None, history=HISTORY):
    path = folder / f"{name}.html"
    figures = write_report(path, bundle or network(name), brought or own(name), run_of(name, history), CHOICES)
    return figures, path.read_text()


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write(tmp_path_factory.mktemp("report"), "digits")


def test_the_figures_are_plain_data(digits):
    figures, _ = digits
    assert json.loads(json.dumps(figures, allow_nan=False))["bundle"]["name"] == "digits"


def test_it_tells_how_many_samples_of_each_class_are_in_which_split(digits):
    figures, page = digits
    assert [one["class"] for one in figures["samples"]] == [str(n) for n in range(10)]
    assert sum(one["train"] for one in figures["samples"]) == 60
    assert "calibration" in page


def test_it_tells_what_was_left_out_by_reason(digits):
    figures, page = digits
    assert figures["left_out_reasons"] == {"seen before": 2, "cannot be read": 1}
    assert "broken.png" in page


def test_it_tells_what_was_chosen_and_what_was_asked_for(digits):
    figures, page = digits
    assert figures["choices"][1]["given"] is True
    assert "all pictures have it" in page
    assert page.count("asked for") == 1


def test_precision_and_recall_follow_from_the_confusion_matrix(digits):
    figures, _ = digits
    counts = np.array(figures["confusion"])
    assert counts.sum() == figures["evaluation"]["samples"]
    for index, one in enumerate(figures["classes"]):
        assert one["recall"] == pytest.approx(counts[index, index] / counts[index].sum())
        assert one["recall_interval"][0] <= one["recall"] <= one["recall_interval"][1]
        assert one["precision"] == pytest.approx(counts[index, index] / counts[:, index].sum())


def test_the_confusion_matrix_has_labels_downwards_and_answers_across():
    counts = confusion_matrix(np.array([0, 0, 1]), np.array([1, 0, 1]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_a_class_without_test_samples_has_no_recall(tmp_path):
    brought = own("digits")
    kept = np.flatnonzero(brought.dataset.test.y != 3)
    dataset = dataclasses.replace(brought.dataset, test=brought.dataset.test.take(kept))
    figures, page = write(tmp_path, "digits", brought=dataclasses.replace(brought, dataset=dataset))
    assert figures["classes"][3]["recall"] is None
    assert "none in the test split" in page


def test_wrong_labels_among_the_training_samples_show_first(tmp_path):
    brought = own("digits")
    labels = brought.dataset.train.y.copy()
    labels[5] = (labels[5] + 1) % 10
    train = dataclasses.replace(brought.dataset.train, y=labels)
    brought = dataclasses.replace(brought, dataset=dataclasses.replace(brought.dataset, train=train))
    figures, page = write(tmp_path, "digits", brought=brought)
    assert figures["surest_mistakes"][0]["source"] == "train/5.png"
    assert figures["surest_mistakes"][0]["split"] == "train"
    assert "data:image/png;base64," in page


def test_at_most_twenty_mistakes_are_shown_the_surest_first(tmp_path):
    brought = own("digits")
    train = dataclasses.replace(brought.dataset.train, y=(brought.dataset.train.y + 1) % 10)
    figures, page = write(
        tmp_path,
        "digits",
        brought=dataclasses.replace(brought, dataset=dataclasses.replace(brought.dataset, train=train)),
    )
    confidence = [one["confidence"] for one in figures["surest_mistakes"]]
    assert len(confidence) == 20
    assert confidence == sorted(confidence, reverse=True)
    assert page.count("<img alt=") == 20


def test_the_load_grows_with_the_rate(digits):
    figures, _ = digits
    one, *_, thousand = figures["load"]
    hard = 1 - figures["evaluation"]["edge_share"]
    assert [row["samples_per_s"] for row in figures["load"]] == [1, 10, 100, 1000]
    assert one["feature_bytes_per_s"] == pytest.approx(hard * 32)
    assert thousand["cloud_j_per_s"] == pytest.approx(1000 * one["cloud_j_per_s"])


def test_the_loads_joules_are_those_of_the_mean_sample(digits):
    figures, _ = digits
    (mean,) = [row for row in figures["energy_j"]["full"] if row["path"] == "mean of a sample"]
    one = figures["load"][0]
    assert one["edge_j_per_s"] + one["radio_j_per_s"] + one["cloud_j_per_s"] == pytest.approx(mean["energy_j"])


def test_the_bound_is_told_with_what_it_covers(digits):
    figures, page = digits
    assert figures["guarantee"]["holds"] is network("digits").manifest.calibration.guaranteed
    assert "It does not cover what the cloud answers" in " ".join(page.split())


def test_an_uncalibrated_bundle_has_no_curve_and_no_promise(tmp_path):
    loaded = network("digits")
    bare = dataclasses.replace(loaded, manifest=loaded.manifest.model_copy(update={"calibration": None}))
    figures, page = write(tmp_path, "digits", bundle=bare)
    assert figures["curve"] is None
    assert figures["guarantee"] is None
    assert "has no calibrated path" in page


def test_what_the_guard_holds_back_is_told_where_there_is_one(tmp_path):
    loaded, whole = network("digits"), data.load("digits", progress=False)
    wish = operating_point(wish_of(loaded.manifest), guard_share_lost=0.05)
    found = calibrate(loaded, whole, wish)
    guarded = dataclasses.replace(loaded, manifest=found.manifest, edge=found.edge)
    figures, page = write(tmp_path, "digits", bundle=guarded)
    assert figures["guarded_exits"] == [0]
    assert figures["evaluation"]["guard"]["in_domain_share"] is not None
    assert "The guard" in page


def test_a_network_whose_exits_let_nobody_leave_has_a_page_too(tmp_path):
    loaded = network("digits")
    strict = tuple(one.model_copy(update={"threshold": -1.0}) for one in loaded.manifest.exits)
    bare = loaded.manifest.model_copy(update={"calibration": None, "exits": strict})
    figures, _ = write(tmp_path, "digits", bundle=dataclasses.replace(loaded, manifest=bare))
    assert figures["evaluation"]["edge_share"] == 0
    assert figures["load"][0]["hard_samples_per_s"] == 1


def test_of_many_classes_the_confusion_is_a_picture_of_shades(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "NAMED_CLASSES_MAX", 5)
    _, page = write(tmp_path, "digits")
    assert '<svg class="shades" viewBox="0 0 10 10"' in page
    assert '<table class="matrix">' not in page


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_run_of_hardly_any_epochs_has_a_page_too(tmp_path, epochs):
    _, page = write(tmp_path, "digits", history=HISTORY[:epochs])
    assert ("No epoch was noted" in page) is (epochs == 0)


def test_names_of_classes_and_files_are_text_whatever_they_hold(tmp_path):
    classes = (HOSTILE, "{{ 7 * 7 }}", "a\ud800b", *map(str, range(3, 10)))
    brought = own("digits", classes=classes)
    sources = {split: tuple(f"{HOSTILE}/{n}" for n in range(60)) for split in SPLITS}
    train = dataclasses.replace(brought.dataset.train, y=(brought.dataset.train.y + 1) % 10)
    brought = dataclasses.replace(
        brought,
        dataset=dataclasses.replace(brought.dataset, train=train),
        sources=sources,
        left_out=(LeftOut(HOSTILE, HOSTILE),),
        notes=(HOSTILE,),
    )
    _, page = write(tmp_path, "digits", bundle=network("digits", classes), brought=brought)
    assert "<script" not in page
    assert not re.search(r"<[^>]*example\.org", page)
    assert "{{ 7 * 7 }}" in page
    assert "\\ud800" in page


def test_the_page_asks_for_nothing_from_elsewhere(digits):
    _, page = digits
    assert "default-src 'none'" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]*", page)
    assert "url(" not in page


@pytest.mark.data
def test_windows_of_readings_are_shown_as_lines_and_neighbours_once(tmp_path):
    figures, page = write(tmp_path, "har", brought=own("har", rows=300))
    shown = len(figures["surest_mistakes"])
    assert shown
    assert page.count('<svg class="window"') == shown
    assert "body_acc_x" in page
    assert figures["guarantee"]["independent"] is False
    assert "not independent" in page


def test_progress_counts_every_sample_once(tmp_path):
    brought, done = own("digits"), []
    write_report(tmp_path / "x.html", network("digits"), brought, run_of("digits"), (), advance=done.append)
    assert sum(done) == samples_to_run(brought) == 240


def test_ticks_are_round_numbers_within_the_range():
    assert round_ticks(0.0, 1.0) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert round_ticks(94.1, 98.7) == pytest.approx([95, 96, 97, 98])
    assert round_ticks(1.0, 1.0) == [1.0]


def test_quantities_have_three_digits_and_a_prefix():
    assert [joules(value) for value in (0.0, 9.87e-7, 0.0153, 12.0)] == ["0 J", "987 nJ", "15.3 mJ", "12.0 J"]
    assert [byte_count(value) for value in (6.8, 6774.0, 64_000.0)] == ["7 B", "6,774 B", "64.0 kB"]
