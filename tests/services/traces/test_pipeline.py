"""One trace a sample, from its publisher to its final label, between real servers, as a real collector sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import Tracer
from prometheus_client.openmetrics.exposition import generate_latest

from services.messages import Sample, input_topic
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, SITE, sample
from tests.services.traces.collector import Collector, Span
from tests.services.traces.pipeline import Pipeline

Start = Callable[..., Pipeline]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

both_protocols = pytest.mark.parametrize("mqtt_broker", ["mosquitto", "nats"], indirect=True)
mqtt_5 = pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as one:
        yield one


@pytest.fixture
def pipeline(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path, collector: Collector) -> Iterator[Start]:
    made: list[Pipeline] = []

    def start(**traces: Any) -> Pipeline:
        made.append(Pipeline(mqtt_broker, redis_server, tmp_path, collector, **traces))
        return made[-1].__enter__()

    yield start
    for one in made:
        one.__exit__()


def tree(spans: list[Span], trace: str) -> list[tuple[str, str, str]]:
    """(service, name, name of the parent) of a trace's spans."""
    names = {one.id: one.name for one in spans}
    return sorted((one.service, one.name, names.get(one.parent, "")) for one in spans if one.trace == trace)


@both_protocols
def test_a_hard_sample_has_one_connected_trace(
    pipeline: Start, mqtt_broker: Broker, collector: Collector, wait_for: WaitFor
) -> None:
    running = pipeline()
    running.start_edge(thresholds=ALL_RISE)
    with running.cloud():
        running.publish(1)
        wait_for(lambda: running.finals(), "the final label", 30)
    running.stop_edge()
    published = collector.one("publish")
    assert tree(collector.spans, published.trace) == [
        ("dewpoint-cloud", "cloud sample", "edge sample"),
        ("dewpoint-edge", "edge escalate", "edge sample"),
        ("dewpoint-edge", "edge final", "edge sample"),
        ("dewpoint-edge", "edge sample", "publish"),
        ("dewpoint-stream", "publish", ""),
    ]
    edge, final, cloud = (collector.one(name) for name in ("edge sample", "edge final", "cloud sample"))
    assert (edge.attributes["dewpoint.device"], edge.attributes["dewpoint.sample"]) == ("cam", "s-1")
    assert edge.attributes["dewpoint.exit"] == "escalated"
    assert final.attributes["dewpoint.exit"] == "cloud"
    assert edge.start_ns <= cloud.start_ns <= final.end_ns
    for name, of in (("edge batch", edge), ("cloud batch", cloud)):
        batch = collector.one(name)
        assert batch.trace != published.trace
        assert batch.links == ((of.trace, of.id),)
        assert of.links == ((batch.trace, batch.id),)
    batch = collector.one("edge batch")
    steps = [one for one in collector.spans if one.parent == batch.id]
    assert [one.name for one in steps] == ["edge decode", "edge infer", "edge commit"]
    assert (steps[0].start_ns, steps[-1].end_ns) == (batch.start_ns, batch.end_ns)
    [provisional, last] = [parent for _, parent in running.labels]
    if running.site.devices.protocol == "5":
        assert provisional == f"00-{edge.trace}-{edge.id}-01"
        assert last == f"00-{final.trace}-{final.id}-01"
    else:
        assert (provisional, last) == (None, None)
    counted = running.counted.registry.get_sample_value
    assert counted("dewpoint_trace_spans_total", {"outcome": "sent"}) == 7
    assert running.cloud_metrics.registry.get_sample_value("dewpoint_cloud_trace_spans_total", {"outcome": "sent"}) == 2
    for metrics, name in (
        (running.site.metrics, 'dewpoint_label_latency_seconds_bucket{le="[^"]*",path="cloud"}'),
        (running.site.metrics, 'dewpoint_label_latency_seconds_bucket{le="[^"]*",path="provisional"}'),
        (running.cloud_metrics, 'dewpoint_cloud_wait_seconds_bucket{le="[^"]*"}'),
    ):
        assert exemplars(metrics, name) == {published.trace}


def exemplars(metrics: Any, name: str) -> set[str]:
    text = generate_latest(metrics.registry).decode()
    return set(re.findall(f'^{name} \\S+ # {{trace_id="([0-9a-f]{{32}})"}}', text, re.MULTILINE))


@mqtt_5
def test_a_confident_sample_has_a_trace_without_a_cloud(
    pipeline: Start, collector: Collector, wait_for: WaitFor
) -> None:
    running = pipeline()
    running.start_edge(thresholds=ALL_LEAVE, batch_max=8, linger_ms=200)
    running.publish(*range(5))
    wait_for(lambda: len(running.finals()) == 5, "5 final labels")
    running.stop_edge()
    for published in collector.named("publish"):
        assert tree(collector.spans, published.trace) == [
            ("dewpoint-edge", "edge sample", "publish"),
            ("dewpoint-stream", "publish", ""),
        ]
    samples = collector.named("edge sample")
    assert running.finals() == {one.attributes["dewpoint.sample"]: f"00-{one.trace}-{one.id}-01" for one in samples}
    linked = [link for batch in collector.named("edge batch") for link in batch.links]
    assert sorted(linked) == sorted((one.trace, one.id) for one in samples)
    name = 'dewpoint_label_latency_seconds_bucket{le="[^"]*",path="edge"}'
    assert exemplars(running.site.metrics, name) <= {one.trace for one in samples}
    assert exemplars(running.site.metrics, name)


@mqtt_5
def test_a_trace_outlives_the_edge_workers_end(pipeline: Start, collector: Collector, wait_for: WaitFor) -> None:
    running = pipeline()
    running.start_edge(thresholds=ALL_RISE)
    running.publish(1)
    wait_for(lambda: running.labels, "the provisional label")
    running.stop_edge()
    running.start_edge(thresholds=ALL_RISE)
    with running.cloud():
        wait_for(lambda: running.finals(), "the final label", 30)
    running.stop_edge()
    assert collector.one("edge final").trace == collector.one("publish").trace
    assert collector.one("cloud sample").parent == collector.one("edge sample").id


@mqtt_5
@pytest.mark.parametrize(
    ("share", "parent", "recorded"),
    [
        (0.0, None, False),
        (0.0, PARENT, True),
        (1.0, PARENT[:-2] + "00", False),
        (1.0, None, True),
    ],
)
def test_the_publishers_choice_goes_before_the_share(
    share: float, parent: str | None, recorded: bool, pipeline: Start, collector: Collector, wait_for: WaitFor
) -> None:
    running = pipeline(share=share)
    running.start_edge(thresholds=ALL_RISE)
    properties = () if parent is None else (("other", "x"), ("traceparent", parent))
    with running.cloud():
        assert running.site.devices.publish(input_topic(SITE, "cam"), sample(1), properties=properties)
        wait_for(lambda: running.finals(), "the final label", 30)
    running.stop_edge()
    assert {one.name for one in collector.spans} == (
        {"edge sample", "edge escalate", "edge final", "edge batch", "edge decode", "edge infer", "edge commit",
         "cloud sample", "cloud batch"} if recorded else set()
    )  # fmt: skip
    if recorded and parent is not None:
        assert (collector.one("edge sample").trace, collector.one("edge sample").parent) == tuple(
            parent.split("-")[1:3]
        )
    assert (running.finals()["s-1"] is not None) is recorded


@mqtt_5
@pytest.mark.parametrize(
    "told",
    [
        "",
        "x",
        PARENT.upper(),
        PARENT + "-x",
        "ff" + PARENT[2:],
        PARENT.replace(PARENT[3:35], "0" * 32),
        PARENT.replace(PARENT[36:52], "0" * 16),
        "0" * 60_000,
    ],
)
def test_a_trace_that_cannot_be_read_begins_anew(
    told: str, pipeline: Start, collector: Collector, wait_for: WaitFor
) -> None:
    running = pipeline()
    running.start_edge(thresholds=ALL_LEAVE)
    payload = replace(Sample.decode(sample(1)), traceparent=told).encode()
    for text in (payload, sample(2)):
        assert running.site.devices.publish(input_topic(SITE, "cam"), text, properties=(("traceparent", told),))
    wait_for(lambda: len(running.finals()) == 2, "both labels")
    running.stop_edge()
    assert [one.parent for one in collector.named("edge sample")] == ["", ""]


@mqtt_5
def test_what_fails_while_a_trace_is_recorded_costs_no_label(
    pipeline: Start, collector: Collector, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AttributeError("a library of another version")

    running = pipeline()
    running.start_edge(thresholds=ALL_RISE)
    monkeypatch.setattr(Tracer, "start_span", fail)
    with running.cloud():
        for number in range(3):
            assert running.site.devices.publish(input_topic(SITE, "cam"), sample(number))
        wait_for(lambda: len(running.finals()) == 3, "the final labels", 30)
    assert {label.exit for label, _ in running.labels if label.status == "final"} == {"cloud"}
    running.stop_edge()
    assert collector.spans == []


@mqtt_5
def test_a_sample_that_comes_again_in_another_trace_is_the_same(pipeline: Start, wait_for: WaitFor) -> None:
    running = pipeline()
    running.start_edge(thresholds=ALL_LEAVE)
    first = Sample.decode(sample(1))
    for digit in "123":
        traced = replace(first, traceparent=PARENT.replace("-0af", f"-{digit}af"))
        running.site.publish("cam", traced.encode())
    states = ("in_hand", "final", "done")
    again = "samples_redelivered_total"
    wait_for(lambda: sum(running.site.count(again, state=state) for state in states) == 2, "two redeliveries")
    wait_for(lambda: running.labels, "the label")
    assert len({label.encode() for label, _ in running.labels}) == 1
    assert running.site.count("drops_total", reason="id_reused") == 0
