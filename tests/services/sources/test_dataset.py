from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from rich.console import Console

from services.messages import Sample
from services.mqtt import Filter, MqttError, MqttLink, OnMessage
from services.servers import free_port
from services.settings import MqttSettings, Settings, SiteSettings, TracesSettings
from services.sources.dataset import StreamOptions, run_stream
from services.sources.errors import SourceError
from tests.services.traces.collector import Collector


@pytest.fixture
def received(mqtt_broker):
    deliveries = []
    settings = MqttSettings(host=mqtt_broker.host, port=mqtt_broker.port)
    filters = [Filter("dewpoint/+/in/+")]
    with MqttLink(settings, client_id="test", filters=filters, listener=OnMessage(deliveries.append), persistent=False):
        yield deliveries


def _settings(broker):
    return Settings(site=SiteSettings(name="home"), mqtt=MqttSettings(host=broker.host, port=broker.port))


def _stream(broker, **options):
    return run_stream(StreamOptions("digits", **options), _settings(broker), console=Console(quiet=True))


def test_a_whole_split_is_sent_and_acknowledged(mqtt_broker, received, wait_for):
    sent = _stream(mqtt_broker, split="tuning")
    assert sent["samples"] == sent["samples_acknowledged"] == 144
    wait_for(lambda: len(received) == 144, "every sample")
    assert received[0].topic == "dewpoint/home/in/scanner-1"
    assert len({Sample.decode(delivery.payload).id for delivery in received}) == 144


def test_raw_samples_travel_without_envelope(mqtt_broker, received, wait_for):
    _stream(mqtt_broker, frames=3, raw=True)
    wait_for(lambda: len(received) == 3, "every sample")
    assert received[0].payload.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "reason"), [({"split": "holdout"}, "no split 'holdout'"), ({"encoding": "gif"}, "unknown encoding")]
)
def test_what_cannot_be_streamed_is_refused(mqtt_broker, options, reason):
    with pytest.raises(SourceError, match=reason):
        _stream(mqtt_broker, **options)


def test_where_no_broker_is_traces_are_stopped_all_the_same():
    mqtt = MqttSettings(port=free_port(), connect_timeout_s=0.5)
    before = set(threading.enumerate())
    with Collector() as collector:
        traced = TracesSettings(enabled=True, endpoint=collector.endpoint)
        settings = Settings(site=SiteSettings(name="home"), mqtt=mqtt, traces=traced)
        with pytest.raises(MqttError):
            run_stream(StreamOptions("digits"), settings, console=Console(quiet=True))
    assert set(threading.enumerate()) <= before


def test_an_endless_stream_goes_on_beyond_its_split_and_ends_well_on_sigterm(mqtt_broker, received, wait_for, tmp_path):
    path = tmp_path / "sent.json"
    command = [sys.executable, "-m", "services.cli", "stream", "digits", "--endless", "--frames", "10", "--rate", "200"]
    command += ["--port", str(mqtt_broker.port), "--site", "home", "--json", str(path)]
    stream = subprocess.Popen(command, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for(lambda: len(received) >= 25 or stream.poll() is not None, "more samples than one round", timeout_s=30)
    stream.send_signal(signal.SIGTERM)
    _, complaints = stream.communicate(timeout=30)
    assert stream.returncode == 0, complaints
    sent = json.loads(path.read_text())
    assert sent["samples"] == sent["samples_acknowledged"] >= 25
