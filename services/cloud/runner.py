"""Runs what was leased: answers what a network can answer, and finds the sample that breaks a batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from services.cloud.batch import Broken, Job, JobReader, Locked, Unreadable, error_answer, halves, infer
from services.cloud.leases import LeaseKeeper
from services.cloud.networks import Network
from services.common.backoff import BackOff
from services.common.logs import SparseLog
from services.feature_stream import Answer, CloudFeatures, Delivery, Missed, StreamUnavailableError
from services.messages import Escalation, EscalationHead
from services.metrics import CloudMetrics, observe
from services.traces import CloudSpans, CloudTraces

__all__ = ["BatchRunner"]

#: First and longest pause, seconds, before a call to Redis is made again: an answer should not wait for long.
_RETRY_PAUSE_S: Final = (0.05, 1.0)
#: How long, in seconds, a worker that is to stop tries: supervisors kill after 10 s.
_DRAIN_PATIENCE_S: Final = 5.0
Result = TypeVar("Result")


class BatchRunner:
    """Takes leased entries to their end: a reply, the dead letters, or back to the stream for a later run.

    Its methods raise StreamUnavailableError where Redis stays away for longer than a lease: what was in hand lapses,
    and somebody runs it again.

    Args:
        features: The streams.
        keeper: Keeps the leases, and bounds a forward.
        metrics: What is counted.
        reader: Decodes entries.
        stopping: Set when the worker is to stop: then there is less patience with a Redis that is away.
        traces: Records what becomes of samples.
        on_answered: Called with the network, the jobs of a batch, and those answers of it that were sent.
    """

    def __init__(
        self,
        *,
        features: CloudFeatures,
        keeper: LeaseKeeper,
        metrics: CloudMetrics,
        reader: JobReader,
        stopping: threading.Event,
        traces: CloudTraces,
        on_answered: Callable[[Network, Sequence[Job], Sequence[Answer]], None],
    ) -> None:
        self._features = features
        self._keeper = keeper
        self._metrics = metrics
        self._stopping = stopping
        self._reader = reader
        self._on_answered, self._traces = on_answered, traces
        self._locked_out = False
        self._log = SparseLog("cloud")

    @property
    def locked_out(self) -> bool:
        """Whether keys were lacking for what came since the last answer."""
        return self._locked_out

    def run(self, network: Network, deliveries: Iterable[Delivery]) -> None:
        """Run entries that nobody had before, together. A sample that breaks the batch takes no neighbour along."""
        jobs = [job for job in (self._readable(network, delivery) for delivery in deliveries) if job is not None]
        if jobs:
            self._run(network, jobs)

    def run_alone(self, network: Network, delivery: Delivery) -> None:
        """Run an entry that was claimed for a lone run, or bury it where its runs are used up."""
        self._metrics.redelivered.inc()
        job = self._readable(network, delivery)
        if job is None:
            return
        if delivery.exhausted:
            runs = f"{len(delivery.history)} lone runs without an answer, the last: {delivery.history[-1]}"
            self._bury(delivery, "exhausted", runs, job.escalation)
            return
        broken = self._forward(network, [job])
        if broken is not None:
            self._failed(job, broken)

    def _run(self, network: Network, jobs: Sequence[Job]) -> None:
        broken = self._forward(network, jobs)
        if broken is None:
            return
        if len(broken.jobs) > 1:
            for half in halves(broken.jobs):
                self._run(network, half)
        elif broken.hopeless:
            self._failed(broken.jobs[0], broken)
        else:
            self._run_counted(network, broken.jobs[0])

    def _run_counted(self, network: Network, job: Job) -> None:
        running, _ = self._insist(lambda: self._features.begin_lone_run(job.delivery))
        if running is None:  # the lease is lost: its new holder runs it
            return
        job = Job(running, job.escalation)
        broken = self._forward(network, [job])
        if broken is not None:
            self._failed(job, broken)

    def _forward(self, network: Network, jobs: Sequence[Job]) -> Broken | None:
        began = time.perf_counter()
        with self._traces.batch(network.network_id, (job.escalation for job in jobs)) as spans:
            with self._keeper.forward():
                answers, broken = infer(network, jobs)
            self._metrics.batch_s.observe(time.perf_counter() - began)
            self._metrics.batch_size.observe(len(jobs))
            self._metrics.energy_j.inc(network.energy_j * len(jobs))
            sent = self._send(network, answers, spans) if answers else []
        if sent:
            self._on_answered(network, jobs, sent)
        return broken

    def _send(self, network: Network, answers: Sequence[Answer], spans: CloudSpans) -> list[Answer]:
        """Send answers; returns those that were."""
        with self._keeper.settling(answer.delivery for answer in answers):
            outcomes, repeated = self._insist(lambda: self._features.answer(answers))
        sent: list[Answer] = []
        for answer, outcome in zip(answers, outcomes, strict=True):
            if isinstance(outcome, Missed):
                self._missed(outcome, network.network_id, repeated=repeated)
            else:
                sent.append(answer)
                key = (answer.reply.device, answer.reply.id)
                observe(self._metrics.wait_s, outcome, spans.answered(key, outcome))
        self._metrics.answered.labels(network=network.network_id, outcome="label").inc(len(sent))
        self._locked_out = self._locked_out and not sent
        return sent

    def _missed(self, missed: Missed, network_id: str, *, repeated: bool) -> None:
        if missed is Missed.GONE and repeated:
            self._metrics.answered.labels(network=network_id, outcome="unconfirmed").inc()
        else:
            self._metrics.answers_lost.inc()

    def _failed(self, job: Job, broken: Broken) -> None:
        delivery = job.delivery
        if broken.hopeless:
            self._bury(delivery, "wrong_features", broken.error, job.escalation)
        elif len(delivery.history) >= self._features.max_deliveries:
            self._bury(delivery, "exhausted", broken.error, job.escalation)
        else:
            pause_s = self._features.lease_s / 4
            with self._keeper.settling([delivery]):
                self._insist(lambda: self._features.give_up(delivery, broken.error, pause_s=pause_s))
            self._warn("run_failed", delivery, job.escalation, run=len(delivery.history), error=broken.error)

    def _readable(self, network: Network, delivery: Delivery) -> Job | None:
        job = self._reader.read(delivery, network)
        if isinstance(job, Job):
            return job
        if isinstance(job, Locked):
            self._pass_over(job)
        else:
            self._drop(job)
        return None

    def _pass_over(self, locked: Locked) -> None:
        """Leave an entry to a worker that has its key: nothing is wrong with it, so nothing is counted against it."""
        self._locked_out = True
        self._metrics.locked.inc()
        delivery, escalation = locked.delivery, locked.escalation
        if delivery.redelivered:
            self._insist(lambda: self._features.uncount(delivery))
        remedy = f"add the key {str(escalation.key)[:64]} to cloud.features_key_file of every cloud worker"
        self._warn("features_key_missing", delivery, escalation, edge=escalation.worker, remedy=remedy)

    def _drop(self, unreadable: Unreadable) -> None:
        self._metrics.drops.labels(reason=unreadable.reason).inc()
        error = f"{unreadable.reason}: {unreadable.detail}"
        self._bury(unreadable.delivery, unreadable.reason, error, unreadable.head)

    def _bury(self, delivery: Delivery, reason: str, error: str, head: Escalation | EscalationHead | None) -> None:
        answer = error_answer(delivery, head, error) if head is not None else None
        with self._keeper.settling([delivery]):
            burial, repeated = self._insist(lambda: self._features.dead_letter(delivery, error, answer=answer))
        if burial.missed is not None:
            self._missed(burial.missed, delivery.stream.network_id, repeated=repeated)
            return
        self._metrics.dead_lettered.labels(reason=reason).inc()
        self._metrics.dead_letters_forgotten.inc(burial.forgotten)
        if answer is not None:
            self._metrics.answered.labels(network=delivery.stream.network_id, outcome="error").inc()
        self._warn("dead_lettered", delivery, head, reason=reason, error=error)

    def _insist(self, call: Callable[[], Result]) -> tuple[Result, bool]:
        """Repeat a call that may be repeated, for as long as our leases can stand without renewal.

        Returns what it returns, and whether it was repeated: then an earlier one may have done its work.
        """
        began = time.monotonic()
        first_s, most_s = _RETRY_PAUSE_S
        back_off = BackOff(first_s=first_s, most_s=most_s)
        while True:
            try:
                return call(), back_off.failures > 0
            except StreamUnavailableError:
                patience_s = self._features.lease_s
                if self._stopping.is_set():
                    patience_s = min(patience_s, _DRAIN_PATIENCE_S)
                pause_s = back_off.next_s()
                if time.monotonic() + pause_s - began > patience_s:
                    raise
            time.sleep(pause_s)

    def _warn(self, event: str, delivery: Delivery, head: Escalation | EscalationHead | None, **facts: Any) -> None:
        device, sample_id = (head.device, head.id) if head is not None else (None, None)
        self._log.warning(event, device=device, id=sample_id, entry=delivery.entry_id, **facts)
