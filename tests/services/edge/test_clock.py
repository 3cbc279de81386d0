"""A clock that jumps a day ahead and two days back: deadlines, memory and connections do not care."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.messages import Label
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.processes import edge_process
from tests.services.edge.site import ALL_RISE, Site, sample, says

DAY_S = 86_400.0
LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.fixture
def libfaketime() -> Path:
    found = [path for folder in LIBRARIES for path in Path(folder).rglob("libfaketimeMT.so.1")]
    if not found:
        missing = "libfaketime is not installed: apt install faketime"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found[0]


def test_a_clock_that_jumps_ends_no_wait_early_or_late_and_forgets_nothing(
    site: Site, libfaketime: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    offset = tmp_path / "offset"

    def jump(seconds: float) -> None:
        whole = tmp_path / "offset.new"
        whole.write_text(f"{seconds:+.0f}")
        whole.replace(offset)

    def send(path: str, number: int) -> None:
        assert site.devices.publish(f"dewpoint/home/{path}/cam", sample(number))
        wait_for(lambda: any(one.id == f"s-{number}" for one in site.heard), f"a label of sample {number}")

    def told_at(number: int) -> float:
        """By how much the worker's clock was ahead when it decided on a sample."""
        return next(one.decided_at for one in site.heard if one.id == f"s-{number}") - time.time()

    jump(0)
    settings: dict[str, Any] = {
        "thresholds": ALL_RISE,
        "dedupe_window_s": DAY_S / 2,
        "inputs": [
            {"topic": "dewpoint/{site}/in/{device}"},
            {"topic": "dewpoint/{site}/patient/{device}", "deadline_s": 600},
            {"topic": "dewpoint/{site}/hasty/{device}", "deadline_s": 0.5},
        ],
    }
    environment = {
        "LD_PRELOAD": str(libfaketime),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with edge_process(site, tmp_path / "spool", settings, environment=environment) as worker, site.cloud() as cloud:
        wait_for(worker.online, "the worker is online", 60)
        send("in", 0)
        cloud.answer(1, says(3))
        wait_for(lambda: worker.count("journal_rows", state="done") == 1, "sample 0 is done", 20)
        send("in", 1)
        send("patient", 2)

        jump(DAY_S)
        send("in", 3)
        assert told_at(3) == pytest.approx(DAY_S, abs=3600), "the clock did not jump"
        assert set(site.finals()) == {("cam", "s-0")}, "the jump ended somebody's wait"
        send("hasty", 4)
        wait_for(lambda: ("cam", "s-4") in site.finals(), "a deadline a day ahead")

        jump(-DAY_S)
        send("hasty", 5)
        assert told_at(5) == pytest.approx(-DAY_S, abs=3600), "the clock did not jump back"
        wait_for(lambda: ("cam", "s-5") in site.finals(), "a deadline two days back")
        assert {site.finals()["cam", one].reason for one in ("s-4", "s-5")} == {"deadline"}

        assert site.devices.publish("dewpoint/home/in/cam", sample(0))
        first = next(raw for raw in site.raw if Label.decode(raw).id == "s-0" and Label.decode(raw).status == "final")
        wait_for(lambda: site.raw.count(first) == 2, "the label of sample 0, byte for byte")
        cloud.answer(5, says(4))
        wait_for(lambda: len(site.finals()) == 6, "every final")
        assert {site.finals()["cam", f"s-{number}"].reason for number in (1, 2, 3)} == {"escalated"}
        assert worker.count("mqtt_connections_total") == 1
        assert worker.check("/readyz") == (200, [])
