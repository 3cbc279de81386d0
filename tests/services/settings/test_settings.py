"""Settings: file, environment and flags, each over the one before; a wrong one is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.settings import Settings, SettingsError, load


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEWPOINT_CONFIG", "DEWPOINT_MQTT__PORT", "DEWPOINT_EDGE__INPUTS", "DEWPOINT_EDGE__GUARD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dewpoint.toml"
    path.write_text('[mqtt]\nhost = "broker"\nport = 1884\n[edge]\nbundle = "har"\n')
    return path


def test_without_anything_the_defaults_hold() -> None:
    assert load() == Settings()


def test_the_file_is_over_the_defaults(file: Path) -> None:
    settings = load(file)
    assert (settings.mqtt.host, settings.mqtt.port, settings.edge.bundle) == ("broker", 1884, "har")


def test_the_environment_is_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEWPOINT_MQTT__PORT", "1885")
    settings = load(file)
    assert (settings.mqtt.host, settings.mqtt.port) == ("broker", 1885)


def test_flags_are_over_the_environment_and_none_is_no_flag(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEWPOINT_MQTT__PORT", "1885")
    settings = load(file, {"mqtt": {"port": 1886, "host": None}})
    assert (settings.mqtt.host, settings.mqtt.port) == ("broker", 1886)


def test_the_environment_may_name_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEWPOINT_CONFIG", str(file))
    assert load().mqtt.host == "broker"


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEWPOINT_EDGE__INPUTS", '[{"topic": "cams/{device}", "kind": "image"}]')
    assert load().edge.inputs[0].kind == "image"


def test_the_guard_is_on_unless_it_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().edge.guard is True
    path = tmp_path / "off.toml"
    path.write_text("[edge]\nguard = false\n")
    assert load(path).edge.guard is False
    monkeypatch.setenv("DEWPOINT_EDGE__GUARD", "on")
    assert load(path).edge.guard is True
    monkeypatch.setenv("DEWPOINT_EDGE__GUARD", "off")
    assert load().edge.guard is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[edge]\nbatch_max = 0\n", "edge.batch_max: Input should be greater than or equal to 1 (is 0)"),
        ("[edge]\ndrain_s = inf\n", "edge.drain_s: Input should be a finite number"),
        ('[edge]\nguard = "sometimes"\n', "edge.guard: Input should be a valid boolean"),
        ("[edge]\nbatch_size = 8\n", "edge.batch_size: no such setting"),
        ("[edge\n", "settings file"),
        ('[site]\nname = "a/b"\n', "site.name"),
        ('[mqtt]\npassword_file = "/secret"\n', "mqtt: password_file needs username"),
        ('[edge.home_assistant]\nprefix = "home/+"\n', "edge.home_assistant.prefix"),
        ('[edge]\nlabel_sinks = ["plain"]\n[edge.home_assistant]\nenabled = true\n', "needs 'mqtt' in label_sinks"),
        ('[[edge.inputs]]\ntopic = "no/device"\n', "needs exactly one level {device}"),
        ('[[edge.inputs]]\ntopic = "a/{device}"\n[edge.inputs.window]\nlength = 4\nhop = 5\n', "hop 5 is greater"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: No such file"):
        load(tmp_path / "none.toml")


def test_a_value_that_may_be_a_password_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "secret.toml"
    path.write_text('[mqtt]\npassword = "hunter2"\n')
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert "mqtt.password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "worker", ["http://user:secret@worker:9464", "ftp://user:secret@worker", "worker:9464", "http://worker:99999"]
)
def test_an_address_of_a_worker_that_is_none_is_refused_and_no_password_is_shown(worker: str) -> None:
    with pytest.raises(SettingsError, match=r"console\.workers") as refused:
        load(overrides={"console": {"workers": [worker]}})
    assert "secret" not in str(refused.value)
