"""The edge worker as a process: its command line, its end, and what a SIGKILL leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.messages import Status
from services.servers import Broker, NatsBroker, RedisServer, free_port
from tests.conftest import WaitFor, make_broker
from tests.services.edge.site import SITE, WORKER, Site, sample, says

Start = Callable[..., "subprocess.Popen[str]"]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DEWPOINT_")}


def run(*arguments: str, importtime: bool = False) -> subprocess.CompletedProcess[str]:
    options = ["-X", "importtime"] if importtime else []
    return subprocess.run(
        [sys.executable, *options, "-m", "services.edge", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = make_broker("nats", tmp_path)
    assert isinstance(made, NatsBroker)
    made.ack_wait_s = 2  # what a killed worker left unacknowledged comes again after this
    with made:
        yield made


@pytest.fixture
def site(broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def start(site: Site, tmp_path: Path, wait_for: WaitFor) -> Iterator[Start]:
    """Starts a worker process and waits until it is online."""
    processes: list[subprocess.Popen[str]] = []
    config = tmp_path / "edge.toml"

    def begin(*, guard: str = "false", **edge: str) -> subprocess.Popen[str]:
        lines = [f'[site]\nname = "{SITE}"', f"[mqtt]\nport = {site.broker.port}", f"[redis]\nport = {site.redis.port}"]
        lines += ["[edge]", f'spool = "{tmp_path / "spool"}"', f'worker = "{WORKER}"']
        lines += [f"guard = {guard}"]  # the pictures here are noise, which guards would hold back
        lines += [f"{key} = {value}" for key, value in edge.items()]
        config.write_text("\n".join(lines))
        before = len(site.statuses)
        process = subprocess.Popen(
            [sys.executable, "-m", "services.edge", "--config", str(config)],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        processes.append(process)
        wait_for(lambda: states(site)[before:].count("online") == 1, "the worker is online", timeout_s=30)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def states(site: Site) -> list[str]:
    return [Status.decode(one).state for one in site.statuses]


def test_help_imports_no_torch_and_nothing_heavy() -> None:
    result = run("--help", importtime=True)
    assert result.returncode == 0
    assert "--config" in result.stdout
    imported = set(re.findall(r"\|\s+(\S+)$", result.stderr, re.MULTILINE))
    assert not imported & {"torch", "sklearn", "matplotlib", "numpy", "PIL", "paho", "redis"}


def test_the_worker_and_all_that_it_imports_need_no_torch() -> None:
    code = "import sys, services.edge.process; sys.exit(bool({'torch', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[edge]\nbatch_max = 0\n", "edge.batch_max"),
        ('[edge]\nbundle = "no-such-network"\n', "no-such-network"),
        ("[mqtt]\nport = {closed}\n", "MQTT broker at 127.0.0.1:{closed}: Connection refused"),
        ('[edge]\nspool = "/dev/null/spool"\n', "spool /dev/null/spool"),
        ('[mqtt]\nusername = "u"\npassword_file = "/no/such/file"\n', "secret file /no/such/file"),
        ("[metrics]\nport = {closed}\nhost = '203.0.113.1'\n", "metrics at 203.0.113.1"),
    ],
)
def test_what_is_wrong_at_the_start_is_one_line_and_status_2(tmp_path: Path, text: str, expected: str) -> None:
    closed = str(free_port())
    config = tmp_path / "wrong.toml"
    config.write_text(text.replace("{closed}", closed))
    spool = [] if "spool" in text else ["--spool", str(tmp_path / "spool")]
    result = run("--config", str(config), *spool)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert expected.replace("{closed}", closed) in result.stderr


def test_a_second_worker_cannot_use_the_spool(start: Start, tmp_path: Path) -> None:
    process = start()
    result = run("--config", str(tmp_path / "edge.toml"))
    assert result.returncode == 2
    assert f"in use by process {process.pid}" in result.stderr


def test_sigterm_drains_says_stopped_and_ends_with_0(site: Site, start: Start, wait_for: WaitFor) -> None:
    process = start()
    site.publish("cam", *(sample(number) for number in range(100)))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    wait_for(lambda: states(site)[-1] == "stopped", "the farewell")
    start()
    with site.cloud() as cloud:
        wait_for(lambda: len({(one.device, one.id) for one in site.heard}) == 100, "a label for every sample")
        cloud.answer(100 - len(site.finals()), says(3), timeout_s=20)
    wait_for(lambda: len(site.finals()) == 100, "every final")


def test_after_a_sigkill_every_sample_gets_one_final_and_never_two_different(
    site: Site, start: Start, wait_for: WaitFor
) -> None:
    count, killed = 400, 0
    process = start(thresholds="[1e9]")
    for number in range(count):
        site.publish("cam", sample(number))
        if number % 100 == 50:
            process.kill()
            process.wait()
            killed += 1
            process = start(thresholds="[1e9]")
    wait_for(lambda: len(site.finals()) == count, "every final", timeout_s=60)
    assert killed == 4
    by_key: dict[tuple[str, str], set[bytes]] = {}
    for label, raw in zip(site.heard, site.raw, strict=True):
        by_key.setdefault((label.device, label.id), set()).add(raw)
    assert {len(forms) for forms in by_key.values()} == {1}


def test_a_killed_worker_is_told_offline_by_the_broker(site: Site, start: Start, wait_for: WaitFor) -> None:
    process = start()
    process.kill()
    wait_for(lambda: states(site)[-1] == "offline", "the will")
