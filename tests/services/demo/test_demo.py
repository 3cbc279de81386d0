from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from services.demo import Demo, DemoOptions
from services.servers import find_mosquitto, find_nats_server, find_redis_server
from tests.conftest import require_server
from tests.services.traces.collector import Collector

FIGURES = {
    "bundle", "dataset", "samples", "labels_final", "lost", "duplicates", "edge_share", "out_of_domain",
    "reused", "rate_limited", "accuracy", "accuracy_edge_only", "accuracy_cloud_only", "energy_reduction_mac",
    "feature_bytes_mean", "input_bytes_mean", "latency_ms", "throughput_hz",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _servers():
    require_server(find_nats_server)
    require_server(find_redis_server)


@pytest.fixture
def dewpoint(tmp_path):
    """Starts the command with its temporary files in the test's folder; whatever is left at the end is killed."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    with ExitStack() as stack:

        def start(*arguments):
            command = [sys.executable, "-m", "services.cli", *arguments]
            process = stack.enter_context(
                subprocess.Popen(
                    command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.kill)
            return process

        yield start


def _processes_in(folder):
    """Processes that work in a folder below this one (all that a demonstration starts, and itself)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.timeout(240)
def test_a_demonstration_loses_nothing_and_ends_with_its_figures(dewpoint, tmp_path):
    demo = dewpoint("demo", "--frames", "200", "--workers", "1", "--rate", "100", "--no-console", "--json", "d.json")
    told, complaints = demo.communicate(timeout=200)
    assert demo.returncode == 0, told + complaints
    figures = json.loads((tmp_path / "d.json").read_text())
    assert figures.keys() == FIGURES
    assert figures["samples"] == figures["labels_final"] == 200
    assert figures["lost"] == figures["duplicates"] == 0
    assert 0.3 <= figures["edge_share"] <= 0.95
    assert 0 <= figures["out_of_domain"] <= round(200 * (1 - figures["edge_share"])), "none of them left"
    assert figures["accuracy"] > 0.9
    assert figures["energy_reduction_mac"] > 1
    for path in ("edge", "cloud"):
        assert 0 < figures["latency_ms"][path]["p50"] <= figures["latency_ms"][path]["p99"]
    assert "kernel" in told
    assert "answered on the edge" in told
    assert "out of domain" in told


@pytest.mark.timeout(240)
def test_a_cloud_worker_that_is_killed_loses_nothing():
    noisy = ("scanner-1=noise:0.9", "scanner-2=noise:0.9")
    options = DemoOptions(frames=300, workers=2, devices=2, degraded=noisy, rate_hz=60, lease_s=2.0)
    killed = []

    def kill_one(demo):
        tally = demo.books.tally()
        if not killed and len(tally.latencies_s["cloud"]) >= 20:
            victim = demo.cloud[0].pid
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    with Demo(options, Console(file=io.StringIO())) as demo:
        figures = demo.stream(watch=kill_one)
        assert killed
        assert [worker.running for worker in demo.cloud] == [False, True]
    assert figures["samples"] == figures["labels_final"] == 300
    assert figures["lost"] == figures["duplicates"] == 0
    assert figures["edge_share"] < 0.7


@pytest.mark.timeout(240)
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demonstration_that_is_interrupted_leaves_nothing_running(dewpoint, tmp_path, wait_for, number):
    demo = dewpoint("demo", "--frames", "100000", "--workers", "1")
    _line_with(demo, "kernel")
    assert len(_processes_in(tmp_path)) == 6  # itself, broker, Redis, edge and cloud worker, console
    demo.send_signal(number)
    told, complaints = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number, told + complaints
    assert "Traceback" not in complaints
    wait_for(lambda: _processes_in(tmp_path) == [], "the end of all processes")
    assert list(tmp_path.glob("dewpoint-demo-*")) == []


@pytest.mark.timeout(240)
def test_a_demonstration_that_is_kept_runs_on_until_it_is_interrupted(dewpoint, tmp_path, wait_for):
    demo = dewpoint("demo", "--frames", "50", "--workers", "1", "--keep", "--json", "d.json")
    [page] = re.findall(r"console: (http://127\.0\.0\.1:\d+)", _line_with(demo, "console: "))
    assert "MQTT 127.0.0.1:" in _line_with(demo, "Redis 127.0.0.1:")
    with urllib.request.urlopen(page, timeout=60) as answer:
        assert b"Dewpoint, demo" in answer.read()
    assert json.loads((tmp_path / "d.json").read_text())["lost"] == 0
    assert demo.poll() is None
    demo.send_signal(signal.SIGINT)
    _, complaints = demo.communicate(timeout=60)
    assert demo.returncode == 0, complaints
    wait_for(lambda: _processes_in(tmp_path) == [], "the end of all processes")


def _line_with(process, word):
    for line in process.stdout:
        if word in line:
            return line
    raise AssertionError(f"ended without a word of {word}: {process.stderr.read()}")


@pytest.mark.timeout(240)
def test_sensor_readings_are_windowed_and_every_window_gets_its_label(request):
    if not os.environ.get("DEWPOINT_DATA"):
        pytest.skip("needs UCI HAR: point DEWPOINT_DATA at a folder that holds it")
    require_server(find_mosquitto)
    with Collector() as collector:
        options = DemoOptions(
            dataset="har", frames=60, workers=1, devices=3, rate_hz=30, broker="mosquitto", traces=collector.endpoint
        )
        with Demo(options, Console(file=io.StringIO())) as demo:
            figures = demo.stream()
    assert figures["samples"] == figures["labels_final"] == 60
    assert figures["lost"] == figures["duplicates"] == 0
    # Each window goes on in the trace of the message that completed it, and a hard one comes to its final label there.
    publishes = {one.id: one for one in collector.named("publish")}
    samples = collector.named("edge sample")
    assert len(samples) == 60
    for one in samples:
        assert publishes[one.parent].attributes["dewpoint.device"] == one.attributes["dewpoint.device"]
    hard = sorted(one.id for one in samples if one.attributes["dewpoint.exit"] == "escalated")
    for name in ("cloud sample", "edge final"):
        assert sorted(one.parent for one in collector.named(name)) == hard
