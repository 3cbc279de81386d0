"""`dewpoint new` writes a site that is whole, private and as it was wished, or nothing."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import socket
import stat

import pytest
import yaml
from typer.testing import CliRunner

from hybrid_model import bundle as bundle_file
from services import settings
from services.cli import app
from services.messages import label_topic
from services.servers import find_mosquitto, free_port
from services.sites import plan_site, write_site
from services.sites.accounts import mosquitto_passwords, redis_users
from services.sites.facts import find_facts, free_port_from
from services.sites.plan import PlanError, SiteWish
from services.sites.texts import exchange_commands, shipped
from tests.conftest import require_server
from tests.services.sites.written import WrittenMosquitto, planned, written


def run(*arguments):
    ended = CliRunner().invoke(app, ["new", *map(str, arguments)], catch_exceptions=False)
    return ended.exit_code, ended.output


def test_it_tells_what_it_wrote_and_the_next_three_commands_and_no_secret(tmp_path):
    status, text = run(tmp_path / "hall-3", "--images", "--json", tmp_path / "told.json")
    assert status == 0
    told = json.loads((tmp_path / "told.json").read_text())
    readme = (tmp_path / "hall-3/README.md").read_text()
    assert len(told["next"]) == 3
    for command in told["next"]:
        assert command in text
        assert command in readme
    for secret in secrets_of(tmp_path / "hall-3"):
        assert secret not in text + readme + json.dumps(told)


def test_it_says_how_to_send_something_and_see_the_label(tmp_path):
    plan = written(tmp_path / "hall-3", kind="sensors", site="hall-3")
    readme = (plan.folder / "README.md").read_text()
    device = plan.devices[0]
    sees, sends = exchange_commands(plan)
    assert sees in readme
    assert sends in readme
    assert label_topic("hall-3", device).removesuffix(device) + "#" in sees
    assert f"-p {plan.ports.devices} " in sends
    assert f"-u {device} -i {device} " in sends, "the broker wants the client id to be the user's name"
    channels = bundle_file.load(bundle_file.resolve("har")).manifest.input.channels
    assert f"in this order: {', '.join(channels)}." in (plan.folder / "edge.toml").read_text()


def secrets_of(folder):
    return [
        path.read_text().strip() for suffix in ("mqtt", "redis") for path in (folder / "secrets").glob(f"*.{suffix}")
    ]


def test_passwords_are_for_their_owner_alone_and_stand_in_no_other_file(tmp_path):
    plan = written(tmp_path / "hall-3")
    private = [
        *(plan.folder / "secrets").iterdir(),
        plan.folder / "redis/users.acl",
        plan.folder / "mosquitto/workers.acl",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE((plan.folder / "secrets").stat().st_mode) == 0o700
    secrets = secrets_of(plan.folder)
    assert len(secrets) == len(set(secrets)) == 11
    others = [path for path in plan.folder.rglob("*") if path.is_file() and path.parent.name != "secrets"]
    assert not [path for path in others for secret in secrets if secret in path.read_text()]


@pytest.mark.parametrize(("kind", "bundle"), [("images", "digits"), ("sensors", "har")])
def test_the_settings_are_those_of_the_kind_of_device(tmp_path, kind, bundle):
    plan = written(tmp_path / "hall-3", kind=kind, site="hall-3")
    loaded = settings.load(plan.folder / "edge.toml")
    [source] = loaded.edge.inputs
    assert (source.kind, loaded.edge.bundle) == (kind.removesuffix("s"), bundle)
    assert source.fit == ("resize" if kind == "images" else "exact")
    assert source.window.hop == (None if kind == "images" else 64)
    assert loaded.site.name == "hall-3"
    assert loaded.mqtt.password_file == plan.folder / "secrets/edge-1.mqtt"
    assert settings.load(plan.folder / "cloud.toml").cloud.bundles == [bundle]
    assert len(settings.load(plan.folder / "console.toml").console.workers) == 2


def test_an_own_bundle_is_copied_and_says_what_kind_of_site_it_is(tmp_path):
    shutil.copy(bundle_file.resolve("har"), tmp_path / "pumps.dew")
    plan = written(tmp_path / "hall-3", bundle=str(tmp_path / "pumps.dew"))
    loaded = settings.load(plan.folder / "edge.toml")
    assert loaded.edge.inputs[0].kind == "sensor"
    assert bundle_file.load(loaded.edge.bundle).manifest.name == "har"
    assert settings.load(plan.folder / "cloud.toml").cloud.bundles == [str(plan.folder / "bundles")]


def test_without_a_wish_the_site_is_named_after_the_host(tmp_path):
    facts = dataclasses.replace(find_facts(), host="Hall 3.example.org")
    assert plan_site(SiteWish(tmp_path / "x"), facts).site == "Hall-3"


def test_home_assistant_reads_the_labels_topics(tmp_path):
    plan = written(
        tmp_path / "hall-3", site="hall-3", devices=("pump-1", "pump-2"), kind="sensors", home_assistant=True
    )
    sensors = yaml.safe_load((plan.folder / "home-assistant.yaml").read_text())["mqtt"]["sensor"]
    assert [one["state_topic"] for one in sensors] == [label_topic("hall-3", name) for name in ("pump-1", "pump-2")]
    assert "value_json.status == 'final'" in sensors[0]["value_template"]
    assert not (written(tmp_path / "other").folder / "home-assistant.yaml").exists()


def test_nothing_is_left_of_the_places_and_names_that_were_shipped(tmp_path):
    plan = written(tmp_path / "hall-3", site="hall-3")
    for name in ("mosquitto/mosquitto.conf", "redis/redis.conf", "redis/users.acl", "prometheus/prometheus.yml"):
        text = re.sub(r"^#.*\n", "", (plan.folder / name).read_text(), flags=re.M).replace(str(plan.folder), "")
        assert not re.search(r"/mosquitto/(secrets|config|data)/|/run/secrets|:replies:site:|dns_sd|888[34]", text), (
            name
        )
    assert "dewpoint/site/" not in (plan.folder / "mosquitto/workers.acl").read_text()
    assert "dewpoint/hall-3/in/%u" in (plan.folder / "mosquitto/devices.acl").read_text()


def test_redis_before_7_gets_the_rules_that_it_knows():
    for name in ("users.acl", "users-6.2.acl"):
        rules = redis_users(shipped(f"redis/{name}"), {"edge-1": "one", "cloud": "two"}, site="hall-3")
        users = [line.split()[1] for line in rules.splitlines()]
        assert users == ["default", "edge-1", "cloud"]
        assert "edge-1 on #7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed " in rules


def test_passwords_are_stored_as_mosquitto_passwd_stores_them():
    [line] = mosquitto_passwords({"camera-1": "secret"}).splitlines()
    assert re.fullmatch(r"camera-1:\$7\$101\$[A-Za-z0-9+/]{16}\$[A-Za-z0-9+/]{86}==", line)


def test_where_systemd_is_missing_there_are_no_units_and_plain_commands(tmp_path):
    facts = dataclasses.replace(find_facts(), systemd=False)
    plan = planned(tmp_path / "hall-3", facts=facts)
    told = write_site(plan)
    assert not (plan.folder / "systemd").exists()
    assert not any("systemctl" in command for command in told.next_commands)


def test_without_openssl_the_broker_is_on_the_loopback_address_alone(tmp_path):
    require_server(find_mosquitto)
    plan = planned(tmp_path / "hall-3", facts=dataclasses.replace(find_facts(), openssl=None))
    write_site(plan)
    text = (plan.folder / "mosquitto/mosquitto.conf").read_text()
    assert re.findall(r"^listener \d+ ?(.*)$", text, flags=re.M) == ["127.0.0.1", "127.0.0.1"]
    assert "certfile" not in text
    assert not settings.load(plan.folder / "edge.toml").mqtt.tls.enabled
    assert "plain text" in (plan.folder / "README.md").read_text()
    with WrittenMosquitto(plan) as broker:
        assert broker.running


def test_what_is_missing_is_told_in_the_readme(tmp_path):
    facts = dataclasses.replace(find_facts(), mosquitto=None, redis_server=None, torch=False)
    write_site(planned(tmp_path / "hall-3", facts=facts))
    text = (tmp_path / "hall-3/README.md").read_text()
    assert "apt-get install mosquitto redis-server" in text
    assert "dewpoint[cloud]" in text


def test_a_port_that_somebody_listens_on_is_passed_over():
    with socket.socket() as other:
        port = free_port()
        other.bind(("127.0.0.1", port))
        other.listen()
        assert free_port_from(port, ()) > port


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "hall-3").mkdir()
    assert written(tmp_path / "hall-3").folder.joinpath("edge.toml").is_file()


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "note").write_text("mine")
    status, text = run(tmp_path)
    assert status == 2
    assert "is not empty" in text
    assert [path.name for path in tmp_path.iterdir()] == ["note"]


def test_nothing_is_left_of_a_site_whose_settings_do_not_hold(tmp_path, monkeypatch):
    monkeypatch.setenv("DEWPOINT_EDGE__THREADS", "none")
    with pytest.raises(settings.SettingsError):
        written(tmp_path / "hall-3")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--images", "--sensors"), "exclude each other"),
        (("--sensors", "--bundle", "digits"), "digits is a network for images"),
        (("--bundle", "nothing.dew"), "no such file"),
        (("--site", "hall/3"), "a name has letters"),
        (("--device", "a/b"), "a name has letters"),
        (("--device", "edge-1"), "has the name of a worker's account"),
        (("--device", "a", "--device", "a"), "is named twice"),
    ],
)
def test_a_wish_that_cannot_be_is_told(tmp_path, arguments, reason):
    status, text = run(tmp_path / "hall-3", *arguments)
    assert status == 2
    assert reason in " ".join(text.split())
    assert not list(tmp_path.iterdir())


def test_a_path_that_would_mean_something_to_a_server_is_refused(tmp_path):
    for name in ("two words", 'a"b', "a%b", "a\nb"):
        with pytest.raises(PlanError, match="choose another"):
            plan_site(SiteWish(tmp_path / name), find_facts())
