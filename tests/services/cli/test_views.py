"""What `dewpoint inspect` and `dewpoint evaluate` show, as text, as data and as pictures."""

import dataclasses
import io
import json
import sys

import pytest
from rich.console import Console

from hybrid_model import bundle as bundle_file
from hybrid_model import energy
from hybrid_model.corruptions import KINDS
from hybrid_model.evaluation import (
    Accuracy,
    ConfidenceGap,
    CorruptedFigures,
    CorruptionReport,
    Evaluation,
    ExitErrorBound,
    GuardFigures,
)
from hybrid_model.nn import Architecture, HybridNetwork
from hybrid_model.nn.summary import layer_table
from services.cli.views import bundle_view, corruption_view, energy_view, evaluation_view, plots, reuse_view


def _known(name):
    """A shipped bundle whose layers tell what they read and write."""
    bundle = bundle_file.load(bundle_file.resolve(name), cloud=True)
    content = bundle.manifest.to_json()
    content["layers"] = layer_table(HybridNetwork(Architecture.model_validate(bundle.manifest.architecture)))
    return dataclasses.replace(bundle, manifest=bundle_file.Manifest.model_validate(content))


def _older(bundle):
    layers = tuple(layer.model_copy(update={"inputs": None, "outputs": None}) for layer in bundle.manifest.layers)
    return dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"layers": layers}))


def _printed(renderable, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


@pytest.fixture(scope="module", params=["digits", "cifar10", "har"])
def bundle(request):
    return _known(request.param)


def test_nothing_is_cut_off_at_80_columns(bundle):
    shown = _printed(bundle_view.tables(bundle))
    assert "…" not in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_the_tables_tell_every_layer_and_every_path(bundle):
    shown = _printed(bundle_view.tables(bundle), width=120)
    assert all(layer.name in shown for layer in bundle.manifest.layers)
    assert "with memory and radio" in shown
    assert all(bar.name in shown for bar in energy_view.bars(bundle.manifest, energy.FULL))
    assert ("ResNet-32" in shown) == (bundle.manifest.name == "cifar10")


def test_the_distance_of_reuse_is_told_with_what_it_did_or_why_there_is_none(bundle):
    shown = " ".join(_printed(bundle_view.tables(bundle)).split())
    told = bundle_view.figures(bundle)
    if bundle.manifest.name == "cifar10":
        reuse = bundle.manifest.reuse
        assert f"differ in at most {reuse.distance_bits} of 4,096 bits" in shown
        assert f"{reuse.reused_share:.1%} took an earlier answer" in shown
        assert f"{reuse.changed_share:.1%} got another class" in shown
        assert (told["reuse"], told["reuse_missing"]) == (reuse.model_dump(mode="json"), None)
    else:
        why = {"digits": "about 36 rise, and a test needs 59", "har": "takes no pictures"}[bundle.manifest.name]
        assert why in shown
        assert told["reuse"] is None
        assert why in told["reuse_missing"]


def test_why_there_is_no_distance_is_told_of_a_bundle_that_was_not_calibrated_or_had_none_that_passed():
    manifest = _known("cifar10").manifest.model_copy(update={"reuse": None})
    assert reuse_view.why_none(manifest).startswith("none passed its test")
    assert "not calibrated" in reuse_view.sentence(manifest.model_copy(update={"calibration": None}))


def test_an_older_bundle_shows_its_operations_alone():
    old = _older(_known("digits"))
    shown = _printed(bundle_view.tables(old), width=120)
    assert "Memory and radio: not known to this file; export it again." in shown
    assert "with memory and radio" not in shown
    assert bundle_view.figures(old)["energy"]["full"] is None
    assert {layer["memory_energy_j"] for layer in bundle_view.figures(old)["layers"]} == {None}


def test_the_data_hold_both_views_of_every_path(bundle):
    told = json.loads(json.dumps(bundle_view.figures(bundle)))
    layers, sent = bundle.manifest.layers, bundle.manifest.cut.bytes
    for view in (energy.MAC, energy.FULL):
        found = told["energy"][view.name]
        paths = {path["name"]: path for path in found["paths"]}
        assert paths["cloud"]["energy_j"] == pytest.approx(energy.path_energy_j(layers, "cloud", view, sent))
        assert paths["twin"]["energy_j"] == pytest.approx(energy.twin_energy_j(layers, view))
        assert all(path["energy_j"] == pytest.approx(sum(path["parts_j"].values())) for path in paths.values())
    layer = told["layers"][0]
    assert layer["energy_j"] + layer["memory_energy_j"] == pytest.approx(energy.layer_energy_j(layers[0], energy.FULL))
    assert told["calibration"]["path"]


def test_a_baseline_in_the_cloud_has_whole_samples_sent():
    manifest = _known("cifar10").manifest
    found = {bar.name: bar for bar in energy_view.bars(manifest, energy.full_view(energy.LTE))}
    assert list(found) == ["exit 0", "cloud", "twin", "ResNet-32", "twin, sent", "ResNet-32, sent"]
    assert found["twin, sent"].parts_j["radio"] == pytest.approx(3072 * 8 * 438.39e-9)
    assert found["ResNet-32"].energy_j == pytest.approx(650.9253e-6)


def test_a_window_of_readings_is_sent_at_16_bits():
    manifest = _known("har").manifest
    height, width, channels = manifest.input.shape
    assert energy_view.whole_sample_bytes(manifest) == 2 * height * width * channels


def test_bars_are_to_one_scale():
    manifest = _known("cifar10").manifest
    bars = energy_view.bars(manifest, energy.MAC)
    lines = _printed(energy_view.render(_older(_known("cifar10")).manifest, energy.WIFI)).splitlines()
    drawn = {}
    for bar in bars:
        (line,) = [one for one in lines if one.startswith(bar.name + " ") and one.rstrip().endswith("uJ")]
        drawn[bar.name] = sum(line.count(fill) for fill, _ in energy_view.FILLS.values())
    longest = max(bar.energy_j for bar in bars)
    assert max(drawn.values()) == 42
    for bar in bars:
        assert drawn[bar.name] == pytest.approx(42 * bar.energy_j / longest, abs=0.51)


@pytest.mark.parametrize(
    ("joules", "shown"),
    [(1405.4e-6, "1,405"), (260.3e-6, "260"), (29.36e-6, "29.4"), (2.256e-6, "2.26"), (9e-9, "0.009")],
)
def test_microjoules_have_three_places_that_count(joules, shown):
    assert energy_view.microjoules(joules) == shown


EVALUATION = Evaluation(
    bundle="net",
    dataset="cifar10",
    samples=10_000,
    exit_share=[0.5, 0.3],
    edge_share=0.8,
    accuracy=Accuracy(
        hybrid=0.9312, edge=0.901, cloud=0.9333, full_precision_twin=0.9345, full_precision_taught_twin=0.951
    ),
    accuracy_interval={
        "hybrid": (0.926, 0.936), "edge": (0.895, 0.907), "cloud": (0.928, 0.938), "strict": (0.926, 0.936),
        "full_precision_twin": (0.929, 0.939),
        "full_precision_taught_twin": (0.946, 0.955),
    },
    accuracy_strict=0.9311,
    samples_strict=9_979,
    accuracy_over_twin=-0.0033,
    accuracy_over_twin_interval=(-0.0061, -0.0005),
    accuracy_over_taught_twin=-0.0198,
    accuracy_over_taught_twin_interval=(-0.0231, -0.0165),
    exit_error_rate=[0.01, 0.0234],
    exit_error_bound=ExitErrorBound(alpha=0.03, delta=0.05, observed=0.0234),
    calibration_error=ConfidenceGap(edge=0.0061, escalated=0.0187),
    energy_reduction_mac=11.17,
    energy_reduction_mac_standard=5.61,
    energy_reduction_full=21.3,
    energy_reduction_full_standard=17.7,
    energy_reduction_full_at_sensor=4.41,
    energy_reduction_full_standard_at_sensor=1.92,
    radio="wifi",
    guard=GuardFigures(clean_share_lost=0.0123, in_domain_share=0.9764),
    feature_bytes_mean=128.0,
    hard_sample_bytes={"png": 2264.0, "raw": 3072.0, "jpeg_75": 601.0, "jpeg_95": 953.0},
    sample_bytes_mean=2253.0,
    kernel="avx2",
)  # fmt: skip


def test_the_evaluation_shows_every_figure_at_80_columns():
    shown = _printed(evaluation_view.evaluation_table(EVALUATION))
    for figure in (
        "10,000", "50.0%", "30.0%", "80.0%", "93.12%", "[92.60%, 93.60%]", "93.11%", "9,979", "90.10%", "93.33%",
        "93.45%", "2.34%", "at most 3.00% promised, at 95%", "11.17 x", "5.61 x", "21.30 x", "17.70 x", "4.41 x",
        "1.92 x", "2,253 B by wifi", "128 B", "2,264 B", "953 B", "601 B", "3,072 B", "avx2",
        "-0.33", "points, -0.61 to -0.05 paired", "95.10%", "-1.98", "points, -2.31 to -1.65 paired",
        "0.006", "0.019", "1.2%", "97.6% in the domain",
    ):  # fmt: skip
        assert figure in shown, figure
    assert all(len(line.rstrip()) <= 80 for line in shown.splitlines())
    assert len(shown.splitlines()) == 29, "a row was wrapped"


def test_what_is_not_known_is_not_shown():
    unknown = dataclasses.replace(
        EVALUATION,
        accuracy=dataclasses.replace(EVALUATION.accuracy, full_precision_twin=None, full_precision_taught_twin=None),
        accuracy_strict=None,
        accuracy_over_twin=None,
        accuracy_over_twin_interval=None,
        accuracy_over_taught_twin=None,
        accuracy_over_taught_twin_interval=None,
        energy_reduction_mac_standard=None,
        energy_reduction_full=None,
        energy_reduction_full_standard=None,
        exit_error_bound=ExitErrorBound(None, None, 0.0234),
        calibration_error=ConfidenceGap(edge=0.0061, escalated=None),
        hard_sample_bytes=None,
    )
    shown = _printed(evaluation_view.evaluation_table(unknown))
    assert "no bound holds" in shown
    for word in ("  twin", "taught twin", "over twin", "strict", "ResNet-32", "energy, full", "PNG", "nan", "None"):
        assert word not in shown, word


def _corruption_report():
    def at(number):
        return CorruptedFigures(0.6, 0.9, hybrid=1 - number / 1000, wrong_but_sure=number / 1000)

    kinds = {kind: [at(10 * place + severity) for severity in range(5)] for place, kind in enumerate(KINDS)}
    cameras = {"jpeg_60": at(171), "noise_8": at(172)}
    return CorruptionReport("net", "cifar100", "test", 10_000, kinds, CorruptedFigures(0, None, 0.5, 0), cameras, at(0))


def test_the_corruptions_show_every_figure_at_80_columns():
    shown = _printed(corruption_view.corruption_tables(_corruption_report()))
    assert "…" not in shown
    lines = shown.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert len(lines) == 28, "a row was wrapped"
    (fog,) = [line.split() for line in lines if line.startswith("fog")]
    assert fog == ["fog", "91.0", "90.9", "90.8", "90.7", "90.6", "9.0", "9.1", "9.2", "9.3", "9.4"]
    (mean,) = [line for line in lines if line.startswith("mean")]
    assert mean.split()[-6:] == ["%", "-", "50.0", "%", "0.0", "%"]
    (noise,) = [line for line in lines if line.startswith("with noise")]
    assert noise.split()[-8:] == ["60.0", "%", "90.0", "%", "82.8", "%", "17.2", "%"]


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_picture_of_the_corruptions_is_the_same_every_time(tmp_path, suffix):
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        plots.draw_corruptions(_corruption_report(), path)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 5000


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_picture_of_the_energy_is_the_same_every_time(tmp_path, suffix):
    manifest = _known("cifar10").manifest
    first, second = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    for path in (first, second):
        plots.draw_energy(manifest, path, energy.WIFI)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size > 5000


def test_a_picture_without_matplotlib_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(plots.PictureError, match=r"pip install 'dewpoint\[train\]'"):
        plots.require(tmp_path / "x.svg")
