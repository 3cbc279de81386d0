"""The cloud worker as a process: how it starts, refuses to start, drains, hangs and dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybrid_model import bundle
from services.feature_stream import EdgeFeatures, Stream
from services.messages import Reply
from services.servers import RedisServer, free_port
from services.settings import RedisSettings
from tests.conftest import WaitFor
from tests.services.cloud.stand_in import DEADLY, FINE, GIL_HANGING, GIL_HANGING_ONCE, HANGING, B, escalation

STREAM = Stream(B, 0)
STAND_IN = ("-m", "tests.services.cloud.stand_in")
REAL = ("-m", "services.cloud", "--config")

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def edge(redis_server: RedisServer) -> Iterator[EdgeFeatures]:
    settings = RedisSettings(host=redis_server.host, port=redis_server.port)
    features = EdgeFeatures(settings, network_id=B, partitions=1, site="s", worker="w")
    yield features
    features.close()


@pytest.fixture
def start(redis_server: RedisServer, tmp_path: Path) -> Iterator[Start]:
    """`start(*command, **cloud_settings)`: a worker process; killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*command: str, metrics_port: int = 0, **cloud: object) -> subprocess.Popen[str]:
        chosen = {"bundles": ["digits"], "lease_s": 0.5, "linger_ms": 1} | cloud
        config = tmp_path / f"{len(started)}.toml"
        lines = ["[cloud]", *(f"{key} = {value!r}" for key, value in chosen.items())]
        lines += ["[redis]", f"port = {redis_server.port}", "[metrics]", f"port = {metrics_port}"]
        config.write_text("\n".join(lines))
        process = subprocess.Popen([sys.executable, *command, str(config)], stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def send(edge: EdgeFeatures, *kinds: int) -> None:
    edge.register()
    assert all(edge.escalate([escalation(f"{number}-{kind}", kind, 2) for number, kind in enumerate(kinds)]))


def answered(edge: EdgeFeatures) -> dict[str, Reply]:
    read = [entry.reply for entry in edge.read_replies(1000)]
    return {reply.id: reply for reply in read if isinstance(reply, Reply)}


def status(port: int, page: str) -> int | None:
    """What `/healthz` or `/readyz` answers; None where nobody does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_the_real_cloud_half_answers_shows_its_metrics_and_drains(
    edge: EdgeFeatures, start: Start, wait_for: WaitFor
) -> None:
    manifest = bundle.load(bundle.resolve("digits")).manifest
    port = free_port()
    edge.register()
    edge.escalate([escalation(str(number), features=bytes(manifest.cut.bytes)) for number in range(20)])
    worker = start(*REAL, metrics_port=port)
    wait_for(lambda: len(answered(edge)) == 20, "all are answered", 60)
    classes = {reply.class_index for reply in answered(edge).values()}
    assert classes <= set(range(len(manifest.classes)))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        shown = page.read().decode()
    assert f'dewpoint_cloud_answered_total{{network="{B}",outcome="label"}} 20.0' in shown
    assert re.search(
        rf'dewpoint_cloud_network_info{{bundle="digits",network="{B}",precision="(fp32|bf16)"}} 1.0', shown
    )
    wait_for(lambda: status(port, "readyz") == 200, "the worker is ready")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(90) == 0


def test_a_killed_worker_loses_nothing(edge: EdgeFeatures, start: Start, wait_for: WaitFor) -> None:
    workers = [start(*STAND_IN, batch_max=4) for _ in range(2)]
    edge.register()
    for round_number in range(100):
        edge.escalate([escalation(f"{round_number}-{number}", FINE, 2) for number in range(10)])
        if round_number == 50:
            wait_for(lambda: len(edge.read_replies(1)) > 0, "the workers work", 30)
            workers[0].kill()
    wait_for(lambda: len(answered(edge)) == 1000, "all are answered", 30)
    assert len(edge.read_replies(2000)) == 1000
    assert edge.queue().length == 0


@pytest.mark.parametrize(("kind", "death"), [(DEADLY, -signal.SIGKILL), (HANGING, 70), (GIL_HANGING, 1)])
def test_a_sample_that_ends_its_worker_goes_to_the_dead_letters_after_its_lone_runs(
    edge: EdgeFeatures, start: Start, wait_for: WaitFor, kind: int, death: int
) -> None:
    send(edge, FINE, kind, FINE)
    running = [start(*STAND_IN, batch_timeout_s=0.5)]
    deaths = 0

    def supervised() -> bool:
        nonlocal deaths
        if running[0].poll() is not None:
            assert running[0].returncode == death
            deaths += 1
            running[0] = start(*STAND_IN, batch_timeout_s=0.5)
        return len(answered(edge)) == 3

    wait_for(supervised, "all are answered", 60)
    replies = answered(edge)
    assert deaths == 4  # the batch, then three lone runs
    assert replies["0-0"].class_index == replies["2-0"].class_index == 2
    assert replies[f"1-{kind}"].error is not None
    assert edge.queue().length == 0


def test_a_hang_that_stops_the_whole_process_is_taken_over_by_another_worker(
    edge: EdgeFeatures, start: Start, wait_for: WaitFor, tmp_path: Path
) -> None:
    """No thread of it runs any more: not the one that renews leases, nor the one that would end it."""
    hung = start(*STAND_IN, batch_timeout_s=3600)
    send(edge, FINE, GIL_HANGING_ONCE, FINE)
    wait_for((tmp_path / "hung").exists, "the worker hangs", 30)
    start(*STAND_IN)
    wait_for(lambda: len(answered(edge)) == 3, "all are answered", 30)
    assert {reply.class_index for reply in answered(edge).values()} == {2}
    assert hung.poll() is None


def test_a_stopped_worker_that_goes_on_answers_nothing_twice(
    edge: EdgeFeatures, redis_server: RedisServer, start: Start, wait_for: WaitFor
) -> None:
    port = free_port()
    frozen = start(*STAND_IN, metrics_port=port, batch_max=1)
    send(edge, FINE)
    wait_for(lambda: len(answered(edge)) == 1, "the worker works", 30)
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        start(*STAND_IN)
        edge.escalate([escalation(f"later-{number}") for number in range(20)])
        wait_for(lambda: len(answered(edge)) == 21, "all are answered", 30)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    wait_for(lambda: status(port, "readyz") == 200, "the stopped one goes on", 30)
    assert len(edge.read_replies(1000)) == 21


def test_a_worker_that_lost_redis_is_healthy_but_not_ready_until_it_is_back(
    edge: EdgeFeatures, redis_server: RedisServer, start: Start, wait_for: WaitFor
) -> None:
    port = free_port()
    send(edge, FINE)
    start(*STAND_IN, metrics_port=port)
    wait_for(lambda: status(port, "readyz") == 200, "the worker is ready", 30)
    redis_server.kill()
    wait_for(lambda: status(port, "readyz") == 503, "the loss is told", 30)
    assert status(port, "healthz") == 200
    redis_server.start()
    wait_for(lambda: status(port, "readyz") == 200, "it is ready again", 30)


def test_a_worker_that_hangs_shows_where_and_is_not_ready_any_more(
    edge: EdgeFeatures, start: Start, wait_for: WaitFor
) -> None:
    port = free_port()
    worker = start(*STAND_IN, metrics_port=port, batch_timeout_s=1.0)
    wait_for(lambda: status(port, "healthz") == 200, "the worker runs", 30)
    send(edge, GIL_HANGING)
    assert worker.wait(60) == 1
    assert worker.stderr is not None
    told = worker.stderr.read()
    assert "Timeout" in told
    assert "stand_in.py" in told
    assert status(port, "healthz") is None


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"bundles": ["nowhere"]}, "nowhere"),
        ({"bundles": ["missing/net.dew"]}, "missing/net.dew"),
        ({"batch_max": 0}, "batch_max"),
        ({"device": "warp"}, "warp"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(start: Start, settings: dict[str, object], complaint: str) -> None:
    refused = start(*REAL, **settings)
    assert refused.wait(30) == 2
    assert refused.stderr is not None
    [line] = refused.stderr.read().splitlines()
    assert line.startswith("dewpoint cloud: ")
    assert complaint in line


def test_an_unreachable_redis_is_one_line_and_status_2(redis_server: RedisServer, start: Start) -> None:
    redis_server.stop()
    refused = start(*REAL)
    assert refused.wait(30) == 2
    assert refused.stderr is not None
    [line] = refused.stderr.read().splitlines()
    assert line.startswith(f"dewpoint cloud: redis at {redis_server.address}: ")


def test_asking_for_help_imports_no_torch() -> None:
    seen = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "services.cloud", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Redis" in seen.stdout
    assert "torch" not in seen.stderr
