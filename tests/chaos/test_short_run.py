"""A short run of chaos: whatever breaks, every sample that the broker took gets one final label, or is rejected."""

from __future__ import annotations

import sys

import pytest

from services.servers import find_mosquitto
from tests.chaos import report
from tests.chaos.driver import Options, run
from tests.chaos.faults import WEIGHTS
from tests.conftest import require_server

# Of this seed the first 76 ticks hold every kind of fault, 19 in all, and few that take long to get over.
SHORT = Options(
    samples=400, seconds=240, seed=2612, faults=15, rate_hz=20, faults_hz=1.0,
    image_edges=1, sensor_edges=1, mixed_edges=1, clouds=2, source="synthetic",
)  # fmt: skip


@pytest.mark.early
@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="workers end with their parent on Linux alone")
def test_no_sample_is_lost_and_no_final_is_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    require_server(find_mosquitto)

    found = run(SHORT, tell=print)

    told = capsys.readouterr().out + report.lines(found)
    assert found["lost"] == found["conflicting_finals"] == 0, told
    assert report.broken_promises(found) == [], told
    assert found["drained"], told
    assert found["samples"] == found["finals"] + found["rejected"] >= 400, told
    assert found["faults"] >= 15, told
    assert len(found["events"]) >= len(WEIGHTS) - 3, told
    assert found["rejected"] >= 1, told
    assert found["hard_answered_share"] >= 0.95, told
    assert set(found["finals_by_reason"]) <= {"confident", "escalated", "failed"}, told
