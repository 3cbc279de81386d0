"""The site that `dewpoint new` writes starts as it is, with the real servers, and answers."""

from __future__ import annotations

import io
import shutil
import subprocess
import urllib.request

import pytest
from PIL import Image

from hybrid_model import data
from services.cli.doctor import examine
from services.messages import Label
from services.mqtt import Filter, MqttError, MqttLink, OnMessage
from services.servers import find_mosquitto, find_redis_server
from services.settings import MqttSettings, TlsSettings
from tests.conftest import require_server
from tests.deploy.promtool import promtool
from tests.services.sites.written import WrittenMosquitto, WrittenRedis, worker, written


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    require_server(find_mosquitto)
    require_server(lambda: find_redis_server("system"))
    plan = written(tmp_path_factory.mktemp("new") / "hall-3", kind="images", site="hall-3", home_assistant=True)
    if not plan.tls:
        pytest.skip("openssl 3 is not installed: sudo apt-get install openssl")
    with WrittenMosquitto(plan), WrittenRedis(plan):
        yield plan


def account(plan, name, port):
    tls = TlsSettings(enabled=True, ca_file=plan.folder / "secrets/ca.pem")
    return MqttSettings(port=port, username=name, password_file=plan.folder / f"secrets/{name}.mqtt", tls=tls)


def is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def png(number):
    file = io.BytesIO()
    pixels = data.load("digits", progress=False).test.x[number, :, :, 0]
    Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def test_a_device_gets_its_labels_from_edge_and_cloud(site, wait_for):
    heard = []
    camera = MqttLink(
        account(site, "camera-1", site.ports.devices),
        client_id="camera-1",
        filters=[Filter("dewpoint/hall-3/label/camera-1")],
        listener=OnMessage(lambda delivery: heard.append(Label.decode(delivery.payload))),
    )
    with camera, worker("edge", site.folder / "edge.toml"), worker("cloud", site.folder / "cloud.toml"):
        # Until the edge has subscribed, what is published is nobody's.
        wait_for(lambda: is_ready(site.ports.edge_metrics), "the edge worker")
        for number in range(6):
            assert camera.publish("dewpoint/hall-3/in/camera-1", png(number), qos=1, timeout_s=10)
        wait_for(lambda: sum(one.status == "final" for one in heard) == 6, "six final labels")
    assert {one.exit for one in heard if one.status == "final"} == {0, "cloud"}


@pytest.mark.parametrize("name", ["edge.toml", "console.toml"])
def test_doctor_finds_nothing_wrong(site, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not [one for one in examine(site.folder / name) if one.state == "wrong"]


def test_nobody_comes_in_without_an_account(site):
    tls = TlsSettings(enabled=True, ca_file=site.folder / "secrets/ca.pem")
    for port in (site.ports.devices, site.ports.workers):
        stranger = MqttLink(MqttSettings(port=port, tls=tls), client_id="stranger")
        with pytest.raises(MqttError, match="Not authorized"), stranger:
            pass


def test_a_devices_account_is_of_no_use_at_the_workers_listener(site):
    link = MqttLink(account(site, "camera-1", site.ports.workers), client_id="camera-1")
    with pytest.raises(MqttError, match="Not authorized"), link:
        pass


def test_the_units_are_as_systemd_wants_them(site):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    units = sorted(str(path) for path in (site.folder / "systemd").iterdir())
    assert len(units) == 4
    ended = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert str(site.folder) not in ended.stderr, ended.stderr


def test_prometheus_takes_its_configuration(site):
    command = [promtool(), "check", "config", str(site.folder / "prometheus/prometheus.yml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
