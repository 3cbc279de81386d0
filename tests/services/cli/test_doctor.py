from __future__ import annotations

import json
import subprocess
import sys

import pytest

from services.cli import doctor


def _config(folder, **sections):
    lines = []
    for name, entries in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in entries.items())]
    path = folder / "dewpoint.toml"
    path.write_text("\n".join(lines))
    return path


def _found(findings):
    return {finding.subject: finding for finding in findings}


@pytest.fixture
def good(tmp_path, mqtt_broker, redis_server):
    return {
        "mqtt": {"host": mqtt_broker.host, "port": mqtt_broker.port},
        "redis": {"host": redis_server.host, "port": redis_server.port},
        "edge": {"bundle": "digits", "spool": str(tmp_path / "spool")},
        "cloud": {"bundles": ["digits"]},
    }


def test_nothing_is_wrong_where_all_is_there(tmp_path, good):
    findings = doctor.examine(_config(tmp_path, **good))
    assert [finding.detail for finding in findings if finding.state == "wrong"] == []
    assert {"settings", "bundle", "kernel", "MQTT broker", "Redis", "spool", "clock"} <= _found(findings).keys()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('fields = { values = ["a..b"] }', "fields.values[0] = 'a..b' is no JMESPath"),
        ('topic = "in/{device}/{channel}"\njoin = { period_s = 5.0 }', "join.period_s 5 is not the bundle's 0.02"),
    ],
)
def test_a_path_or_a_join_that_keeps_an_edge_worker_from_starting_is_found_before(tmp_path, settings, told):
    config = tmp_path / "dewpoint.toml"
    config.write_text(f'[edge]\nbundle = "har"\n[[edge.inputs]]\nkind = "sensor"\n{settings}\n')
    [found] = [one for one in doctor.examine(config) if one.subject == "input"]
    assert found.state == "wrong"
    assert told in found.detail
    assert "\n" not in found.detail


def test_inputs_and_sinks_that_keep_an_edge_worker_from_starting_are_found_before(tmp_path, good):
    good["edge"] |= {"label_sinks": ["mqtt", "kafka"]}
    config = _config(tmp_path, **good)
    with config.open("a") as file:
        file.write('\n[[edge.inputs]]\ntopic = "in/{device}"\nkind = "sensor"\n')
    found = _found(doctor.examine(config))
    assert "which readings cannot make up" in found["input"].detail
    assert "'kafka' is unknown" in found["label sink"].detail
    assert {found[subject].state for subject in ("input", "label sink")} == {"wrong"}


def test_reuse_by_a_bundle_that_knows_no_distance_is_found_before(tmp_path, good):
    config = _config(tmp_path, **good)
    asked = '\n[[edge.inputs]]\ntopic = "in/{device}"\nreuse = true\n'
    with config.open("a") as file:
        file.write(asked)
    found = _found(doctor.examine(config))["reuse"]
    assert found.state == "wrong"
    assert "digits knows no distance" in found.detail
    assert "reuse_bits" in found.remedy
    with config.open("a") as file:
        file.write("reuse_bits = 5\n")
    assert "reuse" not in _found(doctor.examine(config))


def test_a_broker_and_a_redis_that_do_not_answer_are_told_with_their_addresses(tmp_path, good):
    good |= {"mqtt": {"port": 9}, "redis": {"port": 9}}
    found = _found(doctor.examine(_config(tmp_path, **good)))
    for subject in ("MQTT broker", "Redis"):
        assert found[subject].state == "wrong"
        assert "127.0.0.1:9" in found[subject].detail
        assert found[subject].remedy
    assert found["bundle"].state == "good"


def test_a_redis_that_may_evict_is_wrong(tmp_path, good, redis_server):
    from services.feature_stream.link import RedisLink
    from services.settings import RedisSettings

    link = RedisLink(RedisSettings(**good["redis"]))
    link.call("CONFIG SET", "maxmemory-policy", "allkeys-lru")
    link.close()
    found = _found(doctor.examine(_config(tmp_path, **good)))
    assert "evict" in found["Redis"].detail
    assert found["Redis"].state == "wrong"


def test_a_missing_bundle_and_a_spool_out_of_reach_are_wrong(tmp_path, good):
    (tmp_path / "file").write_text("")
    good["edge"] = {"bundle": "nothing.dew", "spool": str(tmp_path / "file" / "spool")}
    found = _found(doctor.examine(_config(tmp_path, **good)))
    assert found["bundle"].state == found["spool"].state == "wrong"


def test_a_wrong_setting_is_all_that_is_told(tmp_path):
    [finding] = doctor.examine(_config(tmp_path, mqtt={"port": 0}))
    assert (finding.subject, finding.state) == ("settings", "wrong")
    assert "mqtt.port" in finding.detail


def test_the_command_ends_with_status_2_if_something_is_wrong(tmp_path):
    config = _config(tmp_path, mqtt={"port": 9}, redis={"port": 9}, edge={"spool": str(tmp_path)})
    report = tmp_path / "report.json"
    ended = subprocess.run(
        [sys.executable, "-m", "services.cli", "doctor", "--config", str(config), "--json", str(report)],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert "127.0.0.1:9" in ended.stdout
    states = {finding["subject"]: finding["state"] for finding in json.loads(report.read_text())["findings"]}
    assert states["MQTT broker"] == "wrong"
