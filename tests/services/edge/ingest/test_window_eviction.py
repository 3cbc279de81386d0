"""What is stored of windows has a bound: of devices those silent the longest are forgotten, of marks the oldest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from services.edge.errors import StorageError
from services.edge.ingest.window_eviction import WindowEviction
from services.edge.ingest.windows import WindowAssembly
from services.edge.journal import Disk
from services.edge.journal.records import Batch
from services.edge.journal.samples import Journal
from services.edge.publish.finals import Finals
from services.edge.upkeep.journal_limits import JournalLimits
from services.edge.window import Readings, WindowRule, WindowState
from services.messages.names import NAME_CHARS_MAX
from services.metrics import DeviceNames, EdgeMetrics

RULE = WindowRule(length=8, hop=8, marks_kept=10)
MIB = 1 << 20


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as one:
        yield one


def state(high: int, *, epoch: int = 0, rows: int = 1) -> WindowState:
    return WindowState(epoch, high, None, np.arange(rows), np.zeros((rows, 1), np.float32))


def hear(journal: Journal, *devices: str, mark: int = 5, epoch: int = 0, rows: int = 1) -> None:
    """A committed message of each, in turn."""
    for device in devices:
        states = {device: state(mark, epoch=epoch, rows=rows)}
        journal.commit(Batch(windows=states, marks=[(device, mark, b"h")]))


def assembly(journal: Journal) -> WindowAssembly:
    return WindowAssembly(stored=journal.windows, rule=RULE, metrics=EdgeMetrics(), devices=DeviceNames(1), channels=1)


def bounds(
    journal: Journal, *, devices_max: int = 100, state_bytes: int = 1, journal_bytes_max: int = 512 * MIB
) -> tuple[WindowEviction, EdgeMetrics]:
    metrics = EdgeMetrics()
    made = WindowEviction(
        stored=journal.windows,
        metrics=metrics,
        devices_max=devices_max,
        state_bytes=state_bytes,
        journal_bytes_max=journal_bytes_max,
    )
    return made, metrics


def count(metrics: EdgeMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"dewpoint_{name}", labels) or 0.0


def test_the_devices_that_are_silent_longest_are_forgotten_with_their_marks(journal: Journal) -> None:
    hear(journal, "a", "b", "c", "d")
    hear(journal, "a", mark=6)
    kept, metrics = bounds(journal, devices_max=2)
    assert list(kept.evict()) == ["b", "c"]
    assert [name for name in "abcd" if journal.windows.of(name, channels=1).high is not None] == ["a", "d"]
    assert [name for name in "abcd" if journal.windows.knows(name, 5, b"h")] == ["a", "d"]
    assert (journal.windows.devices, journal.windows.marks) == (2, 3)
    assert count(metrics, "window_devices_evicted_total") == 2


def test_only_windows_that_were_begun_are_counted_as_given_up(journal: Journal) -> None:
    hear(journal, "empty", rows=0)
    hear(journal, "begun", "last")
    kept, metrics = bounds(journal, devices_max=1)
    kept.evict()
    assert count(metrics, "window_tails_total", cause="evicted") == 1


def test_the_order_of_silence_outlives_a_restart(tmp_path: Path) -> None:
    with Journal(tmp_path / "again.sqlite") as journal:
        hear(journal, "a", "b", "c", "a")
    with Journal(tmp_path / "again.sqlite") as journal:
        assert (journal.windows.devices, journal.windows.marks) == (3, 4)
        assert [one.device for one in journal.windows.evict_devices(kept=1)] == ["b", "c"]


def test_an_evicted_device_comes_back_with_an_epoch_that_no_device_evicted_had(tmp_path: Path) -> None:
    with Journal(tmp_path / "again.sqlite") as journal:
        hear(journal, "often", epoch=7)
        hear(journal, "once")
        journal.windows.evict_devices(kept=0)
        assert journal.windows.of("often", channels=1).epoch == 8
    with Journal(tmp_path / "again.sqlite") as journal:
        assert journal.windows.of("often", channels=1).epoch == 8
        hear(journal, "once")
        journal.windows.evict_devices(kept=0)
        assert journal.windows.of("often", channels=1).epoch == 8, "it never goes back"


def test_large_states_leave_room_for_fewer_devices(journal: Journal) -> None:
    kept, _ = bounds(journal, devices_max=100, state_bytes=100_000, journal_bytes_max=4 * MIB)
    assert kept.devices_max == 4 * MIB // 4 // 100_000
    assert bounds(journal, state_bytes=10**9, journal_bytes_max=4 * MIB)[0].devices_max == 1


def test_of_the_marks_of_all_devices_the_oldest_are_forgotten_and_windows_stay(journal: Journal) -> None:
    kept, metrics = bounds(journal, journal_bytes_max=4 * MIB)
    for first in range(0, kept.marks_max + 1000, 500):
        hear(journal, f"device-{first}")
        journal.commit(Batch(marks=[(f"device-{first}", mark, b"h") for mark in range(10, 510)]))
        kept.evict()
        assert journal.windows.marks <= kept.marks_max
    assert count(metrics, "window_marks_evicted_total") > 0
    assert not journal.windows.knows("device-0", 10, b"h")
    assert journal.windows.knows(f"device-{first}", 10, b"h")
    assert journal.windows.of("device-0", channels=1).high == 5
    assert count(metrics, "window_devices_evicted_total") == 0


def test_marks_give_way_where_the_journal_is_too_large_because_devices_have_long_names(tmp_path: Path) -> None:
    metrics, device, sent = EdgeMetrics(), "\N{CHART WITH UPWARDS TREND}" * NAME_CHARS_MAX, 0
    with Journal(tmp_path / "small.sqlite", bytes_max=16 * MIB) as journal:
        while journal.over_bytes <= 0:
            journal.commit(Batch(marks=[(device, mark, b"h") for mark in range(sent, sent + 500)]))
            sent += 500
        assert sent < bounds(journal, journal_bytes_max=16 * MIB)[0].marks_max
        nothing_waits = cast(Finals, None)
        limits = JournalLimits(
            journal=journal,
            finals=nothing_waits,
            disk=Disk(metrics=metrics),
            metrics=metrics,
            waiting_max=1,
            bytes_max=16 * MIB,
            dedupe_window_s=86_400,
        )
        limits.evict()
        assert journal.over_bytes <= 0
        assert journal.windows.marks == sent - count(metrics, "window_marks_evicted_total") < sent
        assert journal.windows.knows(device, sent - 1, b"h")


def test_what_is_not_stored_or_not_evicted_is_not_counted(journal: Journal) -> None:
    hear(journal, "a")
    with pytest.raises(Exception, match="NOT NULL"):
        journal.commit(Batch(windows={"b": state(5)}, marks=[("b", 5, None)]))  # type: ignore[list-item]
    assert (journal.windows.devices, journal.windows.marks) == (1, 1)
    journal._database._db.execute("PRAGMA query_only = 1")  # as if the disk had turned read-only
    with pytest.raises(StorageError):
        journal.windows.evict_devices(kept=0)
    assert (journal.windows.devices, journal.windows.marks) == (1, 1)
    journal._database._db.execute("PRAGMA query_only = 0")
    assert len(journal.windows.evict_devices(kept=0)) == 1


def test_the_marks_of_a_device_are_bounded_also_when_the_worker_often_starts_anew(journal: Journal) -> None:
    for first in range(0, 4000, 100):
        windowing = assembly(journal)
        for mark in range(first, first + 100):
            batch = Batch()
            windowing.feed("phone", Readings(np.zeros((1, 1), np.float32), mark, 1, None), b"h")
            windowing.write(batch)
            journal.commit(batch)
            windowing.committed()
    assert journal.windows.marks_of("phone") < RULE.marks_kept + 1024 + 100
    assert all(journal.windows.knows("phone", mark, b"h") for mark in range(3990, 4000))


def test_a_device_that_was_forgotten_is_not_remembered_in_memory_either(journal: Journal) -> None:
    windowing = assembly(journal)
    for device in ("a", "b"):
        batch = Batch()
        windowing.feed(device, Readings(np.zeros((5, 1), np.float32), 0, 1, None), b"h")
        windowing.write(batch)
        journal.commit(batch)
        windowing.committed()
    windowing.forget(bounds(journal, devices_max=1)[0].evict())
    [window] = windowing.feed("a", Readings(np.zeros((8, 1), np.float32), 5, 1, None), b"h") or []
    assert (window.epoch, window.first_mark) == (1, 5)


def test_within_one_batch_too_the_device_that_is_silent_longest_is_the_first_to_go(journal: Journal) -> None:
    windows, batch = assembly(journal), Batch()
    for mark, device in enumerate(("a", "b", "c", "a")):
        windows.feed(device, Readings(np.zeros((1, 1), np.float32), mark, 1, None), b"h")
    windows.write(batch)
    journal.commit(batch)
    assert [each.device for each in journal.windows.evict_devices(kept=1)] == ["b", "c"]
