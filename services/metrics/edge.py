"""The metrics of an edge worker."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.metrics.process import BATCH, LATENCY_S, WORK_S, ProcessMetrics

__all__ = ["EdgeMetrics"]

_CONFIDENCE = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
_BYTES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class EdgeMetrics(ProcessMetrics):
    """What an edge worker counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        # What decides
        self.network_info = gauge(
            "network_info", "A network that this worker runs, always 1: the name of its bundle.", "network", "bundle"
        )
        # What comes in
        self.messages_received = counter("messages_received", "MQTT messages received, by input topic.", "input")
        self.payload_bytes = counter("payload_bytes", "Bytes of MQTT payloads received, by input topic.", "input")
        self.samples_received = counter("samples_received", "Whole samples received and decoded, by device.", "device")
        self.samples_redelivered = counter(
            "samples_redelivered", "Samples and readings that were known already, by the state they were in.", "state"
        )
        self.messages_acknowledged = counter("messages_acknowledged", "MQTT messages acknowledged to the broker.")
        self.acknowledgements_discarded = counter(
            "acknowledgements_discarded", "Acknowledgements not sent because their connection was gone."
        )
        self.drops = counter(
            "drops", "Messages refused, rejected or dropped, and labels not sent, by reason.", "reason"
        )
        self.window_tails = counter("window_tails", "Windows begun and never filled, by what cut them off.", "cause")
        self.window_devices_evicted = counter(
            "window_devices_evicted",
            "Devices whose readings were forgotten because there were too many, those silent the longest first.",
        )
        self.window_marks_evicted = counter(
            "window_marks_evicted",
            "Messages of readings that are no longer known if they come again, for want of space.",
        )
        self.window_epochs = counter("window_epochs", "Times a device's readings began anew.", "device")
        self.last_seen_time = gauge(
            "last_seen_timestamp_seconds",
            "When a device was last heard of, epoch seconds; of `other`, when any of those devices was.",
            "device",
        )
        self.inbox_length = gauge("inbox_length", "Messages received and not handled yet.")
        self.deadline_s = gauge(
            "deadline_seconds",
            "How long a hard sample may wait for the cloud, by input topic; no series where it may for ever.",
            "input",
        )
        # What is decided
        self.exits = counter(
            "exits", "Final labels, by device, exit (0.. or cloud) and reason.", "device", "exit", "reason"
        )
        self.samples_out_of_domain = counter(
            "samples_out_of_domain",
            "Samples that the guard takes for none of the network's domain, by device: where it is on, none of them"
            " leaves.",
            "device",
        )
        self.confidence = histogram(
            "confidence",
            "Greatest probability of the edge's own answer, at the exit where the sample left, else at the last exit.",
            "device",
            buckets=_CONFIDENCE,
        )
        self.provisionals = counter("provisionals", "Provisional labels decided, by device.", "device")
        self.corrections = counter("corrections", "Final labels that differ from the edge's own, by device.", "device")
        self.escalations = counter(
            "escalations", "Hard samples sent up, again or for the first time.", "device", "again"
        )
        self.feature_bytes = counter("feature_bytes", "Bytes of features sent up.", "device")
        self.feature_bytes_size = histogram(
            "feature_size_bytes", "Bytes of features of one hard sample.", buckets=_BYTES
        )
        self.energy_j = counter(
            "energy_joules",
            "Estimated computing energy spent on the edge (mac view), by stage: 0.. (each exit's), cut.",
            "stage",
        )
        self.energy_baseline_j = counter(
            "energy_baseline_joules",
            "Estimated energy the network's full-precision twin would have spent on the same samples (mac view).",
        )
        self.label_latency_s = histogram(
            "label_latency_seconds",
            "From receipt of a sample to the commit of its label, by path: edge, provisional, cloud. Monotonic; by the"
            " clock for samples that an earlier process received.",
            "path",
            buckets=LATENCY_S,
        )
        self.batch_size = histogram("edge_batch_size", "Samples computed together on the edge.", buckets=BATCH)
        self.batch_s = histogram("edge_batch_seconds", "Duration of a step of an edge batch.", "step", buckets=WORK_S)
        self.exit_threshold = gauge("exit_threshold", "Present threshold of an exit, by network.", "network", "exit")
        # What goes out
        self.labels_published = counter(
            "labels_published", "Labels that the broker has acknowledged, for subscribers to get, by status.", "status"
        )
        self.labels_without_subscriber = counter(
            "labels_without_subscriber",
            "Labels that the broker has acknowledged and given to nobody, by status; MQTT 5 alone tells.",
            "status",
        )
        self.home_assistant_messages = counter(
            "home_assistant_messages",
            "Messages that tell Home Assistant of a device, by outcome: announced, withdrawn, refused (sent again).",
            "outcome",
        )
        self.home_assistant_labels_beyond = counter(
            "home_assistant_labels_beyond",
            "Labels of devices that Home Assistant is not told of, because there are too many.",
        )
        self.publishes_in_flight = gauge("publishes_in_flight", "Labels sent and not acknowledged yet.")
        self.journal_rows = gauge("journal_rows", "Rows of the journal, by state.", "state")
        self.journal_done_evicted = counter(
            "journal_done_evicted", "Finished rows forgotten before their time, for want of space."
        )
        self.journal_bytes = gauge("journal_bytes", "Size of the journal's files that is in use.")
        self.journal_bytes_max = gauge("journal_bytes_max", "Size of the journal's files that the settings allow.")
        self.journal_waiting_ratio = gauge(
            "journal_waiting_ratio",
            "Hard samples that await the cloud against the bound of their number or bytes, whichever is nearer; from 1"
            " on the surest keep the edge's label.",
        )
        self.storage_failing = gauge(
            "storage_failing", "Whether the journal cannot be written, and samples are held back (1), or can (0)."
        )
        self.lone_runs = counter(
            "lone_runs", "Messages run alone, because they were in hand when the worker's process ended uncleanly."
        )
        self.replies_received = counter(
            "replies_received", "Replies read, by outcome: finalised, late, unknown, failed, malformed.", "outcome"
        )
        # Connections and the queue
        self.mqtt_connected = gauge("mqtt_connected", "Whether the MQTT broker is connected (1) or not (0).")
        self.mqtt_connections = counter("mqtt_connections", "MQTT connections opened.")
        self.redis_reachable = gauge(
            "redis_reachable", "Whether Redis took the last call (1), or did not answer or refused it (0)."
        )
        self.mqtt_session_taken_over = counter(
            "mqtt_session_taken_over",
            "MQTT connections that another client under this worker's name took from it, as far as can be told.",
        )
        self.queue_depth = gauge(
            "queue_depth", "Escalations in the feature stream of a network, of all sites.", "network"
        )
        self.queue_oldest_age_s = gauge(
            "queue_oldest_age_seconds", "Age of the oldest escalation in the stream of a network.", "network"
        )
        # Audit and drift
        self.audits_selected = counter(
            "audits_selected",
            "Confident samples chosen at random to be audited, by network, device and the exit at which they left.",
            "network",
            "device",
            "exit",
        )
        self.audits_sent = counter("audits_sent", "Audits that entered the audit stream.")
        self.audits_dropped = counter(
            "audits_dropped",
            "Audits that were chosen and not sent, by reason: redis_away, queue_full (hard samples are being shed),"
            " stream_full, too_many in hand, failed, stopped.",
            "reason",
        )
        self.audit_energy_j = counter(
            "audit_energy_joules", "Estimated computing energy spent on the edge for audits alone (mac view)."
        )
        self.drift_psi = gauge(
            "drift_psi",
            "Population stability index of a device's latest first-exit scores against the calibration split's.",
            "device",
        )
        self.drift_psi_threshold = gauge(
            "drift_psi_threshold",
            "What the index stays below where nothing has changed, but once in 10,000 looks.",
            "device",
        )
        self.drift_samples = gauge("drift_samples", "Scores that the index is of; there is none below 200.", "device")
        # Control
        self.control_position = gauge(
            "control_position",
            "Position of the exits on the bundle's calibrated path: 0 (all samples rise) to its last; NaN beside it.",
            "network",
        )
        self.control_target = gauge(
            "control_target", "The budget that is kept, in its own unit, by network and name.", "network", "budget"
        )
        self.control_measured = gauge(
            "control_measured",
            "What the budget's quantity was over the last 10 s, in its own unit, by network and name.",
            "network",
            "budget",
        )
        self.control_calibrated = gauge(
            "control_calibrated",
            "Whether the exits stand where the bundle passed calibration (1) or not (0).",
            "network",
        )
        self.control_saturated = gauge(
            "control_saturated",
            "Whether the exits stand at their limit and the budget is not kept (1), or not (0).",
            "network",
        )
        self.control_budget_factor = gauge(
            "control_budget_factor",
            "What is left of the budget while the cloud is overloaded: 1 all, 0 nothing.",
            "network",
        )
        self.control_uncalibrated_s = counter(
            "control_uncalibrated_seconds",
            "Seconds in which the exits stood where the bundle did not pass calibration.",
            "network",
        )
        self.control_set_points = counter(
            "control_set_points",
            "Set-points that came by MQTT, by network and outcome: accepted, refused.",
            "network",
            "outcome",
        )
        # Traces
        self.trace_spans = counter(
            "trace_spans", "Spans of traces, by what became of them: sent, failed, dropped.", "outcome"
        )
