"""A disk that answers nothing: the process ends, so that a supervisor sees it, and no message is blamed for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common import exit_status
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.processes import RUN, edge_process
from tests.services.edge.site import ALL_LEAVE, Site, sample

pytestmark = pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)

#: A worker that opens `stuck` in its spool before it commits what came: where that is a pipe, the system call stays.
STUCK = f"""
import os
from services.edge.journal.samples import Journal
from services import settings

stuck, commit = settings.load().edge.spool / "stuck", Journal.commit

def commit_where_possible(journal, batch):
    if stuck.exists():
        os.close(os.open(stuck, os.O_RDONLY))
    commit(journal, batch)

Journal.commit = commit_where_possible
{RUN}
"""
BATCH_TIMEOUT_S = 3.0


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def test_a_commit_that_hangs_ends_the_process_and_what_was_in_hand_is_handled_as_ever(
    site: Site, tmp_path: Path, wait_for: WaitFor
) -> None:
    settings = {"thresholds": ALL_LEAVE, "batch_timeout_s": BATCH_TIMEOUT_S, "max_deliveries": 1}
    with edge_process(site, tmp_path / "spool", settings, code=STUCK) as worker:
        wait_for(worker.online, "the worker is online", 60)
        site.publish("cam", sample(0))
        wait_for(lambda: len(site.finals()) == 1, "a label", 30)

        os.mkfifo(worker.spool / "stuck")
        site.publish("cam", *map(sample, range(1, 6)))
        wait_for(lambda: any("at one step" in one for one in worker.check("/readyz")[1]), "it is told", 60)
        assert worker.wait(120) == exit_status.HANG
        assert "worker_hangs" in worker.log
        assert "see whether the disk of the spool answers" in worker.log
        assert len(site.finals()) == 1, "nothing is told that is not committed"

        (worker.spool / "stuck").unlink()
        worker.start()
        wait_for(lambda: len(site.finals()) == 6, "every label", 60)
        assert worker.count("lone_runs_total") == 0, "a disk that hangs is no message's fault"
        worker.stop()
