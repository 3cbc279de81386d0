"""Final labels of hard samples: by the cloud's answer, or by the edge's own where that does not come."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from services.edge.exits import ExitControl
from services.edge.journal import Journal
from services.edge.journal.records import Key, Network, WaitingRow
from services.edge.publish.labels import Settlement, cloud_final, edge_final
from services.edge.publish.outbox import Outbox
from services.edge.repeats import KnownAnswers
from services.messages import Label, Reply
from services.metrics import DeviceNames, EdgeMetrics, observe
from services.traces import EdgeTraces

__all__ = ["Finals"]


class Finals:
    """Turns waiting rows final, publishes and counts them. Safe from any thread: a row is finalised once.

    Args:
        journal: The rows.
        outbox: Publishes the labels.
        exits: By network id, who hears how long a sample took; rows of a network that is not among them (the bundle
            was changed) are told to the first.
        answers: By network id, what the cloud has answered of each device: told of every hard sample's end.
        metrics: Counts them.
        devices: Names of devices in metrics.
        traces: Records them.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        outbox: Outbox,
        exits: Mapping[str, ExitControl],
        answers: Mapping[str, KnownAnswers],
        metrics: EdgeMetrics,
        devices: DeviceNames,
        traces: EdgeTraces,
    ) -> None:
        self._journal, self._outbox, self._exits, self._traces = journal, outbox, exits, traces
        self._answers = answers
        self._metrics, self._devices = metrics, devices
        self._networks = journal.networks.all()
        self._latency_s = metrics.label_latency_s.labels(path="cloud")

    def network(self, network_id: str) -> Network | None:
        """What is remembered of a network."""
        return self._networks.get(network_id)

    def settle(self, rows: Sequence[WaitingRow], reason: Settlement) -> int:
        """Make the edge's own labels final. Returns how many rows were still waiting."""
        return self._finalise([(row, edge_final(Label.decode(row.label), reason)) for row in rows])

    def settle_keys(self, keys: Iterable[Key], reason: Settlement) -> int:
        """As `settle`, for those of `keys` whose row is waiting."""
        return self.settle(list(self._journal.waiting_rows(keys).values()), reason)

    def answer(self, answers: Sequence[tuple[WaitingRow, Reply]]) -> int:
        """Finalise by replies: the cloud's class, or the edge's label (`failed`) where the reply is an error or absurd.

        Returns how many rows were still waiting.
        """
        return self._finalise([(row, self._by_reply(row, reply)) for row, reply in answers])

    def _by_reply(self, row: WaitingRow, reply: Reply) -> Label:
        edge, network = Label.decode(row.label), self._networks.get(row.network)
        if network is None or reply.class_index is None or reply.class_index >= len(network.classes):
            return edge_final(edge, "failed")
        return cloud_final(edge, reply, network)

    def _finalise(self, labels: Sequence[tuple[WaitingRow, Label]]) -> int:
        spans = self._traces.finals((row.escalation, label) for row, label in labels)
        changed = self._outbox.finalise([(row.key, label.encode()) for row, label in labels])
        spans.finalised(changed)
        for (row, label), was_waiting in zip(labels, changed, strict=True):
            if not was_waiting:
                continue
            # Monotonic or unknown: a clock that jumps must not move the exits.
            latency_s = None if row.arrived_s is None else time.monotonic() - row.arrived_s
            exits = self._exits.get(row.network) or next(iter(self._exits.values()))
            exits.finalised(latency_s, by_cloud=label.exit == "cloud")
            if row.network in self._answers:
                class_index = label.class_index if label.exit == "cloud" else None
                self._answers[row.network].settled(row.key, class_index, label.confidence, label.top)
            device = self._devices(row.key[0])
            self._metrics.exits.labels(device=device, exit=str(label.exit), reason=label.reason).inc()
            if label.exit == "cloud":
                since_receipt_s = max(0.0, time.time() - row.received_at) if latency_s is None else latency_s
                observe(self._latency_s, since_receipt_s, spans.trace_id(row.key))
                if label.corrected:
                    self._metrics.corrections.labels(device=device).inc()
        return sum(changed)
