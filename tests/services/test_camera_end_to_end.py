"""A camera without a camera: a video between a broker, Redis, an edge worker and a cloud worker, to Home Assistant.

Each scene is a real picture that stands still but for noise: the motion gate holds most frames back, the edge answers
what it is sure of, and of the hard scenes one sample rises while the others take its answer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hybrid_model import bundle, data
from hybrid_model.runtime import EdgeEngine
from services.demo.processes import WorkerProcess
from services.messages import Label, Sample
from services.servers import Broker, RedisServer
from tests.conftest import WaitFor
from tests.services.edge.processes import edge_process
from tests.services.edge.publish.home_assistant import HomeAssistant
from tests.services.edge.site import SITE, Site
from tests.services.sources.receiving import receiving
from tests.services.sources.videos import Pixels, write_video

CAMERA = "door"
SIDE_PX = 320
RATE_HZ, SCENE_S = 10, 1.5
SCENES_OF_A_KIND = 2
#: A still scene is shown again after so long, which gives a hard one something to reuse.
STILL_S = 0.3


def scenes(network: str) -> list[Pixels]:
    """Pictures of the test split of which the edge is sure, and such as it is not, by turns: (H, W, C) each."""
    pictures = data.load(network).test.x[:40]
    hard = EdgeEngine(bundle.load(bundle.resolve(network))).infer(pictures).exit_index < 0
    chosen = zip(pictures[~hard][:SCENES_OF_A_KIND], pictures[hard][:SCENES_OF_A_KIND], strict=True)
    return [picture for pair in chosen for picture in pair]


def filmed(pictures: list[Pixels]) -> list[Pixels]:
    """What a camera sees of these pictures: large, each for a while, with a little noise."""
    random = np.random.default_rng(0)
    frames = []
    for picture in pictures:
        large = Image.fromarray(picture.squeeze()).convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST)
        for _ in range(int(RATE_HZ * SCENE_S)):
            noisy = np.asarray(large) + random.normal(0, 4, (SIDE_PX, SIDE_PX, 3))
            frames.append(noisy.clip(0, 255).astype(np.uint8))
    return frames


@pytest.mark.parametrize("mqtt_broker", ["mosquitto"], indirect=True)
@pytest.mark.parametrize(
    ("network", "reuse"),
    [
        pytest.param("digits", {"reuse": True, "reuse_bits": 8}, id="digits"),
        pytest.param("cifar10", {"reuse": True}, id="cifar10", marks=pytest.mark.data),
    ],
)
def test_a_still_scene_costs_few_frames_and_one_escalation_and_is_seen_in_home_assistant(
    network: str,
    reuse: dict[str, Any],
    mqtt_broker: Broker,
    redis_server: RedisServer,
    tmp_path: Path,
    wait_for: WaitFor,
) -> None:
    if network != "digits" and not os.environ.get("DEWPOINT_DATA"):
        pytest.skip(f"needs {network}: point $DEWPOINT_DATA at a folder that has it")
    pytest.importorskip("av", reason="pip install 'dewpoint[camera]'")
    edge = {
        "bundle": network,
        "guard": True,
        "inputs": [{"topic": "dewpoint/{site}/in/{device}", **reuse}],
        "home_assistant": {"enabled": True},
    }
    height, width = bundle.load(bundle.resolve(network)).manifest.input.shape[:2]
    with (
        Site(mqtt_broker, redis_server, tmp_path, name=network) as site,
        HomeAssistant(mqtt_broker) as home,
        receiving(mqtt_broker) as received,
        edge_process(site, tmp_path / "spool", edge) as worker,
        WorkerProcess(
            name="cloud",
            module="services.cloud",
            arguments=["--redis-port", str(redis_server.port), "--bundle", network, "--metrics-port", "0"],
            folder=tmp_path,
        ),
    ):
        video = write_video(tmp_path / "film.mp4", filmed(scenes(network)), rate_hz=RATE_HZ)
        wait_for(worker.online, "the edge worker")

        def reasons() -> set[str]:
            return {label.reason for label in finals(site)}

        camera = subprocess.Popen(
            [
                *(sys.executable, "-m", "services.cli", "stream", "camera", str(video), "--loop", "--device", CAMERA),
                *("--size", f"{width}x{height}", "--encoding", "png", "--motion", "0.02", "--still-s", str(STILL_S)),
                *("--site", SITE, "--port", str(mqtt_broker.port)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_for(
                lambda: camera.poll() is not None or reasons() >= {"confident", "escalated", "reused"},
                "scenes of which the edge is sure, that rise, and that need not rise again",
            )
        finally:
            camera.send_signal(signal.SIGINT)
            told, complaints = camera.communicate(timeout=90)
        assert camera.returncode == 0, complaints
        sent = json.loads(told)

        # The motion gate: of a scene that stands still a frame now and then.
        assert sent["frames_sent"] == sent["samples_acknowledged"]
        assert sent["frames_still"] > sent["frames_sent"]

        # Whatever was sent has one final label, and for a reason that there is.
        wait_for(lambda: len(finals(site)) >= sent["frames_sent"], "a final label for each frame", 60)
        wait_for(lambda: len(received) == sent["frames_sent"], "all frames")
        ids = Counter(Sample.decode(delivery.payload).id for delivery in received)
        assert Counter(label.id for label in finals(site)) == ids
        assert set(ids.values()) == {1}
        assert reasons() == {"confident", "escalated", "reused"}
        assert {label.device for label in site.heard} == {CAMERA}

        # What was reused is what the cloud said of a frame of the same scene, and nothing else rose.
        risen = {label.id: label for label in finals(site) if label.reason == "escalated"}
        for label in finals(site):
            if label.reason == "reused":
                assert label.reused_from in risen
                assert label.class_index == risen[label.reused_from].class_index
        assert worker.count("escalations_total", again="no", device=CAMERA) == len(risen)

        # Home Assistant takes the announcement, shows the last label, and sees the worker come and go.
        last = finals(site)[-1]
        wait_for(lambda: home.devices, "the announcement")
        assert home.message(CAMERA)["device"]["name"] == CAMERA
        wait_for(lambda: home.state(CAMERA, "class") == last.label, "the class in Home Assistant")
        assert len(home.sent) == 1
        assert set(home.available.values()) == {True}
        worker.stop()
        wait_for(lambda: set(home.available.values()) == {False}, "the end of the worker in Home Assistant")


def finals(site: Site) -> list[Label]:
    """Final labels in the order in which they came, with what came twice."""
    return [label for label in site.heard if label.status == "final"]
