"""For every counter, a test that moves it. A fixture of all tests sees to it that it does: there a dead one fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import Counter

_EDGE = "tests/services/edge"
_CLOUD = "tests/services/cloud"
_STEPS = f"{_EDGE}/test_counters.py::test_a_hard_sample_is_counted_at_every_step"
_CONFIDENT = f"{_EDGE}/test_worker.py::test_a_confident_sample_gets_one_final_label_as_the_engine_decides"
_AUDIT = (
    f"{_EDGE}/observe/test_audit.py::test_an_audit_holds_what_the_cloud_needs_and_the_label_is_what_it_would_have_been"
)
_AUDITED = f"{_CLOUD}/test_audit.py::test_audits_are_counted_by_what_the_cloud_says_and_nobody_is_answered"
_WHAT_IF = f"{_CLOUD}/test_audit.py::test_hard_samples_and_audits_weigh_what_they_stand_for_along_the_path"
_ANSWERED = f"{_CLOUD}/test_worker.py::test_every_sample_is_answered_with_its_own_class"
_TRACED = "tests/services/traces/test_pipeline.py::test_a_hard_sample_has_one_connected_trace"

#: Name in Prometheus -> the test's id.
MOVED_BY: Mapping[str, str] = {
    "dewpoint_messages_received_total": _STEPS,
    "dewpoint_payload_bytes_total": _STEPS,
    "dewpoint_samples_received_total": _CONFIDENT,
    "dewpoint_samples_out_of_domain_total": f"{_EDGE}/test_guard.py::"
    "test_samples_out_of_domain_are_counted_by_device_whether_they_leave_or_rise",
    "dewpoint_samples_redelivered_total": f"{_EDGE}/test_worker.py::"
    "test_a_sample_that_comes_again_gets_the_same_label_again_and_no_second_decision",
    "dewpoint_messages_acknowledged_total": _CONFIDENT,
    "dewpoint_acknowledgements_discarded_total": f"{_EDGE}/test_counters.py::"
    "test_an_acknowledgement_for_a_connection_that_is_gone_is_counted",
    "dewpoint_drops_total": f"{_EDGE}/test_worker_windows.py::test_a_topic_of_the_site_without_a_device_is_rejected",
    "dewpoint_window_tails_total": f"{_EDGE}/ingest/test_window_eviction.py::"
    "test_only_windows_that_were_begun_are_counted_as_given_up",
    "dewpoint_window_devices_evicted_total": f"{_EDGE}/ingest/test_window_eviction.py::"
    "test_the_devices_that_are_silent_longest_are_forgotten_with_their_marks",
    "dewpoint_window_marks_evicted_total": f"{_EDGE}/ingest/test_window_eviction.py::"
    "test_of_the_marks_of_all_devices_the_oldest_are_forgotten_and_windows_stay",
    "dewpoint_window_epochs_total": f"{_EDGE}/test_worker_windows.py::"
    "test_a_publisher_that_starts_over_begins_a_new_epoch_with_ids_of_its_own",
    "dewpoint_exits_total": _CONFIDENT,
    "dewpoint_provisionals_total": _STEPS,
    "dewpoint_corrections_total": f"{_EDGE}/test_worker.py::"
    "test_a_hard_sample_gets_a_provisional_label_at_once_and_the_clouds_later",
    "dewpoint_escalations_total": _STEPS,
    "dewpoint_feature_bytes_total": _STEPS,
    "dewpoint_energy_joules_total": _STEPS,
    "dewpoint_energy_baseline_joules_total": _STEPS,
    "dewpoint_labels_published_total": _STEPS,
    "dewpoint_labels_without_subscriber_total": f"{_EDGE}/test_counters.py::"
    "test_labels_that_the_broker_gives_to_nobody_are_counted_apart_and_done",
    "dewpoint_home_assistant_messages_total": f"{_EDGE}/publish/test_home_assistant.py::"
    "test_switched_off_the_next_start_removes_what_was_announced",
    "dewpoint_home_assistant_labels_beyond_total": f"{_EDGE}/publish/test_home_assistant.py::"
    "test_no_more_devices_are_announced_than_the_bound_and_the_labels_of_others_are_counted",
    "dewpoint_journal_done_evicted_total": f"{_EDGE}/upkeep/test_journal_limits.py::"
    "test_a_journal_full_of_finished_rows_keeps_its_size_by_forgetting_the_oldest_which_is_counted",
    "dewpoint_lone_runs_total": f"{_EDGE}/test_counters.py::test_a_message_that_is_run_alone_is_counted",
    "dewpoint_replies_received_total": _STEPS,
    "dewpoint_mqtt_connections_total": _STEPS,
    "dewpoint_mqtt_session_taken_over_total": f"{_EDGE}/test_twins.py::"
    "test_a_status_that_another_process_left_is_no_sign_until_this_one_has_written",
    "dewpoint_audits_selected_total": _AUDIT,
    "dewpoint_audits_sent_total": _AUDIT,
    "dewpoint_audits_dropped_total": f"{_EDGE}/observe/test_audit.py::"
    "test_what_waits_in_hand_is_bounded_and_each_drop_is_counted",
    "dewpoint_audit_energy_joules_total": _AUDIT,
    "dewpoint_control_uncalibrated_seconds_total": f"{_EDGE}/exits/test_control.py::"
    "test_only_time_beside_the_calibrated_part_is_counted",
    "dewpoint_control_set_points_total": f"{_EDGE}/exits/test_control.py::"
    "test_what_cannot_be_followed_is_refused_counted_and_leaves_control_as_it_was",
    "dewpoint_trace_spans_total": _TRACED,
    "dewpoint_cloud_entries_read_total": _ANSWERED,
    "dewpoint_cloud_answered_total": _ANSWERED,
    "dewpoint_cloud_answers_lost_total": f"{_CLOUD}/test_worker_faults.py::"
    "test_an_answer_that_another_worker_gave_is_counted_as_lost",
    "dewpoint_cloud_redelivered_total": f"{_CLOUD}/test_worker_leases.py::"
    "test_a_killed_workers_entries_are_run_alone_and_answered",
    "dewpoint_cloud_dead_lettered_total": f"{_CLOUD}/test_worker.py::"
    "test_features_that_are_no_features_are_not_run_again",
    "dewpoint_cloud_dead_letters_forgotten_total": f"{_CLOUD}/test_worker.py::"
    "test_dead_letters_beyond_the_limit_are_counted",
    "dewpoint_cloud_drops_total": f"{_CLOUD}/test_worker.py::"
    "test_malformed_entries_go_to_the_dead_letters_and_are_answered_where_the_head_can_be_read",
    "dewpoint_cloud_locked_total": f"{_CLOUD}/test_encrypted.py::test_a_key_that_is_added_is_used_without_a_restart",
    "dewpoint_cloud_leases_renewed_total": f"{_CLOUD}/test_worker_leases.py::"
    "test_leases_are_renewed_while_a_batch_runs",
    "dewpoint_cloud_energy_joules_total": _ANSWERED,
    "dewpoint_cloud_audited_total": _AUDITED,
    "dewpoint_cloud_disagreed_total": _AUDITED,
    "dewpoint_cloud_audit_drops_total": f"{_CLOUD}/test_audit.py::test_encrypted_audits_are_read_with_the_key",
    "dewpoint_cloud_audit_energy_joules_total": _AUDITED,
    "dewpoint_cloud_what_if_weight_total": _WHAT_IF,
    "dewpoint_cloud_what_if_left_weight_total": _WHAT_IF,
    "dewpoint_cloud_what_if_agreed_weight_total": _WHAT_IF,
    "dewpoint_cloud_trace_spans_total": _TRACED,
}


@contextmanager
def moved_counters() -> Iterator[set[str]]:
    """The names of all counters that rise while the block runs, in this process."""
    moved: set[str] = set()
    real = Counter.inc

    def inc(counter: Counter, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        real(counter, amount, exemplar)
        if amount > 0:
            moved.add(f"{counter._name}_total")

    Counter.inc = inc  # type: ignore[method-assign, assignment]
    try:
        yield moved
    finally:
        Counter.inc = real  # type: ignore[method-assign]


def must_move(test_id: str) -> set[str]:
    """The counters that a test moves; `test_id` may name its parameters."""
    return {counter for counter, test in MOVED_BY.items() if test == test_id.partition("[")[0]}
