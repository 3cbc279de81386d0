from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hybrid_model import bundle as bundle_file
from services.demo import figures, table
from services.demo.books import Books, percentile
from services.demo.figures import HalvesAlone
from services.messages import Label


def _label(device="camera-1", id="a", *, index=3, status="final", reason="confident", exit=0, in_domain=True):
    return Label(
        id=id, device=device, class_index=index, label=str(index), confidence=0.9, exit=exit, status=status,
        reason=reason, corrected=False, captured_at=0.0, decided_at=0.0, bundle="net@0", energy_j=1e-6,
        in_domain=in_domain,
    )  # fmt: skip


@pytest.fixture
def books():
    books = Books()
    books.sent(("camera-1", "a"), number=0, class_index=3, captured_at=100.0)
    books.sent(("camera-2", "a"), number=1, class_index=4, captured_at=100.0)
    return books


def test_a_sample_is_lost_if_the_broker_took_it_and_no_final_came(books):
    books.acknowledged([("camera-1", "a")])
    books.label(_label(device="camera-2"), arrived_at=101.0)
    assert books.lost == [("camera-1", "a")]


def test_a_sample_that_the_broker_never_took_is_not_lost(books):
    assert books.lost == []


def test_a_provisional_label_is_no_final(books):
    books.acknowledged([("camera-1", "a")])
    books.label(_label(status="provisional"), arrived_at=101.0)
    assert books.lost == [("camera-1", "a")]
    assert books.tally().finals == 0


def test_the_same_id_of_two_devices_is_two_samples(books):
    books.label(_label(device="camera-1"), arrived_at=101.0)
    books.label(_label(device="camera-2"), arrived_at=101.0)
    tally = books.tally()
    assert (tally.finals, tally.duplicates, tally.right) == (2, 0, 1)


@pytest.mark.parametrize("index", [3, 7])
def test_a_second_final_is_a_duplicate_whether_it_differs_or_not(books, index):
    books.label(_label(), arrived_at=101.0)
    books.label(_label(index=index), arrived_at=102.0)
    tally = books.tally()
    assert (tally.finals, tally.duplicates, tally.right) == (1, 1, 1)


def test_a_correction_is_neither_final_nor_duplicate(books):
    books.label(_label(reason="deadline"), arrived_at=101.0)
    books.label(_label(status="correction", exit="cloud"), arrived_at=102.0)
    assert (books.tally().finals, books.tally().duplicates) == (1, 0)


def test_labels_of_unknown_samples_are_counted_apart(books):
    books.label(_label(id="never sent"), arrived_at=101.0)
    assert (books.tally().finals, books.tally().strangers) == (0, 1)


def test_latency_runs_from_capture_to_arrival_by_path(books):
    books.label(_label(device="camera-1"), arrived_at=100.5)
    books.label(_label(device="camera-2", exit="cloud", reason="escalated"), arrived_at=102.0)
    assert books.tally().latencies_s == {"edge": [0.5], "cloud": [2.0]}


def test_a_reused_answer_takes_the_edges_time_and_is_neither_confident_nor_lost(books):
    books.acknowledged([("camera-1", "a"), ("camera-2", "a")])
    books.label(_label(device="camera-1", exit="cloud", reason="reused"), arrived_at=100.5)
    books.label(_label(device="camera-2", reason="rate_limited"), arrived_at=100.25)
    tally = books.tally()
    assert tally.latencies_s == {"edge": [0.25, 0.5], "cloud": []}
    assert (books.lost, tally.finals, tally.confident) == ([], 2, 0)
    assert tally.reasons == {"reused": 1, "rate_limited": 1}


@pytest.mark.parametrize("spared", [True, False])
def test_the_summary_names_what_was_spared_the_way_to_the_cloud(books, spared):
    reasons = ("reused", "rate_limited") if spared else ("escalated", "confident")
    for number, reason in enumerate(reasons, 1):
        exit_ = "cloud" if reason in ("reused", "escalated") else 0
        books.label(_label(device=f"camera-{number}", exit=exit_, reason=reason), arrived_at=100.5)
    manifest = bundle_file.load(bundle_file.resolve("digits")).manifest
    told = figures.summary(books, manifest, dataset="digits", input_bytes=0, alone=HalvesAlone(0.9, 0.9))
    console = Console(file=io.StringIO(), width=100)
    console.print(table.summary(told, reduction_standard=None))
    shown = console.file.getvalue()
    assert (told["reused"], told["rate_limited"]) == ((1, 1) if spared else (0, 0))
    assert ("the cloud's answer to one like it" in shown) is spared
    assert ("the edge's own label" in shown) is spared
    assert ("the rest rose to the cloud" in shown) is not spared


def test_the_edge_share_counts_confident_finals_only(books):
    books.label(_label(device="camera-1", reason="shed"), arrived_at=100.5)
    books.label(_label(device="camera-2", reason="confident"), arrived_at=100.5)
    assert books.tally().confident == 1
    assert books.tally().reasons == {"shed": 1, "confident": 1}


def test_samples_out_of_domain_are_those_whose_final_says_so(books):
    books.label(_label(device="camera-1", exit="cloud", reason="escalated", in_domain=False), arrived_at=101.0)
    books.label(_label(device="camera-2", in_domain=None), arrived_at=101.0)
    tally = books.tally()
    assert tally.out_of_domain == 1
    assert {name: device.out_of_domain for name, device in tally.devices.items()} == {"camera-1": 1, "camera-2": 0}


def test_a_key_is_sent_once(books):
    with pytest.raises(ValueError, match="sent twice"):
        books.sent(("camera-1", "a"), number=2, class_index=0, captured_at=0.0)


@given(st.lists(st.floats(0, 10), min_size=1), st.sampled_from([0.5, 0.99, 1.0]))
def test_a_percentile_is_the_smallest_value_that_covers_its_share(values, share):
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found in ordered
    assert sum(v <= found for v in ordered) >= share * len(ordered) - 1e-9
    assert sum(v < found for v in ordered) < share * len(ordered)


def test_no_values_have_no_percentile():
    assert percentile([], 0.5) is None
