"""Labels with the most probable classes: of the edge's exits and of the cloud's answers; and none unless it is set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybrid_model import bundle
from hybrid_model.cloud_half import CloudHalf
from hybrid_model.runtime import EdgeEngine
from hybrid_model.runtime.engine import KERNELS
from services.cloud.batch import Job, infer
from services.cloud.networks import Network
from services.feature_stream import Delivery
from services.messages import Escalation, Label, MessageError, Reply
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_LEAVE, ALL_RISE, Site, network, pixels, sample, says

DIGITS = network("digits")
BATCH = np.stack([pixels(number) for number in range(9)])


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("thresholds", [ALL_LEAVE, ALL_RISE])
def test_the_probabilities_are_those_that_class_and_confidence_are_of(kernel: str, thresholds: list[float]) -> None:
    engine = EdgeEngine(DIGITS, kernel=kernel, threads=2)
    found = engine.infer(BATCH, thresholds=thresholds, guard=False, probabilities=True)
    assert found.probabilities is not None
    assert found.probabilities.shape == (9, 10)
    assert np.array_equal(found.probabilities.argmax(axis=1), found.class_index)
    np.testing.assert_allclose(found.probabilities.max(axis=1), found.confidence, rtol=1e-5)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert engine.infer(BATCH).probabilities is None


@pytest.mark.parametrize("thresholds", [ALL_LEAVE, ALL_RISE])
def test_labels_of_the_edge_carry_as_many_classes_as_are_set(
    site: Site, wait_for: WaitFor, thresholds: list[float]
) -> None:
    site.start_edge(thresholds=thresholds, label_top=3)
    site.publish("cam", sample(1))
    wait_for(lambda: site.raw, "the label")
    told = json.loads(site.raw[0])
    assert list(told)[-1] == "top"
    assert [list(one) for one in told["top"]] == [["class", "label", "probability"]] * 3
    assert told["top"][0] == {"class": told["class"], "label": told["label"], "probability": told["confidence"]}
    shares = [one["probability"] for one in told["top"]]
    assert shares == sorted(shares, reverse=True)
    expected = EdgeEngine(DIGITS).infer(pixels(1)[None], thresholds=thresholds, guard=False, probabilities=True)
    assert expected.probabilities is not None
    assert [one["class"] for one in told["top"]] == np.argsort(-expected.probabilities[0]).tolist()[:3]


def test_labels_carry_none_unless_it_is_set(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_LEAVE)
    site.publish("cam", sample(1))
    wait_for(lambda: site.raw, "the label")
    assert list(json.loads(site.raw[0]))[-1] == "in_domain"


def test_a_final_label_carries_the_classes_of_the_cloud_s_answer(site: Site, wait_for: WaitFor) -> None:
    asked: list[Escalation] = []

    def answers(one: Escalation) -> Reply:
        asked.append(one)
        return Reply(one.device, one.id, one.attempt, 4, 0.75, None, ((4, 0.75), (9, 0.2), (1, 0.05)))

    site.start_edge(thresholds=ALL_RISE, label_top=3)
    with site.cloud() as cloud:
        site.publish("cam", sample(1))
        cloud.answer(1, answers)
        wait_for(site.finals, "the final")
    [final] = site.finals().values()
    assert asked[0].top == 3
    assert final.top == ((4, "4", 0.75), (9, "9", 0.2), (1, "1", 0.05))


def test_an_answer_of_an_earlier_cloud_tells_none(site: Site, wait_for: WaitFor) -> None:
    site.start_edge(thresholds=ALL_RISE, label_top=3)
    with site.cloud() as cloud:
        site.publish("cam", sample(1))
        cloud.answer(1, says(4))
        wait_for(site.finals, "the final")
    [final] = site.finals().values()
    assert (final.class_index, final.top) == (4, None)


def test_the_cloud_tells_as_many_classes_as_it_is_asked_for() -> None:
    loaded = bundle.load(bundle.resolve("digits"), cloud=True)
    half = CloudHalf(loaded)
    features = EdgeEngine(DIGITS).infer(BATCH[:2], force_cut=True).features

    def job(number: int, top: int) -> Job:
        escalation = Escalation(
            f"s-{number}", "home", "edge-1", "cam", loaded.manifest.network_id, 1, (), features[number] or b"", 1.0,
            top=top,
        )  # fmt: skip
        return Job(Delivery.__new__(Delivery), escalation)

    alone, _ = infer(Network(loaded.manifest, half), [job(0, 0), job(1, 0)])
    both, broken = infer(Network(loaded.manifest, half), [job(0, 4), job(1, 0)])
    assert broken is None
    assert [answer.reply.class_index for answer in both] == [answer.reply.class_index for answer in alone]
    assert [answer.reply.confidence for answer in both] == [answer.reply.confidence for answer in alone]
    top = both[0].reply.top
    assert top is not None
    assert len(top) == 4
    assert top[0] == (both[0].reply.class_index, both[0].reply.confidence)
    assert both[1].reply.top is None
    assert both[1].reply.encode() == alone[1].reply.encode()


def test_what_asks_and_what_tells_goes_over_the_wire() -> None:
    asks = Escalation("s", "home", "edge-1", "cam", "0123456789ab", 1, (), b"\x01", 12.5, top=5)
    assert Escalation.decode(asks.encode()) == asks
    tells = Reply("cam", "s", 1, 3, 0.5, None, ((3, 0.5), (1, 0.25)))
    assert Reply.decode(tells.encode()) == tells
    label = Label("s", "cam", 3, "3", 0.5, 1, "final", "confident", False, 1.0, 2.0, "d@1", None, True)
    label = replace(label, top=((3, "3", 0.5),))
    assert Label.decode(label.encode()) == label
    wrong = label.encode().replace(b'"top":[{"class":3', b'"top":[{"class":-3')
    with pytest.raises(MessageError):
        Label.decode(wrong)
