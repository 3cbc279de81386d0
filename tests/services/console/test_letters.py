"""Dead letters and explanations, as the page asks for them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from services.console.collect.explanation_request import ExplanationMissingError, explanation
from services.console.collect.letters import Letters, LettersError
from services.console.page.occlusion_picture import occlusion_picture
from services.metrics import EdgeMetrics, MetricsServer
from services.servers import free_port
from services.settings import MetricsSettings, RedisSettings
from tests.services.cli.test_dead import DEVICE, edge, letters  # noqa: F401 - fixtures


@pytest.fixture
def desk(redis_server):
    found = Letters(RedisSettings(port=redis_server.port, timeout_s=1.0))
    yield found
    found.close()


def test_letters_are_listed_as_plain_fields(letters, desk):  # noqa: F811
    found = desk.listed()
    assert [one["sample"] for one in found.letters] == letters
    assert {one["device"] for one in found.letters} == {DEVICE}
    assert not found.more
    json.dumps(found.letters)


def test_a_letter_is_sent_again_once(letters, desk):  # noqa: F811
    first = desk.listed().letters[0]["id"]
    assert desk.replay(first) is None
    assert desk.replay(first) == "there is no such letter"
    assert [one["sample"] for one in desk.listed().letters] == letters[1:]


def test_what_is_no_id_is_refused(desk):
    assert "not the id of a dead letter" in desk.replay("../x")


def test_a_redis_that_is_away_is_told():
    away = Letters(RedisSettings(port=free_port(), timeout_s=0.5))
    with pytest.raises(LettersError, match="redis at"):
        away.listed()
    away.close()


@pytest.fixture
def worker():
    """A worker's address; `/explain` answers what the test puts into `answer`."""
    answer = [200, b"{}"]
    asked = []

    def explain(parameters):
        asked.append(dict(parameters))
        return answer[0], "application/json", answer[1]

    port = free_port()
    with MetricsServer(MetricsSettings(port=port), EdgeMetrics().registry, routes={"/explain": explain}):
        yield f"http://127.0.0.1:{port}", answer, asked


def test_an_explanation_is_asked_of_the_worker_by_device_and_id(worker):
    url, answer, asked = worker
    answer[1] = b'{"decision": "exit 0"}'
    assert explanation([url], "cam & era/1", "a?b") == {"decision": "exit 0"}
    assert asked == [{"device": "cam & era/1", "id": "a?b"}]


def test_the_next_worker_is_asked_where_one_does_not_know(worker):
    url, answer, _ = worker
    answer[1] = b'{"decision": "exit 0"}'
    assert explanation([f"http://127.0.0.1:{free_port()}", url], "d", "a")["decision"] == "exit 0"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, b'{"error": "not kept", "remedy": "set edge.inputs_kept"}', "not kept: set edge.inputs_kept"),
        (404, b"<html>", "edge.inputs_kept"),
        (200, b"[]", "cannot be read"),
        (200, b"no json", "cannot be read"),
    ],
)
def test_why_there_is_no_explanation_is_told(worker, status, body, told):
    url, answer, _ = worker
    answer[:] = [status, body]
    with pytest.raises(ExplanationMissingError, match=told):
        explanation([url], "d", "a")


def test_without_workers_there_is_no_explanation():
    with pytest.raises(ExplanationMissingError, match=r"console\.workers"):
        explanation([], "d", "a")


def test_an_occlusion_map_lies_over_the_input():
    window = {"input": {"values": np.zeros((16, 3)).tolist()}, "occlusion": {"surer": [[0.5, None, -1.0, 0.0]]}}
    assert occlusion_picture(window).startswith("data:image/png;base64,")
    assert occlusion_picture({"input": {}, "occlusion": None}) is None


@pytest.mark.parametrize("surer", [[], [1.0], [[[1.0]]], "x"])
def test_a_map_of_another_form_is_refused(surer):
    with pytest.raises((ValueError, TypeError)):
        occlusion_picture({"input": {"values": [[0.0]]}, "occlusion": {"surer": surer}})
