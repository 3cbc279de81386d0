"""Label sinks: a final is finished once each has taken it, and one that refuses gets it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.edge.errors import EdgeError
from services.edge.publish.sinks import SINKS, LabelSink, OutgoingLabel, SinkContext
from services.messages import Label
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, Site, sample


class LineSink(LabelSink):
    """A line to a file in the spool, which can be refused or without room. It writes within `put`: fit for tests."""

    name = "lines"
    refuses = full = False

    def __init__(self, context: SinkContext) -> None:
        self._file = (context.folder / "labels.jsonl").open("ab", buffering=0)

    def put(self, label: OutgoingLabel, on_done: Callable[[bool], None]) -> bool:
        if type(self).full:
            return False
        if not type(self).refuses:
            self._file.write(label.payload + b"\n")
        on_done(not type(self).refuses)
        return True

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def site(
    mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setitem(SINKS, "lines", LineSink)
    monkeypatch.setattr(LineSink, "refuses", False)
    monkeypatch.setattr(LineSink, "full", False)
    with Site(mqtt_broker, redis_server, tmp_path) as opened:
        yield opened


def lines(site: Site) -> list[bytes]:
    return (site.folder / "spool" / "labels.jsonl").read_bytes().splitlines()


def test_every_sink_gets_the_same_bytes(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE, label_sinks=["mqtt", "lines"])
    site.publish("cam", *(sample(number) for number in range(20)))
    wait_for(lambda: site.edge.journal.counts["done"] == 20, "all rows are done")
    wait_for(lambda: len(site.raw) == 20, "the labels by MQTT")
    assert lines(site) == site.raw


def test_a_sample_is_finished_only_when_each_sink_has_its_label(
    site: Site, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LineSink, "full", True)
    site.start_edge(thresholds=ALL_LEAVE, label_sinks=["mqtt", "lines"])
    site.publish("cam", sample(1))
    wait_for(lambda: len(site.finals()) == 1, "the label by MQTT")
    assert site.edge.journal.counts["final"] == 1
    monkeypatch.setattr(LineSink, "full", False)
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row is done")
    assert lines(site) == site.raw


def test_what_a_sink_refuses_is_offered_to_it_again_byte_for_byte_and_to_no_other(
    site: Site, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.publish.outbox._REFUSED_PAUSE_S", 0.1)
    monkeypatch.setattr(LineSink, "refuses", True)
    site.start_edge(thresholds=ALL_LEAVE, label_sinks=["lines", "mqtt"])
    site.publish("cam", sample(1))
    wait_for(lambda: site.count("drops_total", reason="publish_refused") >= 3, "refusals")
    monkeypatch.setattr(LineSink, "refuses", False)
    wait_for(lambda: site.edge.journal.counts["done"] == 1, "the row is done")
    [line] = lines(site)
    assert Label.decode(line).id == "s-1"
    assert site.raw == [line], "the sink that had taken it got it again"


def test_an_unknown_sink_keeps_the_worker_from_starting(site: Site) -> None:
    with pytest.raises(EdgeError, match=r"edge.label_sinks: 'kafka' is unknown; take some of mqtt"):
        site.compose_edge(label_sinks=["mqtt", "kafka"])
