"""A running worker explains its recent decisions over HTTP, and `dewpoint explain` shows it."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hybrid_model.explanation import explain
from hybrid_model.runtime import EdgeEngine
from services.cli import app
from services.edge.networks import Networks
from services.edge.observe.explain_routes import ExplainRoutes
from services.edge.observe.explanation_json import explanation_json
from services.edge.observe.recent_inputs import RecentInputs
from services.servers import Broker, RedisServer
from services.settings import load
from tests.conftest import WaitFor
from tests.services.edge.observe.test_recent_inputs import candidate, result
from tests.services.edge.processes import EdgeProcess, edge_process
from tests.services.edge.site import Site, network, pixels, sample


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def get(worker: EdgeProcess, path: str, **query: str) -> tuple[int, dict[str, Any]]:
    url = f"http://127.0.0.1:{worker.metrics_port}{path}?{urlencode(query)}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def run(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["explain", *arguments], catch_exceptions=False)
    return ended.exit_code, " ".join(ended.output.split())


def test_a_worker_explains_what_it_decided(site: Site, wait_for: WaitFor, tmp_path: Path) -> None:
    with edge_process(site, tmp_path / "spool", {"inputs_kept": 5, "thresholds": [1.5]}) as worker:
        wait_for(worker.online, "the worker", 60)
        site.publish("cam/1", *(sample(number) for number in range(8)))
        wait_for(lambda: len({one.id for one in site.heard}) == 8, "8 labels")
        status, listed = get(worker, "/inputs")
        assert (status, listed["inputs_kept"], listed["kept"]) == (200, 5, 5)
        labels = {one.id: one for one in site.heard}
        assert {one["id"] for one in listed["inputs"]} == {f"s-{number}" for number in range(3, 8)}
        engine, manifest = EdgeEngine(site.bundle), site.bundle.manifest
        for one in listed["inputs"]:
            label = labels[one["id"]]
            assert (one["class"], one["confidence"]) == (label.class_index, label.confidence)
            assert one["decision"] == (f"exit {label.exit}" if label.status == "final" else "escalated")
            status, told = get(worker, "/explain", device=one["device"], id=one["id"])
            assert (status, told["decision"]) == (200, one["decision"])
            pictured = pixels(int(one["id"][2:]))
            found = explain(engine, manifest, pictured, thresholds=[1.5], guard=False)
            assert told == explanation_json(manifest, found, pictured, device="cam/1", sample_id=one["id"])
            with Image.open(io.BytesIO(base64.b64decode(told["input"]["png_base64"]))) as image:
                assert (np.asarray(image) == pictured[:, :, 0]).all()
        address = f"127.0.0.1:{worker.metrics_port}"
        status, text = run("--worker", address)
        assert status == 0
        assert "cam/1/s-7" in text
        assert "5 inputs are kept, of at most 5" in text
        status, text = run("cam/1/s-7", "--worker", f"http://{address}/metrics")
        assert status == 0
        assert f"cam/1/s-7: {listed['inputs'][0]['decision']}" in text
        status, text = run("cam/1/s-0", "--worker", address)
        assert status == 2
        assert "the input of cam/1/s-0 is not kept; only the last 5 are" in text
        assert get(worker, "/explain", device="cam/1")[0] == 400


def test_a_worker_keeps_nothing_by_default_and_says_what_to_do(site: Site, wait_for: WaitFor, tmp_path: Path) -> None:
    with edge_process(site, tmp_path / "spool") as worker:
        wait_for(worker.online, "the worker", 60)
        site.publish("cam", sample(1))
        wait_for(lambda: site.heard, "a label")
        assert get(worker, "/inputs") == (200, {"inputs_kept": 0, "kept": 0, "inputs": []})
        status, told = get(worker, "/explain", device="cam", id="s-1")
        assert status == 404
        assert "edge.inputs_kept" in told["remedy"]
        address = f"127.0.0.1:{worker.metrics_port}"
        assert "edge.inputs_kept is 0" in run("--worker", address)[1]


def test_one_explanation_is_computed_at_a_time() -> None:
    digits, kept = network("digits"), RecentInputs(5, 1 << 20)
    kept.remember([candidate(1)], result(1), [(0.5,)], network_id=digits.manifest.network_id)
    engine = EdgeEngine(digits)

    class Asks:
        """An engine that is asked for another explanation while it computes one."""

        kernel = engine.kernel

        def infer(self, batch: Any, **how: Any) -> Any:
            self.answers = [explainer.explain({"device": "cam", "id": "s-1"}), explainer.inputs({})]
            return engine.infer(batch, **how)

        def exit_logits(self, batch: Any) -> Any:
            return engine.exit_logits(batch)

    asks = Asks()
    explainer = ExplainRoutes(networks=Networks.single(load().edge, digits.manifest, asks), recent=kept)
    assert explainer.explain({"device": "cam", "id": "s-1"})[0] == 200
    assert [status for status, _, _ in asks.answers] == [429, 200]
    assert explainer.explain({"device": "cam", "id": "s-1"})[0] == 200
