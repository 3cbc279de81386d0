"""Logs: structured, and a flood of one kind stays a trickle."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from services.common.logs import Occasionally, configure, get_logger
from services.settings import LogSettings


@pytest.fixture(autouse=True)
def fresh_logs() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_json_logs_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"))
    get_logger("edge").warning("message_rejected", device="cam", reason="bad_image")
    said = json.loads(capsys.readouterr().err)
    assert said["event"] == "message_rejected"
    assert (said["component"], said["device"], said["reason"]) == ("edge", "cam", "bad_image")


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(level="warning", format="json"))
    get_logger("edge").info("quiet")
    assert capsys.readouterr().err == ""


def test_a_flood_is_held_back_and_counted() -> None:
    gate = Occasionally(burst=2, period_s=1000)
    assert [gate.passes("a") for _ in range(4)] == [0, 0, None, None]
    assert gate.passes("b") == 0


def test_after_the_period_the_next_event_tells_how_many_were_held_back() -> None:
    gate = Occasionally(burst=1, period_s=0.0)
    assert gate.passes("a") == 0
    strict = Occasionally(burst=1, period_s=1000)
    strict.passes("a")
    strict.passes("a")
    strict._period_s = 0.0
    assert strict.passes("a") == 1
