"""An example query for every metric, for docs/reference/metrics.md. `[1m]` is a window of a few scrapes."""

QUERIES = {
    "dewpoint_network_info": "count by (bundle) (dewpoint_network_info)",
    "dewpoint_worker_info": "count by (role, version) (dewpoint_worker_info)",
    "dewpoint_messages_received_total": "sum by (input) (rate(dewpoint_messages_received_total[1m]))",
    "dewpoint_payload_bytes_total": (
        "1 - sum(rate(dewpoint_feature_bytes_total[5m])) / sum(rate(dewpoint_payload_bytes_total[5m]))"
    ),
    "dewpoint_samples_received_total": "sum by (device) (rate(dewpoint_samples_received_total[1m]))",
    "dewpoint_samples_redelivered_total": "sum by (state) (increase(dewpoint_samples_redelivered_total[1h]))",
    "dewpoint_messages_acknowledged_total": "sum(rate(dewpoint_messages_acknowledged_total[1m]))",
    "dewpoint_acknowledgements_discarded_total": "increase(dewpoint_acknowledgements_discarded_total[1h])",
    "dewpoint_drops_total": "sum by (reason) (rate(dewpoint_drops_total[5m]))",
    "dewpoint_window_tails_total": "sum by (cause) (increase(dewpoint_window_tails_total[1h]))",
    "dewpoint_window_devices_evicted_total": "sum(increase(dewpoint_window_devices_evicted_total[1h])) > 0",
    "dewpoint_window_marks_evicted_total": "sum(increase(dewpoint_window_marks_evicted_total[1h]))",
    "dewpoint_window_epochs_total": "sum by (device) (increase(dewpoint_window_epochs_total[1h]))",
    "dewpoint_last_seen_timestamp_seconds": "time() - dewpoint_last_seen_timestamp_seconds > 60",
    "dewpoint_deadline_seconds": (
        "dewpoint_queue_oldest_age_seconds > on (instance) group_left () min by (instance) (dewpoint_deadline_seconds)"
    ),
    "dewpoint_inbox_length": "max_over_time(dewpoint_inbox_length[5m])",
    "dewpoint_exits_total": (
        'sum(rate(dewpoint_exits_total{reason="confident"}[1m])) / sum(rate(dewpoint_exits_total[1m]))'
    ),
    "dewpoint_samples_out_of_domain_total": (
        "sum by (device) (rate(dewpoint_samples_out_of_domain_total[15m]))"
        " / sum by (device) (rate(dewpoint_samples_received_total[15m]))"
    ),
    "dewpoint_confidence": (
        "sum by (device) (rate(dewpoint_confidence_sum[1m])) / sum by (device) (rate(dewpoint_confidence_count[1m]))"
    ),
    "dewpoint_provisionals_total": "sum by (device) (rate(dewpoint_provisionals_total[1m]))",
    "dewpoint_corrections_total": (
        "sum by (device) (rate(dewpoint_corrections_total[5m]))"
        ' / sum by (device) (rate(dewpoint_exits_total{exit="cloud"}[5m]))'
    ),
    "dewpoint_escalations_total": "sum by (again) (rate(dewpoint_escalations_total[1m]))",
    "dewpoint_feature_bytes_total": "sum(rate(dewpoint_feature_bytes_total[1m]))",
    "dewpoint_feature_size_bytes": (
        "sum(rate(dewpoint_feature_size_bytes_sum[1m])) / sum(rate(dewpoint_feature_size_bytes_count[1m]))"
    ),
    "dewpoint_energy_joules_total": ('sum by (stage) (rate(dewpoint_energy_joules_total{stage!="cloud"}[1m]))'),
    "dewpoint_energy_baseline_joules_total": (
        '1 - (sum(rate(dewpoint_energy_joules_total{stage!="cloud"}[1m]))'
        " + sum(rate(dewpoint_cloud_energy_joules_total[1m])))"
        " / sum(rate(dewpoint_energy_baseline_joules_total[1m]))"
    ),
    "dewpoint_label_latency_seconds": (
        "histogram_quantile(0.99, sum by (le, path) (rate(dewpoint_label_latency_seconds_bucket[1m])))"
    ),
    "dewpoint_edge_batch_size": (
        "sum(rate(dewpoint_edge_batch_size_sum[1m])) / sum(rate(dewpoint_edge_batch_size_count[1m]))"
    ),
    "dewpoint_edge_batch_seconds": (
        "histogram_quantile(0.9, sum by (le, step) (rate(dewpoint_edge_batch_seconds_bucket[1m])))"
    ),
    "dewpoint_exit_threshold": "dewpoint_exit_threshold",
    "dewpoint_labels_published_total": "sum by (status) (rate(dewpoint_labels_published_total[1m]))",
    "dewpoint_home_assistant_messages_total": (
        "sum by (outcome) (increase(dewpoint_home_assistant_messages_total[1h]))"
    ),
    "dewpoint_home_assistant_labels_beyond_total": "rate(dewpoint_home_assistant_labels_beyond_total[5m]) > 0",
    "dewpoint_labels_without_subscriber_total": (
        "sum by (instance) (increase(dewpoint_labels_without_subscriber_total[5m])) > 0"
    ),
    "dewpoint_publishes_in_flight": "max_over_time(dewpoint_publishes_in_flight[5m])",
    "dewpoint_journal_rows": 'sum(dewpoint_journal_rows{state="waiting"})',
    "dewpoint_journal_done_evicted_total": "increase(dewpoint_journal_done_evicted_total[1d]) > 0",
    "dewpoint_journal_bytes": "max_over_time(dewpoint_journal_bytes[1h])",
    "dewpoint_journal_bytes_max": "dewpoint_journal_bytes / dewpoint_journal_bytes_max",
    "dewpoint_journal_waiting_ratio": "dewpoint_journal_waiting_ratio > 0.8",
    "dewpoint_storage_failing": "dewpoint_storage_failing == 1",
    "dewpoint_lone_runs_total": "increase(dewpoint_lone_runs_total[1h]) > 0",
    "dewpoint_replies_received_total": "sum by (outcome) (rate(dewpoint_replies_received_total[1m]))",
    "dewpoint_mqtt_connected": "dewpoint_mqtt_connected == 0",
    "dewpoint_mqtt_connections_total": "increase(dewpoint_mqtt_connections_total[1h])",
    "dewpoint_mqtt_session_taken_over_total": "increase(dewpoint_mqtt_session_taken_over_total[5m]) > 0",
    "dewpoint_redis_reachable": "dewpoint_redis_reachable == 0",
    "dewpoint_queue_depth": "max(dewpoint_queue_depth)",
    "dewpoint_queue_oldest_age_seconds": "max(dewpoint_queue_oldest_age_seconds)",
    "dewpoint_cloud_batch_size": (
        "sum(rate(dewpoint_cloud_batch_size_sum[1m])) / sum(rate(dewpoint_cloud_batch_size_count[1m]))"
    ),
    "dewpoint_cloud_batch_seconds": (
        "histogram_quantile(0.99, sum by (le) (rate(dewpoint_cloud_batch_seconds_bucket[1m])))"
    ),
    "dewpoint_cloud_entries_read_total": "sum by (network) (rate(dewpoint_cloud_entries_read_total[1m]))",
    "dewpoint_cloud_answered_total": "sum by (network, outcome) (rate(dewpoint_cloud_answered_total[1m]))",
    "dewpoint_cloud_answers_lost_total": "sum(increase(dewpoint_cloud_answers_lost_total[1h]))",
    "dewpoint_cloud_redelivered_total": "sum(increase(dewpoint_cloud_redelivered_total[1h]))",
    "dewpoint_cloud_dead_lettered_total": "sum by (reason) (increase(dewpoint_cloud_dead_lettered_total[1h]))",
    "dewpoint_cloud_dead_letters_forgotten_total": "increase(dewpoint_cloud_dead_letters_forgotten_total[1d]) > 0",
    "dewpoint_cloud_drops_total": "sum by (reason) (rate(dewpoint_cloud_drops_total[5m]))",
    "dewpoint_cloud_locked_total": "sum(rate(dewpoint_cloud_locked_total[5m]))",
    "dewpoint_cloud_leases_renewed_total": "sum(rate(dewpoint_cloud_leases_renewed_total[1m]))",
    "dewpoint_cloud_wait_seconds": (
        "histogram_quantile(0.99, sum by (le) (rate(dewpoint_cloud_wait_seconds_bucket[1m])))"
    ),
    "dewpoint_cloud_energy_joules_total": "sum(rate(dewpoint_cloud_energy_joules_total[1m]))",
    "dewpoint_cloud_queue_depth": "max by (network) (dewpoint_cloud_queue_depth)",
    "dewpoint_cloud_queue_oldest_age_seconds": "max by (network) (dewpoint_cloud_queue_oldest_age_seconds)",
    "dewpoint_cloud_dead_letters": "max by (network) (dewpoint_cloud_dead_letters) > 0",
    "dewpoint_cloud_dead_letters_bytes": "max by (network) (dewpoint_cloud_dead_letters_bytes) > 48e6",
    "dewpoint_cloud_redis_reachable": "sum(dewpoint_cloud_redis_reachable)",
    "dewpoint_cloud_networks": "dewpoint_cloud_networks",
    "dewpoint_cloud_network_info": "count by (bundle, precision) (dewpoint_cloud_network_info)",
    "dewpoint_cloud_bundle_failing": "count by (network) (dewpoint_cloud_bundle_failing == 1)",
    "dewpoint_audits_selected_total": (
        "sum(increase(dewpoint_cloud_audited_total[1h])) / sum(increase(dewpoint_audits_selected_total[1h]))"
    ),
    "dewpoint_audits_sent_total": "sum(rate(dewpoint_audits_sent_total[5m]))",
    "dewpoint_audits_dropped_total": "sum by (reason) (increase(dewpoint_audits_dropped_total[1h]))",
    "dewpoint_audit_energy_joules_total": "sum(rate(dewpoint_audit_energy_joules_total[5m]))",
    "dewpoint_drift_psi": "dewpoint_drift_psi > dewpoint_drift_psi_threshold",
    "dewpoint_drift_psi_threshold": "dewpoint_drift_psi / dewpoint_drift_psi_threshold",
    "dewpoint_drift_samples": "dewpoint_drift_samples < 200",
    "dewpoint_cloud_audited_total": (
        "sum by (network, device, exit) (increase(dewpoint_cloud_disagreed_total[1h]))"
        " / sum by (network, device, exit) (increase(dewpoint_cloud_audited_total[1h]))"
    ),
    "dewpoint_cloud_disagreed_total": (
        "sum by (network) (increase(dewpoint_cloud_disagreed_total[1h]))"
        " / sum by (network) (increase(dewpoint_cloud_audited_total[1h]))"
    ),
    "dewpoint_cloud_audit_drops_total": "sum by (reason) (increase(dewpoint_cloud_audit_drops_total[1h]))",
    "dewpoint_cloud_audit_energy_joules_total": "sum(rate(dewpoint_cloud_audit_energy_joules_total[5m]))",
    "dewpoint_cloud_audit_queue_depth": "max by (network) (dewpoint_cloud_audit_queue_depth)",
    "dewpoint_cloud_what_if_weight_total": "sum by (network) (increase(dewpoint_cloud_what_if_weight_total[1h]))",
    "dewpoint_cloud_what_if_left_weight_total": (
        "sum by (network, point) (increase(dewpoint_cloud_what_if_left_weight_total[1h]))"
        " / on (network) group_left sum by (network) (increase(dewpoint_cloud_what_if_weight_total[1h]))"
    ),
    "dewpoint_cloud_what_if_agreed_weight_total": (
        "1 - (sum by (network, point) (increase(dewpoint_cloud_what_if_left_weight_total[1h]))"
        " - sum by (network, point) (increase(dewpoint_cloud_what_if_agreed_weight_total[1h])))"
        " / on (network) group_left sum by (network) (increase(dewpoint_cloud_what_if_weight_total[1h]))"
    ),
    "dewpoint_control_position": "dewpoint_control_position",
    "dewpoint_control_target": "dewpoint_control_measured / dewpoint_control_target > 1.1",
    "dewpoint_control_measured": 'dewpoint_control_measured{budget="escalated_share"}',
    "dewpoint_control_calibrated": "dewpoint_control_calibrated == 0",
    "dewpoint_control_saturated": "dewpoint_control_saturated == 1",
    "dewpoint_control_budget_factor": "dewpoint_control_budget_factor < 1",
    "dewpoint_control_uncalibrated_seconds_total": "rate(dewpoint_control_uncalibrated_seconds_total[1h])",
    "dewpoint_control_set_points_total": 'increase(dewpoint_control_set_points_total{outcome="refused"}[1h]) > 0',
    "dewpoint_trace_spans_total": 'rate(dewpoint_trace_spans_total{outcome!="sent"}[5m]) > 0',
    "dewpoint_cloud_trace_spans_total": "sum by (outcome) (rate(dewpoint_cloud_trace_spans_total[5m]))",
}
