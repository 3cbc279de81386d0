from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.demo.processes import WorkerError, WorkerProcess


def _until(condition, *, within_s=90.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not within the time allowed"
        time.sleep(0.02)


def test_a_worker_that_ends_by_itself_is_told_with_its_last_words(tmp_path):
    worker = WorkerProcess(name="timer", module="timeit", arguments=["-n", "1", "no_such_name"], folder=tmp_path)
    with worker:
        _until(lambda: not worker.running)
        with pytest.raises(WorkerError, match=r"(?s)timer ended with status 1.*no_such_name"):
            worker.check()


def test_a_worker_is_stopped_with_its_block(tmp_path):
    with WorkerProcess(
        name="server", module="http.server", arguments=["0", "--bind", "127.0.0.1"], folder=tmp_path
    ) as worker:
        worker.check()
        assert worker.running
    assert not worker.running


def test_a_worker_that_was_killed_can_be_started_again(tmp_path):
    with WorkerProcess(
        name="server", module="http.server", arguments=["0", "--bind", "127.0.0.1"], folder=tmp_path
    ) as worker:
        first = worker.pid
        worker.kill()
        assert not worker.running
        worker.start()
        assert worker.running
        assert worker.pid != first


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import pathlib, sys, time; from services.demo.processes import WorkerProcess;"
            f"w = WorkerProcess(name='w', module='http.server', arguments=['0', '--bind', '127.0.0.1'],"
            f" folder=pathlib.Path({str(tmp_path)!r}));"
            "print(w.start().pid, flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()

    def gone():
        try:
            return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        except OSError:
            return True

    _until(gone)
