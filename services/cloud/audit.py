"""Audits: confident samples that the cloud checks when it has nothing else to do. Counted, and never answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from prometheus_client import Counter

from hybrid_model.monitoring import WhatIfPath
from services.cloud.batch import Job, JobReader, Locked, Unreadable, halves, infer
from services.cloud.leases import LeaseKeeper
from services.cloud.networks import Network, Networks
from services.common.logs import SparseLog
from services.feature_stream import Answer, CloudFeatures, Delivery, StreamUnavailableError
from services.messages import Escalation
from services.metrics import OTHER_DEVICE, CloudMetrics, DeviceNames

__all__ = ["Auditor"]

#: Audits taken at once: so few that a hard sample that comes meanwhile does not wait for long.
BATCH_MAX: Final = 8
#: Sites that get series of their own; the others share one.
_SITES_MAX: Final = 64


class Auditor:
    """Takes audits out of their streams, at most once, and compares the exit's class with the cloud half's.

    Nothing that goes wrong with an audit leaves this class.

    Args:
        features: The streams.
        networks: The bundles.
        keeper: Bounds a forward.
        metrics: What is counted.
        reader: Decodes audits; one that it cannot read, or lacks the key of, is dropped.
        devices_max: Devices that get series of their own.
    """

    def __init__(
        self,
        *,
        features: CloudFeatures,
        networks: Networks,
        keeper: LeaseKeeper,
        metrics: CloudMetrics,
        reader: JobReader,
        devices_max: int,
    ) -> None:
        self._features, self._networks, self._keeper, self._metrics = features, networks, keeper, metrics
        self._reader = reader
        self._what_if = _WhatIf(metrics)
        self._sites, self._devices = DeviceNames(_SITES_MAX), DeviceNames(devices_max)
        self._log = SparseLog("cloud")
        self._waiting = False
        self._next = 0

    @property
    def waiting(self) -> bool:
        """Whether audits lie in a stream, as far as known."""
        return self._waiting

    def look(self, network_ids: Iterable[str]) -> None:
        """See how many lie there, and show it. Raises StreamUnavailableError, but not where this user may not look."""
        for network_id in network_ids:
            depth = self._features.audits(network_id)
            self._metrics.audit_queue_depth.labels(network=network_id).set(depth)
            self._waiting = self._waiting or depth > 0

    def turn(self) -> None:
        """Check one small batch, of the next stream that has any."""
        try:
            self._waiting = self._check_next()
        except StreamUnavailableError as error:  # if it is away, whoever reads hard samples notices
            self._waiting = False
            self._log.warning("audits_not_taken", error=str(error))
        except Exception as error:  # statistics must stop no worker
            self._failed(error)

    def _check_next(self) -> bool:
        streams = self._features.streams
        for offset in range(len(streams)):
            stream = streams[(self._next + offset) % len(streams)]
            network = self._networks.get(stream.network_id)
            taken = [] if network is None else self._features.take_audits(stream, BATCH_MAX)
            if network is not None and taken:
                self._next += offset + 1
                jobs = [job for job in (self._readable(network, delivery) for delivery in taken) if job is not None]
                if jobs:
                    self._run(network, jobs)
                return True
        return False

    def answered(self, network: Network, jobs: Sequence[Job], answers: Sequence[Answer]) -> None:
        """Hard samples were answered: they count in the what-if curve."""
        try:
            classes = _classes(answers)
            answered = [(job.escalation, classes.get(id(job.delivery))) for job in jobs]
            pairs = [(sample, class_index) for sample, class_index in answered if class_index is not None]
            self._what_if.add(network, [sample for sample, _ in pairs], [class_index for _, class_index in pairs])
        except Exception as error:  # as above
            self._failed(error)

    def _readable(self, network: Network, delivery: Delivery) -> Job | None:
        job = self._reader.read(delivery, network)
        if isinstance(job, Unreadable):
            self._drop(job.reason, job.detail)
        elif isinstance(job, Locked):
            self._drop("locked", f"no key {str(job.escalation.key)[:64]} in cloud.features_key_file")
        elif job.escalation.audit is None:
            self._drop("no_audit", "an escalation in the audit stream")
        elif job.escalation.audit.exit >= min(len(job.escalation.exits), len(network.manifest.exits)):
            self._drop("bad_exit", f"exit {job.escalation.audit.exit}")
        else:
            return job
        return None

    def _run(self, network: Network, jobs: Sequence[Job]) -> None:
        """Run a batch; one that breaks is halved until what breaks it is alone."""
        with self._keeper.forward():
            answers, broken = infer(network, jobs)
        self._metrics.audit_energy_j.inc(network.energy_j * len(jobs))
        self._count(network, jobs, answers)
        if broken is not None and len(broken.jobs) > 1:
            for half in halves(broken.jobs):
                self._run(network, half)
        elif broken is not None:
            self._drop("broken", broken.error)

    def _count(self, network: Network, jobs: Sequence[Job], answers: Sequence[Answer]) -> None:
        classes = _classes(answers)
        for job in jobs:
            sample, class_index = job.escalation, classes.get(id(job.delivery))
            if class_index is None or sample.audit is None:
                continue
            labels = (network.network_id, *self._names(sample), str(sample.audit.exit))
            disagreed = self._metrics.disagreed.labels(*labels)  # its series is there, at 0, as soon as the other
            self._metrics.audited.labels(*labels).inc()
            if sample.exits[sample.audit.exit][0] != class_index:
                disagreed.inc()
        self.answered(network, jobs, answers)

    def _names(self, sample: Escalation) -> tuple[str, str]:
        """Site and device as labels: both were made up elsewhere, so both are bounded."""
        site, own = self._sites(sample.site), f"{sample.site}/{sample.device}"
        return site, sample.device if self._devices(own) == own else OTHER_DEVICE

    def _drop(self, reason: str, detail: str) -> None:
        self._metrics.audit_drops.labels(reason=reason).inc()
        self._log.warning("audit_dropped", reason=reason, detail=detail)

    def _failed(self, error: Exception) -> None:
        self._drop("failed", f"{type(error).__name__}: {error}")


class _WhatIf:
    """What answered and audited samples tell of other thresholds: weights along each bundle's calibrated path.

    A network without such a path has no counters.
    """

    def __init__(self, metrics: CloudMetrics) -> None:
        self._metrics = metrics
        self._paths: dict[str, _Path | None] = {}

    def add(self, network: Network, samples: Sequence[Escalation], classes: Sequence[int]) -> None:
        """Samples with the cloud's class of each. An audited one stands for 1 / share samples, any other for itself."""
        if network.network_id not in self._paths:
            self._paths[network.network_id] = _Path.of(network, self._metrics)
        path = self._paths[network.network_id]
        if path is not None and samples:
            path.add(samples, classes)


class _Path:
    def __init__(self, path: WhatIfPath, network_id: str, metrics: CloudMetrics) -> None:
        def by_point(counter: Counter) -> list[Counter]:
            return [counter.labels(network=network_id, point=str(point)) for point in path.points]

        self._path = path
        self._total = metrics.what_if_weight.labels(network=network_id)
        self._left, self._agreed = by_point(metrics.what_if_left_weight), by_point(metrics.what_if_agreed_weight)

    @classmethod
    def of(cls, network: Network, metrics: CloudMetrics) -> _Path | None:
        calibration = network.manifest.calibration
        return None if calibration is None else cls(WhatIfPath(calibration), network.network_id, metrics)

    def add(self, samples: Sequence[Escalation], classes: Sequence[int]) -> None:
        shape = len(samples), self._path.exits
        scores, exit_classes = np.full(shape, np.nan), np.full(shape, -1)
        for row, sample in enumerate(samples):
            if sample.guarded:  # it rises wherever the exits stand: as without a score
                continue
            for column, (class_index, score) in enumerate(sample.exits[: shape[1]]):
                scores[row, column], exit_classes[row, column] = score, class_index
        weights = np.array([1.0 if sample.audit is None else 1.0 / sample.audit.share for sample in samples])
        weighed = self._path.weigh(scores, exit_classes, np.asarray(classes), weights)
        self._total.inc(weighed.total)
        for counters, amounts in ((self._left, weighed.left), (self._agreed, weighed.agreed)):
            for position in np.flatnonzero(amounts):
                counters[position].inc(float(amounts[position]))


def _classes(answers: Sequence[Answer]) -> dict[int, int | None]:
    """The class of each answer, by its delivery: two partitions may well have entries of one id."""
    return {id(answer.delivery): answer.reply.class_index for answer in answers}
