"""The samples in docs/reference/messages.md are what the code writes and reads."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest

from services.edge.ingest.decoding.sensor import decode_readings
from services.feature_stream import CloudFeatures, EdgeFeatures
from services.messages import Control, DeviceAnnouncement, Escalation, Label, Reply, Sample, Status
from services.servers import RedisServer
from services.settings import RedisSettings
from tests.docs.pages import DOCS, Block, blocks

BINARY: dict[str, Any] = {"Sample": Sample, "Escalation": Escalation, "Reply": Reply}
PLAIN: dict[str, Any] = {"Label": Label, "Status": Status, "Control": Control}
BLOCKS = [block for block in blocks(DOCS / "reference" / "messages.md") if block.note is not None]


def samples_of(*kinds: str) -> list[Any]:
    """(message class's name, block) of each sample whose comment begins with one of these words."""
    found = [(str(block.note).split()[0].rstrip(","), block) for block in BLOCKS if block.language == "json"]
    return [pytest.param(kind, block, id=str(block.note)) for kind, block in found if kind in kinds]


def encoded(block: Block) -> bytes:
    """The bytes that the page shows for a sample: the hexadecimal block after it."""
    following = BLOCKS[BLOCKS.index(block) + 1]
    assert following.note == f"{block.note}, encoded"
    return bytes.fromhex(following.text)


def readable(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as the page shows them: bytes as hex:..."""
    return {name: f"hex:{value.hex()}" if isinstance(value, bytes) else value for name, value in fields.items()}


@pytest.mark.parametrize(("kind", "block"), samples_of(*BINARY))
def test_a_binary_sample_decodes_to_what_the_page_says_and_encodes_to_its_bytes(kind, block):
    message = BINARY[kind].decode(encoded(block))

    assert message.encode() == encoded(block)
    assert readable(msgpack.unpackb(message.encode())) == json.loads(block.text)


@pytest.mark.parametrize(("kind", "block"), samples_of(*PLAIN))
def test_a_json_sample_decodes_and_encodes_to_itself(kind, block):
    message = PLAIN[kind].decode(block.text.encode())

    assert json.loads(message.encode()) == json.loads(block.text)
    assert list(json.loads(message.encode())) == list(json.loads(block.text)), "the order of the fields"


@pytest.mark.parametrize(("kind", "block"), samples_of("Readings"))
def test_readings_are_rows_of_as_many_numbers_as_the_sensor_has_channels(kind, block):
    fields = json.loads(block.text)

    readings = decode_readings(block.text.encode(), channels=9, rate_hz=50.0, rows_max=100)

    assert readings.mark == fields["seq"]
    assert readings.t == fields["t"]
    assert readings.rows.shape == (len(fields["values"]), 9)


@pytest.mark.parametrize(("kind", "block"), samples_of("Dead"))
def test_a_dead_letter_has_the_fields_that_a_cloud_worker_writes(kind, block, redis_server: RedisServer):
    shown = msgpack.unpackb(encoded(block))
    assert readable(shown) == json.loads(block.text)

    written = bury_something(RedisSettings(host=redis_server.host, port=redis_server.port))

    assert list(written) == list(shown)


def test_the_announcement_is_what_the_code_writes():
    [shown] = [block for block in blocks(DOCS / "how-to" / "home-assistant.md") if block.note == "Announcement"]
    written = DeviceAnnouncement(site="hall-3", device="scanner-1", worker="edge-1", version="0.1.0").encode()
    assert json.dumps(json.loads(shown.text)) == json.dumps(json.loads(written)), "the same, in the same order"


@pytest.mark.parametrize("kind", [*BINARY, *PLAIN, "Readings", "Dead"])
def test_there_is_a_sample_of_every_message(kind):
    assert samples_of(kind)


def bury_something(settings: RedisSettings) -> dict[str, Any]:
    """Let a cloud worker give up on an escalation; the dead letter that it writes."""
    import redis

    edge = EdgeFeatures(settings, network_id="0123456789ab", site="site", worker="edge-1")
    cloud = CloudFeatures(settings, consumer="cloud-1", lease_s=30.0, max_deliveries=3)
    escalation = Escalation("1", "site", "edge-1", "camera-1", "0123456789ab", 1, ((3, 0.5),), b"\x00", 1.0)
    try:
        edge.escalate([escalation])
        cloud.serve(edge.streams)
        [delivery] = cloud.read(1)
        assert cloud.dead_letter(delivery, "an error")
        with redis.Redis(host=settings.host, port=settings.port) as client:
            [(_, entry)] = client.xrange(edge.streams[0].dead)
        letter: dict[str, Any] = msgpack.unpackb(entry[b"m"])
        return letter
    finally:
        edge.close()
        cloud.close()
