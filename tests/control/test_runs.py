"""Budgets kept by real workers, short: a share while the picture blurs, a latency while a cloud worker is killed."""

from __future__ import annotations

import sys

import pytest

from services.servers import find_mosquitto
from tests.conftest import require_server
from tests.control import latency, share
from tests.control.picture import draw

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="workers end with their parent on Linux alone"),
]


def test_budgets_are_kept_while_the_picture_blurs_and_while_the_cloud_shrinks(tmp_path):
    require_server(find_mosquitto)
    for name in ("share", "latency"):
        (tmp_path / name).mkdir()

    one = share.run(share.Options(rate_hz=100, before_s=20, after_s=60), tmp_path / "share")
    two = latency.run(latency.Options(before_s=20, after_s=60), tmp_path / "latency")

    assert one[0]["share_of_the_worst_second"] > 0.3
    assert one[0]["share_after"][2] == pytest.approx(0.2, abs=0.05)
    assert one[0]["largest_deviation_later"] < 0.07
    assert two[0]["rose_per_s_before"] > two[0]["answered_per_s_after"], "one worker alone is overloaded"
    assert two[0]["last_window_over_budget_ends_after_s"] < 40
    draw(one, two, tmp_path / "budget.svg")
    assert (tmp_path / "budget.svg").stat().st_size > 10_000
