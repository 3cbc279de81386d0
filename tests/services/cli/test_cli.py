from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from services.cli import app
from tests.services.cli.forked import ForkedCommands

OURS = (
    "train",
    "export",
    "calibrate",
    "evaluate",
    "explore",
    "inspect",
    "explain",
    "control",
    "stream",
    "demo",
    "doctor",
    "try",
    "new",
)
COMMANDS = (*OURS, "edge", "cloud", "console", "dead")


def _run(*arguments):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def _process(*arguments, **options):
    command = [sys.executable, "-m", "services.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    with ForkedCommands(tmp_path_factory.mktemp("forked")) as forked:
        yield forked


def test_help_names_every_command():
    told = _run("--help").output
    assert all(f" {command} " in told for command in COMMANDS)


@pytest.mark.parametrize("command", OURS)
def test_the_help_of_a_command_teaches_by_an_example(command):
    ended = _run(command, "--help")
    assert ended.exit_code == 0
    assert f"dewpoint {command} " in " ".join(ended.output.replace("\u2502", " ").split())


@pytest.mark.parametrize("command", ["edge", "cloud", "console"])
def test_the_help_of_a_worker_is_its_own(command):
    ended = _process(command, "--help")
    assert ended.returncode == 0, ended.stderr
    assert "--config" in ended.stdout


def test_help_loads_neither_torch_nor_numpy():
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "services.cli", "demo", "--help"], capture_output=True, text=True
    )
    assert told.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in told.stderr.splitlines()}
    assert not loaded & {"torch", "numpy", "sklearn", "paho", "redis"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("inspect", "nothing"), "nothing: no such file"),
        (("evaluate", "digits", "--data", "mnist"), "no data set is called 'mnist'"),
        (("calibrate", "har", "--data", "digits"), "name the set it was trained on"),
        (("calibrate", "digits", "--data", "digits", "--guarantee", "0"), "alpha = 0"),
        (
            ("calibrate", "digits", "--data", "digits", "--guarantee", "0.1", "--edge-share", "0.5"),
            "--edge-share and --guarantee exclude each other",
        ),
        (("calibrate", "digits", "--data", "digits", "--out", "no/such/folder/x.dew"), "its folder does not exist"),
        (("train", "nothing", "--out", "x.dew"), "no recipe 'nothing'"),
        (("train", "digits", "--out", "no/such/folder/x.dew"), "its folder does not exist"),
        (("export", "nothing-s0.pt", "--recipe", "digits", "--out", "x.dew"), "no such checkpoint"),
        (("explore", "nothing"), "no space 'nothing'"),
        (("explore", "digits", "--report"), "no such study yet"),
        (("explore", "digits", "--storage", "here.db"), "storage 'here.db' is no URL"),
        (("explore", "digits", "--picture", "no/such/folder/x.svg"), "its folder does not exist"),
        (("evaluate", "digits", "--data", "digits", "--radio", "smoke"), "take wifi, lte, 3g"),
        (("evaluate", "digits", "--data", "digits", "--picture", "curve.bmp"), "pictures are written as"),
        (("evaluate", "digits", "--data", "digits", "--samples", "9"), "--samples limits what --corruptions corrupts"),
        (("evaluate", "digits", "--data", "digits", "--corruptions-picture", "x.bmp"), "pictures are written as"),
        (("inspect", "digits", "--picture", "no/such/folder/x.svg"), "its folder does not exist"),
        (("stream", "digits", "--port", "9"), "MQTT broker at 127.0.0.1:9"),
        (("stream", "digits", "--config", "nothing.toml"), "nothing.toml"),
        (("stream", "digits", "--degrade", "rain"), "kinds are noise, blur, fog"),
        (("demo", "--broker", "rabbit"), "take nats or mosquitto"),
        (("demo", "--data", "digits", "--bundle", "har"), "does not know the classes of digits"),
        (("edge", "--config", "nothing.toml"), "nothing.toml"),
        (("cloud", "--config", "nothing.toml"), "nothing.toml"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_exit_status_2(arguments, reason, tmp_path, commands):
    ended = commands.run(*arguments, folder=tmp_path, environment=_environment(tmp_path))
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    told = [line for line in ended.stderr.splitlines() if reason in line]
    assert len(told) == 1, ended.stderr


def test_inspect_tells_layers_bits_and_energy(tmp_path):
    figures = tmp_path / "figures.json"
    ended = _run("inspect", "digits", "--json", str(figures))
    assert ended.exit_code == 0
    assert "twin" in ended.output
    told = json.loads(figures.read_text())
    assert [path["name"] for path in told["energy"]["mac"]["paths"]] == ["exit 0", "cloud", "twin"]
    assert told["name"] == "digits"
    binary = [layer for layer in told["layers"] if layer["weight_bits"] == 1]
    assert binary
    assert all(layer["weight_bytes"] == -(-layer["params"] // 8) for layer in binary)
    assert told["energy_j"]["twin"] > sum(told["energy_j"]["edge_stages"])


def test_evaluate_writes_what_both_halves_and_the_whole_know(tmp_path):
    path = tmp_path / "figures.json"
    assert _run("evaluate", "digits", "--data", "digits", "--json", str(path)).exit_code == 0
    told = json.loads(path.read_text())
    assert told["samples"] == 359
    assert told["edge_share"] == pytest.approx(sum(told["exit_share"]))
    assert set(told["accuracy"]) == {"hybrid", "edge", "cloud", "full_precision_twin", "full_precision_taught_twin"}
    assert set(told["exit_error_bound"]) == {"alpha", "delta", "observed"}
    assert told["accuracy"]["hybrid"] >= 0.96
    assert {"energy_reduction_mac", "feature_bytes_mean"} <= told.keys()
    assert not {"corruptions", "camera", "samples_corrupted"} & told.keys()


def test_evaluate_tells_the_whole_path_from_the_same_pass(tmp_path):
    figures, path, picture = tmp_path / "figures.json", tmp_path / "curve.json", tmp_path / "curve.svg"
    asked = ("--json", str(figures), "--curve", str(path), "--picture", str(picture))
    ended = _run("evaluate", "digits", "--data", "digits", *asked)
    assert ended.exit_code == 0, ended.output
    told, whole = json.loads(path.read_text()), json.loads(figures.read_text())
    (working,) = [point for point in told["points"] if point["working"]]
    assert working["accuracy"] == whole["accuracy"]["hybrid"]
    assert working["energy_reduction"]["mac"] == whole["energy_reduction_mac"]
    assert "working point" in picture.read_text()


def test_evaluate_tells_what_corrupted_pictures_cost(tmp_path):
    figures, picture = tmp_path / "figures.json", tmp_path / "corruptions.svg"
    asked = ("--corruptions", "--samples", "40", "--json", str(figures), "--corruptions-picture", str(picture))
    ended = _run("evaluate", "digits", "--data", "digits", *asked)
    assert ended.exit_code == 0, ended.output
    told = json.loads(figures.read_text())
    assert told["samples"] == 359
    assert told["samples_corrupted"] == 40
    assert len(told["corruptions"]) == 16
    assert [set(at) for at in told["corruptions"]["snow"]] == [set(told["corruptions"]["mean"])] * 5
    assert set(told["camera"]) == {"jpeg_60", "noise_8"}
    assert "glass blur" in ended.output
    assert "glass blur" in picture.read_text()


def test_calibrate_shows_the_path_and_writes_the_same_network_at_the_chosen_point(tmp_path):
    written, figures = tmp_path / "own.dew", tmp_path / "figures.json"
    asked = ("--data", "digits", "--guarantee", "0.1", "--out", str(written), "--json", str(figures))
    ended = _run("calibrate", "digits", *asked)
    assert ended.exit_code == 0, ended.output
    told = json.loads(figures.read_text())
    kept = told["calibration"]
    assert kept["alpha"] == 0.1
    assert kept["point"] == kept["passed"]
    assert f"Points {kept['start']} to {kept['passed']}" in ended.output
    assert "working point" in ended.output
    assert told["reuse"] is None
    assert f"{told['reuse_missing']}." in " ".join(ended.output.split())
    inspected = json.loads(_inspected(written, tmp_path))
    assert inspected["network_id"] == told["network_id"]
    assert inspected["exits"][0]["threshold"] == kept["path"][kept["point"]]["thresholds"][0]


def test_calibrate_says_when_a_guarantee_cannot_be_given():
    told = " ".join(_run("calibrate", "digits", "--data", "digits", "--guarantee", "0.01").output.split())
    assert "no point of the path has enough of the 144" in told
    assert "every sample goes to the cloud" in told


def test_calibrate_without_a_place_to_write_leaves_the_bundle_alone(tmp_path):
    own = tmp_path / "own.dew"
    assert _run("calibrate", "digits", "--data", "digits", "--edge-share", "0.5", "--out", str(own)).exit_code == 0
    before = own.read_bytes()
    ended = _run("calibrate", str(own), "--data", "digits", "--accuracy-budget", "0.5", "--delta", "0.1")
    assert "Nothing was written" in ended.output
    assert own.read_bytes() == before


def test_a_network_is_trained_exported_and_evaluated(tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        'name = "tiny"\ndataset = "digits"\nfamily = "digits"\n'
        '[schedule]\nepochs = 2\nbatch_size = 64\noptimizer = "adamw"\nlr = 4e-3\n'
    )
    trained, exported = tmp_path / "trained.dew", tmp_path / "exported.dew"
    folder, history = tmp_path / "runs", tmp_path / "history.json"
    done = _run(
        "train", str(recipe), "--out", str(trained), "--checkpoints", str(folder), "--json", str(history),
        "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len(json.loads(history.read_text())["history"]) == 2
    done = _run("export", str(folder / "tiny-s0.pt"), "--recipe", str(recipe), "--out", str(exported))
    assert done.exit_code == 0, done.output
    networks = [json.loads(_inspected(path, tmp_path))["network_id"] for path in (trained, exported)]
    assert networks[0] == networks[1]
    assert _run("evaluate", str(exported), "--data", "digits").exit_code == 0


def _inspected(bundle, folder):
    path = folder / f"{bundle.stem}.json"
    assert _run("inspect", str(bundle), "--json", str(path)).exit_code == 0
    return path.read_text()


def _environment(folder):
    """No settings but those of the command line, and no data but the digits."""
    import os
    from pathlib import Path

    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEWPOINT_")}
    root = str(Path(__file__).resolve().parents[3])
    return {**kept, "PYTHONPATH": root, "HOME": str(folder)}


def test_a_space_is_explored_and_shown_again_without_training(tmp_path):
    space = tmp_path / "tiny.toml"
    space.write_text(
        'name = "tiny"\nrecipe = "digits"\ntrials = 1\n[fixed]\n"schedule.epochs" = 1\n'
        '[fields]\n"architecture.cut_bits" = [1, 2]\n'
    )
    figures, picture = tmp_path / "figures.json", tmp_path / "picture.svg"
    asked = (str(space), "--folder", str(tmp_path / "study"), "--json", str(figures))
    ended = _run("explore", *asked, "--picture", str(picture))
    assert ended.exit_code == 0, ended.output
    assert "Pareto front" in ended.output
    told = json.loads(figures.read_text())
    assert [trial["state"] for trial in told["trials"]] == ["complete"]
    assert "<svg" in picture.read_text()

    assert _run("explore", *asked, "--report").exit_code == 0
    assert json.loads(figures.read_text()) == told


def test_the_version_is_told():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("dewpoint ")
