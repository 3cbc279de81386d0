"""The edge worker encrypts what it sends up where it is told to, and needs no package for it where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services.feature_stream import Stream
from services.messages import Escalation
from services.security.feature_keys import FeatureKeys
from services.servers import Broker, RedisServer
from services.settings import SettingsError
from tests.conftest import WaitFor
from tests.services.edge.site import ALL_RISE, Site, sample


@pytest.fixture
def site(mqtt_broker: Broker, redis_server: RedisServer, tmp_path: Path) -> Iterator[Site]:
    with Site(mqtt_broker, redis_server, tmp_path) as one:
        yield one


def test_features_leave_the_edge_encrypted_and_the_journal_can_send_them_again(site, tmp_path, wait_for: WaitFor):
    path = tmp_path / "keys"
    path.write_text(os.urandom(32).hex())
    path.chmod(0o600)
    keys = FeatureKeys(path, setting="edge.features_key_file")
    stream = Stream(site.bundle.manifest.network_id, 0)
    site.start_edge(thresholds=ALL_RISE, features_key_file=path)
    with redis.Redis(site.redis.host, site.redis.port, protocol=2) as raw:

        def sent() -> list[Escalation]:
            return [Escalation.decode(fields[b"m"]) for _, fields in raw.xrange(stream.features)]

        site.publish("camera", sample(1))
        wait_for(sent, "the hard sample", timeout_s=30)
        [first] = sent()
        raw.flushall()
        wait_for(sent, "it is sent again", timeout_s=60)
        [again] = sent()
    assert first.key == again.key == keys.ids[0]
    assert first.features != again.features
    assert again.attempt > first.attempt
    assert keys.decrypt(first).features == keys.decrypt(again).features
    assert len(keys.decrypt(first).features) == site.bundle.manifest.cut.bytes


def test_a_key_file_that_is_not_there_keeps_the_edge_from_starting(site, tmp_path):
    with pytest.raises(SettingsError, match=r"none: No such file"):
        site.start_edge(features_key_file=tmp_path / "none")


def test_an_edge_that_does_not_encrypt_needs_no_cryptography():
    program = "import sys; sys.modules['cryptography'] = None; import services.edge.process"  # as if not installed
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=120).returncode == 0
