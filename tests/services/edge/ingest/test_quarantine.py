"""Lone attempts: what was in hand at an unclean stop runs alone, so often and no oftener."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.edge.errors import EdgeError
from services.edge.ingest.inbox import Arrival
from services.edge.ingest.quarantine import Quarantine, Run
from services.edge.journal.in_hand import InHand
from services.edge.journal.samples import Journal
from services.metrics import EdgeMetrics
from services.mqtt import Delivery


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as one:
        yield one


def arrivals(*payloads: str) -> list[Arrival]:
    return [Arrival.of(Delivery("in/cam", one.encode(), 1, False, False, 1, 1e9), 0, "cam") for one in payloads]


class Worker:
    """A worker's attempts over unclean stops."""

    def __init__(self, journal: Journal, folder: Path, max_deliveries: int = 2) -> None:
        self._journal, self._folder, self._max_deliveries = journal, folder, max_deliveries
        self.begin_anew()

    def begin_anew(self) -> None:
        in_hand = InHand(self._folder / "in-hand", 8)
        self.quarantine = Quarantine(
            attempts=self._journal.attempts,
            in_hand=in_hand,
            metrics=EdgeMetrics(),
            max_deliveries=self._max_deliveries,
        )

    def handle(self, batch: list[Arrival], *, until: str | None = None) -> list[str]:
        """What runs together, as text; the process ends uncleanly in the run that holds `until`."""
        runs = []
        for run in self.quarantine.runs(batch):
            runs.append(told(run))
            self.quarantine.begin(run)
            if until is not None and until in told(run):
                self.begin_anew()
                return runs
            self.quarantine.end(run)
        return runs


def told(run: Run) -> str:
    text = "".join(arrival.delivery.payload.decode() for arrival in run.arrivals)
    return f"{text}!" if run.arrivals[0].refusal is not None else text


def test_messages_run_together_until_a_stop_was_unclean(journal: Journal, tmp_path: Path) -> None:
    worker = Worker(journal, tmp_path)
    assert worker.handle(arrivals("a", "b", "c")) == ["abc"]
    worker.begin_anew()
    assert worker.handle(arrivals("a", "b", "c")) == ["abc"]


def test_what_was_in_hand_runs_alone_in_its_order_and_together_again_once_it_was_handled(
    journal: Journal, tmp_path: Path
) -> None:
    worker = Worker(journal, tmp_path)
    worker.handle(arrivals("b", "c"), until="b")
    assert worker.handle(arrivals("a", "b", "c", "d", "e")) == ["a", "b", "c", "de"]
    assert worker.handle(arrivals("a", "b", "c", "d", "e")) == ["abcde"]
    assert journal.attempts.counts() == {}


def test_a_message_that_ends_every_attempt_is_refused_and_stays_so(journal: Journal, tmp_path: Path) -> None:
    worker = Worker(journal, tmp_path, max_deliveries=2)
    batch = arrivals("a", "x", "b")
    assert worker.handle(batch, until="x") == ["axb"]
    assert worker.handle(batch, until="x") == ["a", "x"]
    assert worker.handle(batch, until="x") == ["a", "x"]
    for _ in range(2):
        assert worker.handle(batch) == ["a", "x!", "b"]
    worker.begin_anew()
    assert worker.handle(arrivals("x")) == ["x!"]


def test_the_attempt_is_counted_before_it_is_made(journal: Journal, tmp_path: Path) -> None:
    worker = Worker(journal, tmp_path)
    worker.handle(arrivals("x"), until="x")
    [run] = worker.quarantine.runs(arrivals("x"))
    worker.quarantine.begin(run)
    assert list(journal.attempts.counts().values()) == [1]


def test_what_failed_for_another_reason_is_no_suspect(journal: Journal, tmp_path: Path) -> None:
    worker = Worker(journal, tmp_path)
    [run] = worker.quarantine.runs(arrivals("a", "b"))
    worker.quarantine.begin(run)
    worker.quarantine.put_down()
    worker.begin_anew()
    assert worker.handle(arrivals("a", "b")) == ["ab"]


def test_only_the_latest_suspects_are_kept(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.edge.journal.rejections._ATTEMPTED_MAX", 3)
    journal.attempts.note(bytes([number]) * 16 for number in range(5))
    assert set(journal.attempts.counts()) == {bytes([number]) * 16 for number in (2, 3, 4)}


@pytest.mark.parametrize("content", [b"", b"\x05", b"\xff\xff\xff\xff" + bytes(40), b"\x02\x00\x00\x00" + bytes(16)])
def test_a_note_that_is_short_or_damaged_tells_what_it_can(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in-hand").write_bytes(content)
    with InHand(tmp_path / "in-hand", 8) as in_hand:
        assert set(in_hand.left) <= {bytes(16)}
        in_hand.write([b"h" * 16])
    with InHand(tmp_path / "in-hand", 8) as in_hand:
        assert in_hand.left == [b"h" * 16]


def test_a_note_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="No such file"):
        InHand(tmp_path / "missing" / "in-hand", 8)
