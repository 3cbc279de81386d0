"""Topics: which input takes a message, and which device sent it."""

from __future__ import annotations

import pytest

from services.messages import InputTopics, MessageError, topic_filter


def inputs(*topics: str) -> InputTopics:
    return InputTopics(topics, "home")


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("dewpoint/{site}/in/{device}", "dewpoint/home/in/+"),
        ("cams/{device}/raw/#", "cams/+/raw/#"),
        ("$share/group/cams/{device}", "$share/group/cams/+"),
    ],
)
def test_the_filter_fills_in_the_site_and_leaves_the_device_open(topic: str, expected: str) -> None:
    assert topic_filter(topic, "home") == expected


def test_the_first_input_that_fits_takes_the_message() -> None:
    topics = inputs("cams/{device}/raw", "cams/{device}/#", "dewpoint/{site}/in/{device}")
    assert topics.find("cams/a/raw") == (0, "a")
    assert topics.find("cams/a/jpeg/1") == (1, "a")
    assert topics.find("cams/a") == (1, "a")
    assert topics.find("dewpoint/home/in/b") == (2, "b")


def test_device_names_are_percent_decoded() -> None:
    assert inputs("in/{device}").find("in/hall%2F1") == (0, "hall/1")


def test_a_shared_subscription_is_found_by_its_topic() -> None:
    assert inputs("$share/g/in/{device}").find("in/a") == (0, "a")


@pytest.mark.parametrize(
    ("topic", "reason"),
    [("other/a", "unknown_topic"), ("in/a/b", "unknown_topic"), ("in/", "bad_device"), ("in/%ff", "bad_device")],
)
def test_what_no_input_takes_is_refused_with_a_reason(topic: str, reason: str) -> None:
    with pytest.raises(MessageError) as caught:
        inputs("in/{device}").find(topic)
    assert caught.value.reason == reason
