"""The journal: waiting -> final -> done, decided once, whatever comes in whatever order, over restarts."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.edge.channels import ChannelState
from services.edge.errors import EdgeError, StorageError
from services.edge.journal.records import Batch, Key, Network, NewRow, Rejection
from services.edge.journal.samples import Journal
from services.edge.journal.schema import SCHEMA_VERSION
from services.edge.window import WindowState

KEY: Key = ("cam", "s-1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def new_row(key: Key = KEY, *, hard: bool, label: bytes = b"label", network: str = "b" * 12) -> NewRow:
    return NewRow(
        key=key,
        payload_hash=b"hash",
        label=label,
        escalation=b"escalation" if hard else None,
        network=network,
        partitions=1,
        deadline_s=None,
        received_at=1.0,
    )


def test_a_confident_sample_is_final_until_it_is_acknowledged(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=False)]))
        assert journal.known([KEY])[KEY].state == "final"
        assert [row.key for row in journal.unpublished(limit=9)] == [KEY]
        journal.mark_done([KEY])
        assert journal.known([KEY])[KEY].state == "done"
        assert journal.unpublished(limit=9) == []


def test_a_hard_sample_waits_until_it_is_finalised(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=True, label=b"edge")]))
        [row] = journal.waiting(limit=9)
        assert (row.key, row.label, row.escalation) == (KEY, b"edge", b"escalation")
        assert journal.finalise([(KEY, b"cloud")]) == [True]
        assert journal.waiting(limit=9) == []
        assert journal.known([KEY])[KEY].label == b"cloud"


def test_a_row_is_finalised_once(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=True)]))
        assert journal.finalise([(KEY, b"first"), (KEY, b"second")]) == [True, False]
        assert journal.finalise([(KEY, b"third"), (("cam", "unknown"), b"x")]) == [False, False]
        assert journal.known([KEY])[KEY].label == b"first"


def test_a_decision_enters_only_where_the_key_is_absent(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=False, label=b"first")]))
        journal.commit(Batch(rows=[new_row(hard=True, label=b"second")]))
        assert journal.known([KEY])[KEY].label == b"first"
        assert journal.counts == {"waiting": 0, "final": 1, "done": 0}


def test_a_waiting_row_cannot_be_marked_done(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=True)]))
        journal.mark_done([KEY])
        assert journal.known([KEY])[KEY].state == "waiting"


def test_a_next_attempt_is_stored_only_while_the_row_waits(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=True)]))
        assert journal.escalate_again([(KEY, b"attempt 2")]) == [True]
        assert journal.waiting(limit=1)[0].escalation == b"attempt 2"
        journal.finalise([(KEY, b"x")])
        assert journal.escalate_again([(KEY, b"attempt 3")]) == [False]


def test_what_was_committed_is_there_after_a_restart(path: Path) -> None:
    state = WindowState(2, 9, 1.5, np.array([8, 9]), np.array([[1.0], [2.0]], np.float32))
    with Journal(path) as journal:
        batch = Batch(rows=[new_row(hard=True)], windows={"phone": state}, marks=[("phone", 8, b"h")])
        batch.rejections.append(Rejection(b"r", "cam", "in/cam", "bad_image", "detail", 1.0))
        journal.commit(batch)
        journal.networks.remember([Network("b" * 12, "digits@b", ("zero", "one"), 1e-6)])
        journal.pass_time(5.0)
    with Journal(path) as journal:
        assert journal.counts["waiting"] == 1
        assert b"r" in journal.rejections
        assert journal.networks.all()["b" * 12].classes == ("zero", "one")
        assert journal.connected_s == 5.0
        found = journal.windows.of("phone", channels=1)
        assert (found.epoch, found.high, found.last_t) == (2, 9, 1.5)
        np.testing.assert_array_equal(found.rows, state.rows)
        np.testing.assert_array_equal(found.marks, state.marks)
        assert journal.windows.knows("phone", 8, b"h")
        assert not journal.windows.knows("phone", 8, b"other")
        assert not journal.windows.knows("tablet", 8, b"h")


def test_a_batch_is_committed_whole_or_not_at_all(path: Path) -> None:
    broken = Batch(rows=[new_row(hard=False)], marks=[("phone", 1, None)])  # type: ignore[list-item]
    with Journal(path) as journal:
        with pytest.raises(Exception, match="NOT NULL"):
            journal.commit(broken)
        assert journal.known([KEY]) == {}
        assert journal.counts == {"waiting": 0, "final": 0, "done": 0}


def test_windows_of_a_network_with_other_channels_start_a_new_epoch(path: Path) -> None:
    state = WindowState(2, 9, None, np.array([9]), np.array([[1.0]], np.float32))
    with Journal(path) as journal:
        journal.commit(Batch(windows={"phone": state}))
        assert journal.windows.of("phone", channels=3).epoch == 3


def test_only_the_latest_marks_of_a_device_are_kept(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(marks=[("phone", mark, b"h") for mark in range(10)]))
        journal.windows.forget_marks("phone", kept=3)
        assert [mark for mark in range(10) if journal.windows.knows("phone", mark, b"h")] == [7, 8, 9]
        assert (journal.windows.marks, journal.windows.marks_of("phone")) == (3, 3)


def test_done_rows_are_forgotten_by_connected_time(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=False)]))
        journal.mark_done([KEY])
        journal.pass_time(99.0)
        journal.forget(older_than_s=100.0)
        assert KEY in journal.known([KEY])
        journal.pass_time(2.0)
        journal.forget(older_than_s=100.0)
        assert journal.known([KEY]) == {}


def test_the_oldest_done_rows_are_evicted_and_others_never(path: Path) -> None:
    keys = [("cam", str(number)) for number in range(50)]
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(key, hard=number % 2 == 0) for number, key in enumerate(keys)]))
        journal.mark_done(keys)
        assert journal.evict(limit=5) == 5
        assert journal.known(keys[:12]).keys() == {*keys[0:12:2], keys[11]}
        assert journal.evict(limit=100) == 20
        assert journal.counts == {"waiting": 25, "final": 0, "done": 0}


def test_streams_that_rows_wait_for_are_told(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=True, network="a" * 12), new_row(("cam", "2"), hard=False)]))
        assert journal.awaited_streams() == {("a" * 12, 1)}


def test_networks_that_no_row_waits_for_are_forgotten(path: Path) -> None:
    with Journal(path) as journal:
        journal.networks.remember([Network("a" * 12, "old", ("x", "y"), None)])
        journal.commit(Batch(rows=[new_row(hard=True, network="a" * 12)]))
        journal.networks.remember([Network("b" * 12, "new", ("x", "y"), None)])
        assert set(journal.networks.all()) == {"a" * 12, "b" * 12}
        journal.finalise([(KEY, b"x")])
        journal.networks.remember([Network("b" * 12, "new", ("x", "y"), None)])
        assert set(journal.networks.all()) == {"b" * 12}


def test_a_file_that_is_no_journal_is_one_line(path: Path) -> None:
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(EdgeError, match="file is not a database"):
        Journal(path)


EARLIER = """
CREATE TABLE samples (
    n INTEGER PRIMARY KEY, device TEXT NOT NULL, id TEXT NOT NULL, payload_hash BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'final', 'done')), label BLOB NOT NULL, escalation BLOB,
    network TEXT NOT NULL, partitions INTEGER NOT NULL, deadline_s REAL, received_at REAL NOT NULL, done_at REAL,
    UNIQUE (device, id)
);
PRAGMA user_version = 1;
"""


def test_a_journal_of_the_version_before_goes_on_and_knows_how_sure_the_edge_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(EARLIER)
        for number, confidence in enumerate((0.5, 0.9, 0.7)):
            label = json.dumps({"id": str(number), "confidence": confidence}).encode()
            row = ("cam", str(number), b"h", "waiting", label, b"escalation", "b" * 12, 1, None, 1.0)
            db.execute(f"INSERT INTO samples VALUES (NULL, {', '.join('?' * 10)}, NULL)", row)
        db.commit()
    with Journal(path) as journal:
        assert [row.key[1] for row in journal.surest(limit=9)] == ["1", "2", "0"]
        journal.commit(Batch(rows=[new_row(hard=False)]))
    with Journal(path) as journal:
        assert journal.counts == {"waiting": 3, "final": 1, "done": 0}


def test_a_journal_of_version_2_goes_on_with_its_windows_and_marks(path: Path) -> None:
    state = WindowState(2, 9, 1.5, np.array([9]), np.array([[1.0]], np.float32))
    with Journal(path) as journal:
        journal.commit(Batch(windows={"phone": state}, marks=[("phone", 9, b"h")]))
    with closing(sqlite3.connect(path)) as db:
        db.executescript(
            "DROP INDEX marks_known; DROP TABLE epochs; CREATE INDEX marks_device ON marks (device, n);"
            " ALTER TABLE samples DROP COLUMN arrived_s; PRAGMA user_version = 2"
        )
    with Journal(path) as journal:
        assert journal.windows.of("phone", channels=1).high == 9
        assert journal.windows.of("tablet", channels=1).epoch == 0
        assert journal.windows.knows("phone", 9, b"h")
        assert (journal.windows.devices, journal.windows.marks) == (1, 1)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'marks_device'").fetchall() == []


def test_a_journal_of_version_3_goes_on_and_a_new_run_knows_no_monotonic_times_of_an_earlier_one(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=True)]))
    with closing(sqlite3.connect(path)) as db:
        db.executescript("ALTER TABLE samples DROP COLUMN arrived_s; PRAGMA user_version = 3")
    with Journal(path) as journal:
        journal.commit(Batch(rows=[replace(new_row(("cam", "later"), hard=True), arrived_s=12.5)]))
        assert [row.arrived_s for row in journal.waiting(limit=9)] == [None, 12.5]
        journal.begin_run()
        assert [row.arrived_s for row in journal.waiting(limit=9)] == [None, None]


def test_a_journal_of_version_4_goes_on_and_holds_channels(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=False)]))
    with closing(sqlite3.connect(path)) as db:
        db.executescript("DROP TABLE channels; PRAGMA user_version = 4")
    state = ChannelState(
        ("a", "b"),
        np.array([1.5, np.nan]),
        np.array([2.5, 0], np.float32),
        ((2.0, 1, 7.25),),
        done_t=1.75,
        newest_t=2.0,
    )
    with Journal(path) as journal:
        assert journal.counts["final"] == 1
        journal.commit(Batch(channels={"phone": state}))
        found = journal.windows.channels_of("phone", names=("a", "b"))
        assert found.times.tolist()[0] == 1.5
        assert np.isnan(found.times[1])
        assert found.values.tolist() == [2.5, 0]
        assert (found.pending, found.done_t, found.newest_t) == (state.pending, 1.75, 2.0)
        other = journal.windows.channels_of("phone", names=("b", "a"))
        assert (other.pending, other.done_t) == ((), None)


def test_a_journal_of_a_later_version_is_refused(path: Path) -> None:
    Journal(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(EdgeError, match="written by a later version"):
        Journal(path)


def test_what_cannot_be_stored_changes_nothing_and_can_be_stored_later(path: Path) -> None:
    with Journal(path) as journal:
        journal.commit(Batch(rows=[new_row(hard=True)]))
        before = journal.counts, journal.waiting_bytes
        journal._database._db.execute("PRAGMA query_only = 1")  # as if the disk had turned read-only
        for attempt in (
            lambda: journal.commit(Batch(rows=[new_row(("cam", "2"), hard=True)])),
            lambda: journal.finalise([(KEY, b"x")]),
            lambda: journal.mark_done([KEY]),
        ):
            with pytest.raises(StorageError):
                attempt()
        assert (journal.counts, journal.waiting_bytes) == before
        journal._database._db.execute("PRAGMA query_only = 0")
        assert journal.finalise([(KEY, b"x")]) == [True]


keys = st.sampled_from([("cam", str(number)) for number in range(4)])


class JournalMachine(RuleBasedStateMachine):
    """Against a model: a key's label, once final, never changes, and states only go forward."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.journal = Journal(self.folder / "journal.sqlite")
        self.model: dict[Key, tuple[str, bytes]] = {}

    @rule(key=keys, hard=st.booleans(), label=st.binary(min_size=1, max_size=4))
    def decide(self, key: Key, hard: bool, label: bytes) -> None:
        self.journal.commit(Batch(rows=[new_row(key, hard=hard, label=label)]))
        self.model.setdefault(key, ("waiting" if hard else "final", label))

    @rule(key=keys, label=st.binary(min_size=1, max_size=4))
    def finalise(self, key: Key, label: bytes) -> None:
        waits = self.model.get(key, ("", b""))[0] == "waiting"
        assert self.journal.finalise([(key, label)]) == [waits]
        if waits:
            self.model[key] = ("final", label)

    @rule(key=keys)
    def mark_done(self, key: Key) -> None:
        self.journal.mark_done([key])
        if self.model.get(key, ("", b""))[0] == "final":
            self.model[key] = ("done", self.model[key][1])

    @precondition(lambda self: any(state == "done" for state, _ in self.model.values()))
    @rule()
    def forget(self) -> None:
        self.journal.evict(limit=100)
        self.model = {key: value for key, value in self.model.items() if value[0] != "done"}

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.journal = Journal(self.folder / "journal.sqlite")

    @invariant()
    def journal_and_model_agree(self) -> None:
        known = self.journal.known(("cam", str(number)) for number in range(4))
        assert {key: (row.state, row.label) for key, row in known.items()} == self.model
        states = [state for state, _ in self.model.values()]
        assert self.journal.counts == {state: states.count(state) for state in ("waiting", "final", "done")}
        assert {row.key for row in self.journal.waiting(limit=9)} == {
            key for key, (state, _) in self.model.items() if state == "waiting"
        }
        assert {row.key for row in self.journal.unpublished(limit=9)} == {
            key for key, (state, _) in self.model.items() if state == "final"
        }

    def teardown(self) -> None:
        self.journal.close()
        shutil.rmtree(self.folder)


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = hypothesis_settings(max_examples=20, stateful_step_count=25)
