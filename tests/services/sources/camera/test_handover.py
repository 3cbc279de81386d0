from __future__ import annotations

import threading

import pytest

from services.sources.camera.handover import Handover


def test_the_newest_wins_and_what_it_replaces_is_counted():
    handover = Handover()
    for number in range(5):
        handover.put(number)
    assert handover.take() == 4
    assert handover.late == 4


def test_what_lies_there_at_the_end_is_still_taken():
    handover = Handover()
    handover.put("last")
    handover.close()
    handover.put("too late")
    assert handover.take() == "last"
    assert handover.take() is None
    assert handover.late == 0


def test_an_error_comes_after_the_last_item():
    handover = Handover()
    handover.put("last")
    handover.close(ValueError("broken"))
    assert handover.take() == "last"
    with pytest.raises(ValueError, match="broken"):
        handover.take()


def test_who_waits_for_the_place_leaves_out_nothing():
    handover, taken = Handover(), []
    thread = threading.Thread(target=lambda: ([handover.put_when_free(i) for i in range(100)], handover.close()))
    thread.start()
    while (item := handover.take()) is not None:
        taken.append(item)
    thread.join()
    assert taken == list(range(100))
    assert handover.late == 0


def test_who_waits_for_the_place_is_let_go_when_it_is_closed():
    handover = Handover()
    handover.put(1)
    thread = threading.Thread(target=handover.put_when_free, args=(2,))
    thread.start()
    handover.close()
    thread.join(30)
    assert not thread.is_alive()
    assert handover.take() == 1
    assert handover.take() is None
