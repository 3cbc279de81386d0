"""The books of a chaos run: sets of keys, so that no count can hide a loss behind a repetition."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.messages import Label
from tests.chaos import report
from tests.chaos.books import Books, message_hash

LABEL = Label("a", "cam", 3, "3", 0.9, 0, "final", "confident", False, 1.0, 2.0, "digits@0123", 1e-6)


def books(*acknowledged: str) -> Books:
    """Of samples `a`, `b` and `c` of one device, some of which the broker took."""
    found = Books()
    found.sent([("cam", one) for one in "abc"])
    found.acknowledged([("cam", one) for one in acknowledged])
    return found


def final(sample: str, **changes: object) -> bytes:
    return replace(LABEL, id=sample, **changes).encode()  # type: ignore[arg-type]


def test_what_the_broker_took_and_nobody_answered_is_lost():
    account = books("a", "b")
    account.label(final("a"))
    assert account.missing_finals == 1
    assert account.balance().lost == [("cam", "b")]


def test_two_labels_of_one_sample_do_not_make_up_for_the_loss_of_another():
    account = books("a", "b")
    account.label(final("a"))
    account.label(final("a"))
    balance = account.balance()
    assert (balance.samples, balance.finals, balance.repeated_finals) == (2, 1, 1)
    assert balance.lost == [("cam", "b")]


def test_a_provisional_label_is_no_final():
    account = books("a")
    account.label(final("a", status="provisional", reason="escalated"))
    assert account.balance().lost == [("cam", "a")]
    assert account.balance().provisionals == 1


def test_a_final_that_differs_from_the_one_before_is_a_conflict():
    account = books("a")
    account.label(final("a"))
    account.label(final("a", class_index=4))
    assert account.balance().conflicting == [("cam", "a")]
    assert account.balance().repeated_finals == 0


def test_what_the_broker_did_not_take_is_owed_nothing():
    assert books().balance().lost == []
    assert books().samples == 0


def test_a_poison_is_owed_a_rejection():
    account, hashed = books(), message_hash("t", b"bad")
    account.poison_sent("cam", hashed)
    account.poison_acknowledged(hashed)
    assert account.balance().lost == [("cam", hashed.hex())]
    account.rejections([hashed])
    assert account.balance().lost == []
    assert account.balance().rejected == account.samples == 1


def test_labels_and_rejections_that_nobody_is_owed_are_told():
    account = books("a")
    account.label(final("a"))
    account.label(final("z"))
    account.rejections([message_hash("t", b"good")])
    balance = account.balance()
    assert balance.unexpected_finals == [("cam", "z")]
    assert balance.unexpected_rejections == 1
    told = report.figures(balance, dead_letters=0, events={}, seconds=1.0, more={})
    assert report.broken_promises(told) == ["unexpected finals: 1", "unexpected rejections: 1"]


def test_a_key_is_not_used_twice():
    with pytest.raises(ValueError, match="sent twice"):
        books().sent([("cam", "a")])


def test_the_share_of_hard_samples_that_the_cloud_answered():
    account = books("a", "b", "c")
    account.label(final("a"))
    account.label(final("b", reason="escalated", exit="cloud"))
    account.label(final("c", reason="failed"))
    assert account.balance().hard_answered_share == 0.5
