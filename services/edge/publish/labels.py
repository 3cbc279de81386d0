"""Labels from decisions: the edge's own, the cloud's, and the edge's where the cloud's never came."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from hybrid_model import energy
from hybrid_model.bundle import Manifest
from hybrid_model.runtime import EdgeResult
from services.edge.journal.records import Key, Network
from services.edge.repeats import KnownAnswer
from services.messages import Label, LabelReason, Reply, encoded_json

__all__ = ["LabelMaker", "Settlement", "cloud_final", "correction", "edge_final", "reused_final"]

#: Why the edge's own label of a hard sample became final without the cloud.
Settlement = Literal["rate_limited", "deadline", "offline", "shed", "failed"]


class LabelMaker:
    """Makes the labels of one bundle's edge half; with `top` they carry the most probable classes."""

    def __init__(self, manifest: Manifest, *, top: int = 0) -> None:
        self._top = top
        self.bundle = f"{manifest.name}@{manifest.network_id}"
        self.network_id = manifest.network_id
        self.classes = tuple(manifest.classes)
        self._texts_of: dict[tuple[int, int, bool], tuple[str, str, str]] = {}
        exits = range(len(manifest.exits))
        self._last_exit = exits[-1]
        self._exit_energy_j = [energy.path_energy_j(manifest.layers, number) for number in exits]
        self._cut_energy_j = energy.path_energy_j(manifest.layers, "cut")
        self._cloud_energy_j = energy.path_energy_j(manifest.layers, "cloud")

    @property
    def network(self) -> Network:
        """What replies to this bundle's escalations will need."""
        return Network(self.network_id, self.bundle, self.classes, self._cloud_energy_j)

    def confident(self, key: Key, captured_at: float, result: EdgeResult, row: int) -> Label:
        """The final label of the sample `key`, which left at an exit, in row `row` of a result."""
        return self._label(key, captured_at, result, row, int(result.exit_index[row]))

    def confident_json(self, key: Key, captured_at: float, result: EdgeResult, row: int) -> bytes:
        """`confident(...).encode()`, byte for byte, without an object for each: most labels are these."""
        confidence = float(result.confidence[row])
        if self._top or type(captured_at) is not float or not math.isfinite(confidence + captured_at):
            return self.confident(key, captured_at, result, row).encode()
        answer, left, end = self._texts(
            int(result.exit_index[row]), int(result.class_index[row]), bool(result.in_domain[row])
        )
        device, sample = key
        return (
            f'{{"id":{encoded_json(sample)},"device":{encoded_json(device)}{answer}{_rounded(confidence)!r}'
            f'{left}{captured_at!r},"decided_at":{time.time()!r}{end}'
        ).encode()

    def provisional(self, key: Key, captured_at: float, result: EdgeResult, row: int) -> Label:
        """What the edge thinks of a hard sample at its deepest exit."""
        sure = self._label(key, captured_at, result, row, self._last_exit)
        return replace(sure, status="provisional", reason="escalated", energy_j=self._cut_energy_j)

    def _label(self, key: Key, captured_at: float, result: EdgeResult, row: int, exit_index: int) -> Label:
        device, sample = key
        class_index, confidence = int(result.class_index[row]), float(result.confidence[row])
        return Label(
            id=sample,
            device=device,
            class_index=class_index,
            label=self.classes[class_index],
            confidence=_rounded(confidence),
            exit=exit_index,
            status="final",
            reason="confident",
            corrected=False,
            captured_at=captured_at,
            decided_at=time.time(),
            bundle=self.bundle,
            energy_j=self._exit_energy_j[exit_index],
            in_domain=bool(result.in_domain[row]),
            top=self._best(class_index, confidence, result, row),
        )

    def _texts(self, exit_index: int, class_index: int, in_domain: bool) -> tuple[str, str, str]:
        """What is the same in every label of a class that leaves at an exit: before and behind its numbers."""
        key = (exit_index, class_index, in_domain)
        texts = self._texts_of.get(key)
        if texts is None:
            texts = self._texts_of[key] = (
                f',"class":{class_index},"label":{encoded_json(self.classes[class_index])},"confidence":',
                f',"exit":{exit_index},"status":"final","reason":"confident","corrected":false,"captured_at":',
                f',"bundle":{encoded_json(self.bundle)},"energy_j":{encoded_json(self._exit_energy_j[exit_index])}'
                f',"in_domain":{encoded_json(in_domain)}}}',
            )
        return texts

    def _best(
        self, class_index: int, confidence: float, result: EdgeResult, row: int
    ) -> tuple[tuple[int, str, float], ...] | None:
        """The most probable classes; the label's own first, with the same number. None of what is not finite."""
        if not self._top or result.probabilities is None:
            return None
        probabilities = result.probabilities[row]
        if not np.isfinite(probabilities).all():
            return ()
        others = [int(one) for one in np.argsort(-probabilities, kind="stable") if one != class_index]
        chosen = [(class_index, confidence), *((one, float(probabilities[one])) for one in others[: self._top - 1])]
        return tuple((one, self.classes[one], _rounded(probability)) for one, probability in chosen)


def cloud_final(edge: Label, reply: Reply, network: Network) -> Label:
    """The final label by the cloud's answer to a hard sample. Raises IndexError for a class that is none."""
    assert reply.class_index is not None
    return replace(
        edge,
        class_index=reply.class_index,
        label=network.classes[reply.class_index],
        confidence=None if reply.confidence is None else _rounded(reply.confidence),
        exit="cloud",
        status="final",
        reason="escalated",
        corrected=reply.class_index != edge.class_index,
        decided_at=time.time(),
        energy_j=network.cloud_path_energy_j,
        top=_of_cloud(reply, network),
    )


def reused_final(edge: Label, answer: KnownAnswer, classes: Sequence[str]) -> Label:
    """The cloud's answer to a sample like this one, taken for this one; no cloud worker computes it."""
    return replace(
        edge,
        class_index=answer.class_index,
        label=classes[answer.class_index],
        confidence=answer.confidence,
        exit="cloud",
        status="final",
        reason="reused",
        corrected=answer.class_index != edge.class_index,
        decided_at=time.time(),
        reused_from=answer.id,
        top=answer.top,
    )


def _of_cloud(reply: Reply, network: Network) -> tuple[tuple[int, str, float], ...] | None:
    """The classes that the reply tells; none where it tells none, as of an earlier version."""
    if reply.top is None or any(one >= len(network.classes) for one, _ in reply.top):
        return None
    return tuple((one, network.classes[one], _rounded(probability)) for one, probability in reply.top)


def edge_final(edge: Label, reason: Settlement) -> Label:
    """The edge's own label of a hard sample, become final without the cloud."""
    final_reason: LabelReason = reason
    return replace(edge, status="final", reason=final_reason, corrected=False, decided_at=time.time())


def correction(final: Label, reply: Reply, network: Network) -> Label:
    """The cloud's answer that came after the final."""
    return replace(cloud_final(final, reply, network), status="correction")


def _rounded(confidence: float) -> float:
    return round(float(confidence), 6)
