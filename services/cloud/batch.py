"""A batch on its way through a cloud half: decoded, checked, run, and halved where it breaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid_model.cut import CutError
from services.cloud.networks import Network
from services.feature_stream import Answer, Delivery, one_line
from services.messages import Escalation, EscalationHead, MessageError, Reply, decode_head
from services.security.feature_keys import FeatureKeys, KeyUnknownError

__all__ = ["Broken", "Job", "JobReader", "Locked", "Unreadable", "error_answer", "halves", "infer"]


@dataclass(frozen=True, slots=True)
class Job:
    """A delivery whose escalation can be run."""

    delivery: Delivery
    escalation: Escalation

    def answer(self, class_index: int, confidence: float, probabilities: NDArray[np.float32] | None = None) -> Answer:
        """The reply that tells the edge worker the class; of `probabilities` (K,) as many as it asks for."""
        sample = self.escalation
        top = None
        if probabilities is not None and sample.top:
            best = np.argsort(-probabilities, kind="stable")[: sample.top]
            top = tuple((int(one), min(1.0, max(0.0, float(probabilities[one])))) for one in best)
        reply = Reply(sample.device, sample.id, sample.attempt, class_index, confidence, None, top)
        return Answer(self.delivery, sample.site, sample.worker, reply)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A delivery that no run can help. `head` says whom to tell, where that can be read."""

    delivery: Delivery
    reason: str
    detail: str
    head: Escalation | EscalationHead | None


@dataclass(frozen=True, slots=True)
class Locked:
    """A delivery that this worker lacks the key for; another may have it."""

    delivery: Delivery
    escalation: Escalation


@dataclass(frozen=True, slots=True)
class Broken:
    """Jobs that broke a run together. `hopeless`: their features are at fault, and no further run can help."""

    jobs: Sequence[Job]
    error: str
    hopeless: bool = False


class JobReader:
    """Makes jobs of deliveries. Safe from any thread.

    Args:
        keys: What features are decrypted with; None where there are no keys.
        encrypted_only: Refuse features that are plain.
    """

    def __init__(self, *, keys: FeatureKeys | None = None, encrypted_only: bool = False) -> None:
        self._keys, self._encrypted_only = keys, encrypted_only

    def read(self, delivery: Delivery, network: Network) -> Job | Locked | Unreadable:
        """Decode an escalation, decrypt its features and check that it is one for this network."""
        try:
            if delivery.payload is None:
                raise MessageError("missing_field", "m")
            escalation = Escalation.decode(delivery.payload)
        except MessageError as error:
            return Unreadable(delivery, error.reason, error.detail, _head(delivery.payload))
        if escalation.network_id != network.network_id:
            detail = f"{escalation.network_id} in the stream of {network.network_id}"
            return Unreadable(delivery, "wrong_network", detail, escalation)
        if self._encrypted_only and escalation.key is None:
            return Unreadable(delivery, "not_encrypted", "plain features are refused here", escalation)
        if escalation.key is not None:
            if self._keys is None:
                return Locked(delivery, escalation)
            try:
                escalation = self._keys.decrypt(escalation)
            except KeyUnknownError:
                return Locked(delivery, escalation)
            except MessageError as error:
                return Unreadable(delivery, error.reason, error.detail, escalation)
        if len(escalation.features) != network.features_bytes:
            detail = f"{len(escalation.features)} bytes instead of {network.features_bytes}"
            return Unreadable(delivery, "wrong_features", detail, escalation)
        return Job(delivery, escalation)


def infer(network: Network, jobs: Sequence[Job]) -> tuple[list[Answer], Broken | None]:
    """Run jobs as one batch: the answers, and the jobs that broke it or got no usable answer."""
    features = [job.escalation.features for job in jobs]
    probabilities: NDArray[np.float32] | None = None
    try:
        if any(job.escalation.top for job in jobs):
            probabilities = network.forward.probabilities(features)
            classes, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
        else:
            classes, confidences = network.forward.infer(features)
    except CutError as error:
        return [], Broken(jobs, str(error), hopeless=True)
    except Exception as error:  # whatever a network raises, it must not take the worker along
        return [], Broken(jobs, f"{type(error).__name__}: {error}")
    answers: list[Answer] = []
    broken: list[Job] = []
    for row, (job, class_index, confidence) in enumerate(zip(jobs, classes, confidences, strict=True)):
        if math.isfinite(confidence):
            told = None if probabilities is None else probabilities[row]
            answers.append(job.answer(int(class_index), min(1.0, max(0.0, float(confidence))), told))
        else:
            broken.append(job)
    return answers, Broken(broken, "the network's answer is not finite") if broken else None


def halves(jobs: Sequence[Job]) -> tuple[Sequence[Job], Sequence[Job]]:
    """Two parts of at least two jobs."""
    middle = len(jobs) // 2
    return jobs[:middle], jobs[middle:]


def error_answer(delivery: Delivery, head: Escalation | EscalationHead, error: str) -> Answer:
    """The reply that tells the edge worker that there will be no class."""
    reply = Reply(head.device, head.id, head.attempt, None, None, one_line(error))
    return Answer(delivery, head.site, head.worker, reply)


def _head(payload: bytes | None) -> EscalationHead | None:
    try:
        return decode_head(payload) if payload is not None else None
    except MessageError:
        return None
