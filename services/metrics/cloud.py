"""The metrics of a cloud worker."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.metrics.process import BATCH, LATENCY_S, WORK_S, ProcessMetrics

__all__ = ["CloudMetrics"]


class CloudMetrics(ProcessMetrics):
    """What a cloud worker counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.batch_size = histogram("cloud_batch_size", "Samples computed together in the cloud.", buckets=BATCH)
        self.batch_s = histogram("cloud_batch_seconds", "Duration of one forward pass in the cloud.", buckets=WORK_S)
        self.entries_read = counter("cloud_entries_read", "Escalations read from the stream, by network.", "network")
        self.answered = counter(
            "cloud_answered",
            "Escalations answered, by network and outcome: label, error, unconfirmed (the connection broke while the"
            " answer was sent, and its entry was gone afterwards).",
            "network",
            "outcome",
        )
        self.answers_lost = counter(
            "cloud_answers_lost", "Answers not sent because the entry had gone to another worker, or Redis had lost it."
        )
        self.redelivered = counter("cloud_redelivered", "Escalations taken over after a lease ran out.")
        self.dead_lettered = counter(
            "cloud_dead_lettered", "Escalations moved to the dead letters, by reason.", "reason"
        )
        self.dead_letters_forgotten = counter(
            "cloud_dead_letters_forgotten",
            "Dead letters removed because there were too many, or too many bytes of them, the oldest first.",
        )
        self.drops = counter("cloud_drops", "Entries that could not be decoded or answered, by reason.", "reason")
        self.locked = counter(
            "cloud_locked",
            "Entries passed over because this worker lacks the key that their features are encrypted under.",
        )
        self.leases_renewed = counter("cloud_leases_renewed", "Leases renewed while a batch was running.")
        self.wait_s = histogram(
            "cloud_wait_seconds", "From an escalation's entry into the stream to its answer.", buckets=LATENCY_S
        )
        self.energy_j = counter("cloud_energy_joules", "Estimated computing energy spent in the cloud (mac view).")
        self.queue_depth = gauge("cloud_queue_depth", "Escalations in the stream, by network.", "network")
        self.queue_oldest_age_s = gauge(
            "cloud_queue_oldest_age_seconds", "Age of the oldest escalation in the stream, by network.", "network"
        )
        self.dead_letters = gauge("cloud_dead_letters", "Dead letters that lie in the stream, by network.", "network")
        self.dead_letters_bytes = gauge(
            "cloud_dead_letters_bytes", "Bytes of the dead letters that lie in the stream, by network.", "network"
        )
        self.redis_reachable = gauge("cloud_redis_reachable", "Whether Redis answered the last call (1) or not (0).")
        self.networks = gauge("cloud_networks", "Networks that this worker serves.")
        self.network_info = gauge(
            "cloud_network_info",
            "A network that this worker serves, always 1: the name of its bundle, and in which precision it computes"
            ' (fp32, bf16; "" where that is not known).',
            "network",
            "bundle",
            "precision",
        )
        self.bundle_failing = gauge(
            "cloud_bundle_failing",
            "Whether the bundle of a network that an edge uses could not be loaded at the last try (1) or could (0).",
            "network",
        )
        # Audit
        audited = ("network", "site", "device", "exit")
        self.audited = counter("cloud_audited", "Audited samples, by the exit at which they left.", *audited)
        self.disagreed = counter(
            "cloud_disagreed", "Audited samples whose class at that exit is not the cloud's.", *audited
        )
        self.audit_drops = counter("cloud_audit_drops", "Audits that could not be made use of, by reason.", "reason")
        self.audit_energy_j = counter(
            "cloud_audit_energy_joules", "Estimated computing energy spent in the cloud for audits (mac view)."
        )
        self.audit_queue_depth = gauge("cloud_audit_queue_depth", "Audits in the stream, by network.", "network")
        self.what_if_weight = counter(
            "cloud_what_if_weight",
            "Samples that the answered (1 each) and the audited ones (1/share each) stand for.",
            "network",
        )
        self.what_if_left_weight = counter(
            "cloud_what_if_left_weight",
            "Of these, how many would leave at the edge at a point of the bundle's path.",
            "network",
            "point",
        )
        self.what_if_agreed_weight = counter(
            "cloud_what_if_agreed_weight",
            "Of those that would leave at a point, how many have the cloud's class.",
            "network",
            "point",
        )
        # Traces
        self.trace_spans = counter(
            "cloud_trace_spans", "Spans of traces, by what became of them: sent, failed, dropped.", "outcome"
        )
