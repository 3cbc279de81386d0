"""Traces that are off cost nothing; a collector that is away or slow neither slows a worker nor fills its memory."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from services.edge.observe.batch_metrics import StepTimes
from services.messages import Escalation, Label
from services.metrics import EdgeMetrics
from services.servers import Broker, RedisServer, free_port
from services.settings import TracesSettings, load
from services.traces import cloud_traces, edge_traces, publisher_traces
from services.traces.exporter import Exporter
from tests.conftest import WaitFor
from tests.services.edge.processes import RUN, edge_process
from tests.services.edge.site import ALL_LEAVE, Site, sample
from tests.services.traces.collector import Collector

# Where OpenTelemetry is installed, redis imports its metrics, whatever we do; what sends traces is ours alone.
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ESCALATION = Escalation("s", "home", "edge-1", "cam", "0" * 12, 1, ((3, 0.5),), b"\x01" * 32, 12.5)
LABEL = Label("s", "cam", 3, "three", 0.5, "cloud", "final", "escalated", False, 1.0, 2.0, "digits@0", None)
OURS = ("opentelemetry.sdk.trace", "opentelemetry.exporter")
WATCHED = "import atexit, sys; from pathlib import Path; atexit.register(lambda: Path({path!r}).write_text(str([\
name for name in sys.modules if name.startswith({ours!r})]))); "


#: Wide: the machine may be busy. What does not end by itself would wait for minutes.
ENDS_S = 30.0


def outcome(metrics: EdgeMetrics, name: str) -> float:
    return metrics.registry.get_sample_value("dewpoint_trace_spans_total", {"outcome": name}) or 0.0


def exporter(endpoint: str, metrics: EdgeMetrics) -> Exporter:
    settings = TracesSettings(enabled=True, endpoint=endpoint)
    return Exporter(settings, "test", site="", worker="", spans=metrics.trace_spans)


def end_spans(one: Exporter, count: int) -> float:
    """Seconds that it took."""
    begun = time.monotonic()
    for _ in range(count):
        one.samples.start_span("span").end()
    return time.monotonic() - begun


@pytest.mark.parametrize("parent", [None, PARENT])
def test_traces_are_off_by_default_and_then_no_trace_begins_or_goes_on(parent: str | None) -> None:
    off, key = TracesSettings(), ("cam", "s")
    edge, cloud = edge_traces(off, site="s", worker="w"), cloud_traces(off, worker="w")
    delivery = SimpleNamespace(received_at=1e9, user_property=lambda _: parent)
    sample = SimpleNamespace(key=key, traceparent=parent, arrival=SimpleNamespace(delivery=delivery))
    result = SimpleNamespace(exit_index=[0], confidence=[0.9])
    batch = edge.batch([sample], result, StepTimes())
    assert (batch.traceparent(key), batch.trace_id(key)) == (None, None)
    batch.committed()
    assert edge.of_label(key) == ()
    escalation = replace(ESCALATION, traceparent=parent)
    finals = edge.finals([(escalation.encode(), LABEL)])
    finals.finalised([True])
    assert (finals.trace_id(key), edge.of_label(key)) == (None, ())
    with cloud.batch("b", [escalation]) as spans:
        assert spans.answered(key, 0.5) is None
    publishing = publisher_traces(off, site="s").publishing("cam", ())
    assert (publishing.properties, publishing.payload(b"x", protocol="3.1.1")) == ((), b"x")
    publishing.end(True)
    for traces in (edge, cloud):
        traces.stop()


@pytest.mark.parametrize("enabled", [False, True])
def test_a_worker_imports_what_records_traces_only_where_they_are_on(
    enabled: bool, mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path, wait_for: WaitFor
) -> None:
    written = tmp_path / "modules"
    with Collector() as collector, Site(mqtt_broker, redis_server, tmp_path) as site:
        environment = {
            "DEWPOINT_TRACES__ENABLED": "true" if enabled else "false",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        }
        code = WATCHED.format(path=str(written), ours=OURS) + RUN
        settings = {"thresholds": ALL_LEAVE}
        with edge_process(site, tmp_path / "spool", settings, code=code, environment=environment) as worker:
            wait_for(worker.online, "the worker", 60)
            site.publish("cam", sample(1))
            wait_for(lambda: site.finals(), "the label")
            worker.stop()
        assert (written.read_text() != "[]") is enabled
        assert bool(collector.named("edge sample")) is enabled


def test_what_records_traces_is_imported_by_nothing_else() -> None:
    modules = "services.edge.process, services.cloud.worker, services.sources.dataset, services.cli, services.demo"
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith({OURS!r})])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.strip() == "[]"


def test_where_opentelemetry_is_missing_the_remedy_is_told(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(f'[traces]\nenabled = true\n[edge]\nspool = "{tmp_path / "spool"}"\n')
    code = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None; "
        f"from services.edge.__main__ import app; app(['--config', {str(config)!r}])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert "pip install 'dewpoint[traces]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_start_that_fails_stops_the_traces(tmp_path: Path) -> None:
    code = (
        "import threading; from services import settings; from services.edge import process\n"
        "from services.mqtt import MqttError\n"
        "before = threading.active_count()\n"
        "try: process.run(settings.load(overrides={'traces': {'enabled': True}, 'mqtt': {'port': 1}, "
        f"'metrics': {{'port': 0}}, 'edge': {{'spool': {str(tmp_path / 'spool')!r}}}}}))\n"
        "except MqttError: print(threading.active_count() - before)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout.strip() == "0", "a thread that sends traces still runs"


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://collector", "http://", "http://user:secret@collector"])
def test_an_endpoint_that_is_none_is_refused_and_no_password_is_shown(endpoint: str) -> None:
    with pytest.raises(Exception, match=r"traces\.endpoint") as refused:
        load(overrides={"traces": {"endpoint": endpoint}})
    assert "secret" not in str(refused.value)


def test_spans_are_sent_at_the_end_whatever_the_form_of_the_endpoint() -> None:
    for path in ("", "/", "/v1/traces"):
        metrics = EdgeMetrics()
        with Collector() as collector:
            one = exporter(collector.endpoint + path, metrics)
            end_spans(one, 3)
            one.stop()
            assert len(collector.spans) == 3
        assert outcome(metrics, "sent") == 3


def test_a_collector_that_is_away_costs_neither_time_nor_more_than_a_warning(
    capfd: pytest.CaptureFixture[str],
) -> None:
    library = logging.getLogger("opentelemetry")
    for handler in list(library.handlers):  # it has a bound of its own, which tests before this one may have reached
        library.removeHandler(handler)
    metrics = EdgeMetrics()
    one = exporter(f"http://127.0.0.1:{free_port()}", metrics)
    for _ in range(4):
        end_spans(one, 600)
    begun = time.monotonic()
    one.stop()
    assert time.monotonic() - begun < ENDS_S
    assert outcome(metrics, "sent") == 0
    assert outcome(metrics, "failed") >= 512
    told = capfd.readouterr().err
    assert "traces_not_sent" in told
    assert told.count("\n") <= 6


def test_a_collector_that_never_answers_fills_a_bounded_queue(wait_for: WaitFor) -> None:
    metrics = EdgeMetrics()
    with Collector() as collector:
        collector.released.clear()
        one = exporter(collector.endpoint, metrics)
        end_spans(one, 600)
        wait_for(lambda: collector.requests == 1, "the first request")
        end_spans(one, 10_000)
        # What the exporter has given up by now made room again.
        assert outcome(metrics, "dropped") >= 10_600 - 8192 - outcome(metrics, "failed")
        begun = time.monotonic()
        one.stop()
        assert time.monotonic() - begun < ENDS_S
