"""Redis loses its data and stays away in the middle of a demonstration: the edge goes on, and nothing is lost."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from services.servers import find_mosquitto
from tests.chaos.outage import Options, run
from tests.chaos.timeline import draw
from tests.conftest import require_server


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="workers end with their parent on Linux alone")
def test_the_edge_goes_on_and_the_hard_samples_get_their_answer_afterwards(tmp_path):
    require_server(find_mosquitto)

    found, outage = run(Options(seconds=20, before_s=8, after_s=15, rate_hz=20), Console(file=io.StringIO()))

    assert found["samples"] == found["labels_final"] == 860
    assert found["lost"] == found["duplicates"] == 0
    assert found["hard_answered_share"] == 1.0
    assert found["confident_during_outage"] > 50
    assert found["provisionals_during_outage"] > 50
    assert found["waiting_max"] > 50
    assert found["drained_after_s"] is not None
    draw(outage.timeline.moments, tuple(found["outage_s"]), tmp_path / "outage.svg")
    assert (tmp_path / "outage.svg").stat().st_size > 10_000
