"""Guards, fitted to training samples: what the network's own bits and levels look like on what it was trained for.

The statistic is the channel sums n (C,) of a tensor that the edge has computed in any case: the last one that is
quantized from a map which a shortcut carries on, so that all that the network knows there is in it. Of the training
samples that an exit takes for class k, mu_k is the mean, and S the covariance of n - mu_k, of all classes together. The
squared distance of a sample to the class k that the exit sees in it,

    sum over r of ((v_r . n - v_r . mu_k) / s_r)^2,

is Mahalanobis' (Lee et al. 2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
Attacks", arXiv 1807.03888) along the R directions v_r in which S varies most. They are rounded to 8 bits, and their
spreads s_r measured as rounded, with a hundredth of the mean variance added. docs/explanation/guard.md has what was
compared. No label takes part: classes are those that the exit predicts.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model.bundle import Bundle, Guard, Layer, Manifest, TensorType, check_graph, ops
from hybrid_model.bundle.guard import PREFIX, SUM_LIMIT, greatest_sum
from hybrid_model.runtime import EdgeEngine

__all__ = ["fit_guards", "fitted_arrays", "guard_limits", "guard_source", "with_limits", "without_guards"]

#: Training samples that a guard is fitted to, at most.
SAMPLES = 6000
DIRECTIONS = 64
#: Share of the mean variance that is added to every direction's: few samples measure small ones badly.
SHRINKAGE = 0.01
_TOP_WEIGHT = 127
_BATCH = 250


def fit_guards(bundle: Bundle, x: npt.NDArray[Any]) -> Bundle:
    """`bundle` with guards fitted to training samples x (N, H, W, C), evenly spaced ones where they are many.

    Limits are 0 until `with_limits`. An exit with no bits and no levels in front of it, or of whose logits none is
    finite, gets no guard. Guards that were there before are replaced.
    """
    bare = without_guards(bundle)
    types = check_graph(bare.manifest, bare.edge)
    sources = [guard_source(bare.manifest, types, number) for number in range(len(bare.manifest.exits))]
    draft = _draft(bare, types, sources)
    rows = np.unique(np.linspace(0, len(x) - 1, min(SAMPLES, len(x))).astype(np.int64))
    engine = EdgeEngine(draft)
    read = [engine.guard_sums(x[rows[start : start + _BATCH]]) for start in range(0, len(rows), _BATCH)]
    sums, logits = (np.concatenate(column) for column in zip(*read, strict=True))
    edge, exits, layers, first = dict(bare.edge), list(bare.manifest.exits), list(bare.manifest.layers), 0
    for number, source in enumerate(sources):
        if source is None:
            continue
        end = first + types[source].shape[2]
        arrays = fitted_arrays(sums[:, first:end], logits[:, number], types[source])
        first = end
        if arrays is None:
            continue
        guard = Guard(source=source, limit=0.0, **_names(number))
        edge |= {getattr(guard, role): array for role, array in arrays.items()}
        exits[number] = exits[number].model_copy(update={"guard": guard})
        layers += _layers(number, types[source], len(arrays["scale"])) if bare.manifest.layers else []
    manifest = bare.manifest.model_copy(update={"exits": tuple(exits), "layers": tuple(layers)})
    return dataclasses.replace(bare, manifest=manifest, edge=edge)


def without_guards(bundle: Bundle) -> Bundle:
    """`bundle` with no guard, none of their tensors and none of their layers."""
    manifest = bundle.manifest
    changed = manifest.model_copy(
        update={
            "exits": tuple(described.model_copy(update={"guard": None}) for described in manifest.exits),
            "layers": tuple(layer for layer in manifest.layers if layer.kind != "guard"),
        }
    )
    edge = {name: array for name, array in bundle.edge.items() if not name.startswith(PREFIX)}
    return dataclasses.replace(bundle, manifest=changed, edge=edge)


def with_limits(manifest: Manifest, limits: npt.NDArray[np.float64]) -> Manifest:
    """`manifest` with a limit (E,) at each exit that has a guard."""
    exits = [
        described
        if described.guard is None
        else described.model_copy(update={"guard": described.guard.model_copy(update={"limit": float(limit)})})
        for described, limit in zip(manifest.exits, limits, strict=True)
    ]
    return manifest.model_copy(update={"exits": tuple(exits)})


def guard_limits(
    distances: npt.NDArray[np.float32], taken: npt.NDArray[np.integer[Any]], share_lost: float
) -> npt.NDArray[np.float64]:
    """Limits (E,) beyond which `share_lost` of the samples lie that leave at each exit by their scores.

    distances (N, E); taken (N,): where a sample leaves by its scores, -1 where it rises. At an exit at which none
    leaves, all samples count. A limit lies halfway between the last sample within it and the first beyond.
    """
    limits = []
    for number in range(distances.shape[1]):
        here = taken == number
        ordered = np.sort(distances[here if here.any() else slice(None), number].astype(np.float64))
        within = len(ordered) - round(share_lost * len(ordered))
        last = ordered[max(within, 1) - 1]
        limits.append(0.5 * (last + (ordered[within] if 0 < within < len(ordered) else last)))
    return np.array(limits)


def guard_source(manifest: Manifest, types: Mapping[str, TensorType], number: int) -> str | None:
    """The tensor whose channels the guard of an exit sums; None where there are neither bits nor levels in front of it.

    Where the last unit has a shortcut, what that unit takes in: the last tensor that is quantized from a map which
    something else reads too. What is inside of the unit holds only what the unit adds. Else the last one.
    """
    graph = manifest.edge_graph
    end = next(index for index, op in enumerate(graph) if isinstance(op, ops.ExitOp) and op.exit == number)
    readers = collections.Counter(name for op in graph for name in op.inputs)
    last = None
    inside = False
    for op in reversed(graph[:end]):
        inside = inside or isinstance(op, ops.Add)
        if types[op.out].kind not in ("bits", "levels"):
            continue
        last = last or op.out
        carried_on = isinstance(op, ops.Binarize | ops.Quantize) and readers[op.inputs[0]] > 1
        if carried_on or not inside:
            return op.out
    return last


def _names(number: int) -> dict[str, str]:
    return {role: f"{PREFIX}{number}.{role}" for role in ("weight", "scale", "mean")}


def _draft(bundle: Bundle, types: Mapping[str, TensorType], sources: list[str | None]) -> Bundle:
    """`bundle` with guards that only sum."""
    edge, exits = dict(bundle.edge), list(bundle.manifest.exits)
    for number, source in enumerate(sources):
        if source is None:
            continue
        names = _names(number)
        edge[names["weight"]] = np.zeros((types[source].shape[2], 1), dtype=np.int8)
        edge[names["scale"]] = np.zeros(1, dtype=np.float32)
        edge[names["mean"]] = np.zeros((len(bundle.manifest.classes), 1), dtype=np.float32)
        guard = Guard(source=source, limit=0.0, **names)
        exits[number] = exits[number].model_copy(update={"guard": guard})
    return dataclasses.replace(bundle, manifest=bundle.manifest.model_copy(update={"exits": tuple(exits)}), edge=edge)


def fitted_arrays(
    sums: npt.NDArray[np.int32], logits: npt.NDArray[np.float32], source: TensorType
) -> dict[str, npt.NDArray[Any]] | None:
    """A guard's arrays, by role, from channel sums (N, C) and logits (N, K) of training samples.

    None without a finite sample, and where the map is so large that no weights keep sums within an int32.
    """
    finite = np.isfinite(logits).all(axis=1)
    if not finite.any():
        return None
    whole, predicted, classes = sums[finite].astype(np.float64), logits[finite].argmax(axis=1), logits.shape[1]
    apart = whole - _class_means(whole, predicted, classes)[predicted]
    covariance = apart.T @ apart / len(apart)
    _, vectors = np.linalg.eigh(covariance)
    weight = _whole_numbers(vectors[:, : -DIRECTIONS - 1 : -1], greatest_sum(source))
    if not weight.any(axis=0).all():
        return None
    placed = whole @ weight
    means = _class_means(placed, predicted, classes)
    variance = ((placed - means[predicted]) ** 2).mean(axis=0)
    variance += SHRINKAGE * np.trace(covariance) / len(covariance) * (weight**2).sum(axis=0)
    scale = np.where(variance > 0, 1.0 / np.sqrt(np.maximum(variance, np.finfo(np.float32).tiny)), 0.0)
    return {
        "weight": weight.astype(np.int8),
        "scale": scale.astype(np.float32),
        "mean": (means * scale).astype(np.float32),
    }


def _class_means(
    values: npt.NDArray[np.float64], predicted: npt.NDArray[np.integer[Any]], classes: int
) -> npt.NDArray[np.float64]:
    """Means (K, ...) of values (N, ...) by predicted class; the mean of all for a class that is hardly seen."""
    means = np.repeat(values.mean(axis=0, keepdims=True), classes, axis=0)
    for each in range(classes):
        here = predicted == each
        if here.sum() > 1:
            means[each] = values[here].mean(axis=0)
    return means


def _whole_numbers(vectors: npt.NDArray[np.float64], greatest: int) -> npt.NDArray[np.float64]:
    """Directions (C, R) as whole numbers of 8 bits; of fewer where sums of channel sums up to `greatest` ask for it."""
    unit = vectors / np.abs(vectors).max(axis=0)
    room = (SUM_LIMIT - 1) / greatest - 0.5 * len(unit)
    whole: npt.NDArray[np.float64] = np.rint(unit * min(_TOP_WEIGHT, max(0.0, room / np.abs(unit).sum(axis=0).max())))
    return whole


def _layers(number: int, source: TensorType, directions: int) -> list[Layer]:
    """What a guard costs: to sum every position's bits or levels, to place the sums, and to measure the distance."""
    positions, channels = source.shape[0] * source.shape[1], source.shape[2]
    rows = (
        ("sums", positions * channels, 0, 1, source.bits or 1, positions * channels, channels),
        (
            "place",
            channels * directions,
            channels * directions,
            8,
            greatest_sum(source).bit_length(),
            channels,
            directions,
        ),
        ("distance", directions, directions, 32, 32, directions, 1),
    )
    return [
        Layer(
            name=f"exits.{number}.guard.{name}",
            stage=number,
            role="exit",
            kind="guard",
            macs=macs,
            params=params,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            inputs=inputs,
            outputs=outputs,
        )
        for name, macs, params, weight_bits, activation_bits, inputs, outputs in rows
    ]
