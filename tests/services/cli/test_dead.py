"""`dewpoint dead` against real Redis: list, show, replay and drop, as an operator types them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli import app
from services.feature_stream import Answer, CloudFeatures, EdgeFeatures
from services.messages import Escalation, Reply
from services.servers import RedisServer
from services.settings import RedisSettings

B = "0123456789ab"
SECRET = b"the features"
DEVICE = "cam[red]"
ERROR = "ValueError: poison \x1b[31m"

Dead = Callable[..., Result]


@pytest.fixture
def edge(redis_server: RedisServer) -> Iterator[EdgeFeatures]:
    features = EdgeFeatures(RedisSettings(port=redis_server.port), network_id=B, site="hall", worker="edge-1")
    yield features
    features.close()


@pytest.fixture
def letters(redis_server: RedisServer, edge: EdgeFeatures) -> list[str]:
    """The samples s-0, s-1 and s-2 of a device are dead letters."""
    samples = [
        Escalation(f"s-{number}", "hall", "edge-1", DEVICE, B, 1, ((3, 0.5),), SECRET, 1e9) for number in range(3)
    ]
    cloud = CloudFeatures(RedisSettings(port=redis_server.port), consumer="cloud-1", lease_s=30, max_deliveries=3)
    edge.register()
    edge.escalate(samples)
    cloud.serve(edge.streams)
    for sample, delivery in zip(samples, cloud.read(10), strict=True):
        running = cloud.begin_lone_run(delivery)
        assert running is not None
        reply = Reply(sample.device, sample.id, 1, None, None, "poison")
        cloud.dead_letter(running, ERROR, answer=Answer(running, "hall", "edge-1", reply))
    cloud.close()
    return [sample.id for sample in samples]


@pytest.fixture
def dead(redis_server: RedisServer, tmp_path: Path) -> Dead:
    """`dead(*words)` types `dewpoint dead WORDS --config ...`."""
    config = tmp_path / "cloud.toml"
    config.write_text(f"[redis]\nport = {redis_server.port}\ntimeout_s = 1.0\n")

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["dead", *words, "--config", str(config)], env={"COLUMNS": "200"})

    return run


def listed(dead: Dead, folder: Path) -> list[dict[str, Any]]:
    """What `dead list --json` writes."""
    path = folder / "letters.json"
    assert dead("list", "--json", str(path)).exit_code == 0
    found: list[dict[str, Any]] = json.loads(path.read_text())["letters"]
    return found


def test_the_list_tells_sample_error_and_runs(dead: Dead, letters: list[str], tmp_path: Path) -> None:
    told = dead("list")
    assert "3 dead letters" in told.stdout
    for sample in letters:
        assert sample in told.stdout
    assert "ValueError: poison" in told.stdout
    assert DEVICE in told.stdout
    assert "\x1b" not in told.stdout, "what came over the network gives the terminal no orders"
    found = listed(dead, tmp_path)
    sizes = [one["letter_bytes"] for one in found]
    assert min(sizes) > len(SECRET)
    assert f"; {sum(sizes):,} bytes" in told.stdout
    assert [(one["sample"], one["attempt"], len(one["history"])) for one in found] == [(s, 1, 1) for s in letters]
    assert {(one["network"], one["site"], one["edge"], one["worker"]) for one in found} == {
        (B, "hall", "edge-1", "cloud-1")
    }


def test_an_empty_list_is_told(dead: Dead) -> None:
    assert "0 dead letters" in dead("list").stdout


def test_a_long_list_is_cut_and_says_so(dead: Dead, letters: list[str]) -> None:
    told = dead("list", "--limit", "1").stdout
    assert "3 dead letters, 1 of them shown" in told
    assert letters[2] not in told


def test_a_letter_is_shown_without_its_features_unless_they_are_asked_for(
    dead: Dead, letters: list[str], tmp_path: Path
) -> None:
    name = listed(dead, tmp_path)[0]["id"]
    told = dead("show", name)
    assert told.exit_code == 0
    for part in (name, letters[0], "ValueError: poison", "hall", "cloud-1"):
        assert part in told.stdout
    assert SECRET.hex() not in told.stdout
    assert "the features" not in told.stdout
    path = tmp_path / "letter.json"
    assert SECRET.hex() in dead("show", name, "--features", "--json", str(path)).stdout
    shown = json.loads(path.read_text())
    assert (shown["feature_bytes"], shown["features"]) == (len(SECRET), SECRET.hex())


def test_what_is_replayed_is_an_entry_again_and_it_is_said_that_a_final_label_is_out(
    dead: Dead, letters: list[str], edge: EdgeFeatures, tmp_path: Path
) -> None:
    name = listed(dead, tmp_path)[1]["id"]
    told = dead("replay", name)
    assert told.exit_code == 0
    assert "1 sent again, 0 not" in told.stdout
    assert "edge.correction" in told.stdout
    assert edge.entries_exist([(DEVICE, letters[1])])[0]
    assert len(listed(dead, tmp_path)) == 2
    again = dead("replay", name)
    assert again.exit_code == 1
    assert "there is no such letter" in again.stderr


def test_all_can_be_replayed_of_one_network(dead: Dead, letters: list[str], edge: EdgeFeatures, tmp_path: Path) -> None:
    assert "0 sent again" in dead("replay", "--all", "--network", "f" * 12).stdout
    path = tmp_path / "replayed.json"
    assert "3 sent again" in dead("replay", "--all", "--network", B, "--json", str(path)).stdout
    assert set(json.loads(path.read_text())["outcomes"].values()) == {"sent"}
    assert edge.queue().length == len(letters)


def test_what_is_dropped_is_gone(dead: Dead, letters: list[str], edge: EdgeFeatures, tmp_path: Path) -> None:
    first = listed(dead, tmp_path)[0]["id"]
    assert "1 removed" in dead("drop", first).stdout
    assert dead("drop", first).exit_code == 1
    assert "2 removed" in dead("drop", "--all").stdout
    assert listed(dead, tmp_path) == []
    assert edge.queue().length == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("show", "5-0"), "is not the id of a dead letter"),
        (("show", f"{B}.0/5-0"), "there is no dead letter"),
        (("replay",), "name dead letters by their ids, or take --all"),
        (("drop", f"{B}.0/5-0", "--all"), "name dead letters by their ids, or take --all"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(dead: Dead, words: tuple[str, ...], complaint: str) -> None:
    told = dead(*words)
    assert told.exit_code == 2
    [line] = told.stderr.splitlines()
    assert complaint in line


def test_an_unreachable_redis_is_one_line_and_status_2(dead: Dead, redis_server: RedisServer) -> None:
    redis_server.stop()
    told = dead("list")
    assert told.exit_code == 2
    [line] = told.stderr.splitlines()
    assert f"redis at {redis_server.address}" in line
