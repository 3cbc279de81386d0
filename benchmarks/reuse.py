"""What reusing the cloud's last answer saves of a still scene, and what it changes: `python -m benchmarks.reuse`.

Scenes are synthetic: sequences of near-duplicates (`hybrid_model.calibration.near_duplicates`: a trembling camera,
drifting light, a noisy sensor) of those pictures of a test split that rise. Over a sweep of distances it tells which
share of the escalations is saved, and which share of the answers is another than the cloud would have given. The cloud
half flickers by itself: it changes its answer from one frame of such a scene to the next. That bounds what any reuse
can do, and is told beside. Every scene is seen in its turn, so that a change of scene that goes unnoticed counts too.

python -m benchmarks.reuse --json reuse.json --picture docs/images/reuse.svg
python -m benchmarks.reuse --quick            # seconds, on digits: whether it works, not what it saves
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.bundle import Bundle
from hybrid_model.bundle.reuse import ALPHA
from hybrid_model.calibration.reuse import FRAMES, SCENES_MAX, Scene, replayed, rising_scenes, walked_distances

_COLOURS = ("#1f77b4", "#d62728", "#2ca02c")
#: Frames of a scene: as in calibration, and as long as it is not calibrated for.
_LENGTHS = (FRAMES, 4 * FRAMES)
_LINES = ("-", "--")
_QUICK_SCENES = 20
Labels = npt.NDArray[np.int64]


def of_bundle(bundle: Bundle, *, scenes: int, lengths: Sequence[int] = _LENGTHS) -> dict[str, Any]:
    """Figures of a bundle (with its cloud tensors), on at most so many scenes of the test split of its data set."""
    manifest = bundle.manifest
    test = data.load(str(manifest.provenance["dataset"]), progress=False).test
    found = list(rising_scenes(bundle, test.x, scenes_max=scenes, frames=max(lengths)))
    distances = set(walked_distances(bundle))
    if manifest.reuse is not None:
        distances.add(manifest.reuse.distance_bits)
    return {
        "bundle": manifest.name,
        "network_id": manifest.network_id,
        "bits": 8 * manifest.cut.bytes,
        "distance_bits": None if manifest.reuse is None else manifest.reuse.distance_bits,
        "lengths": [
            {"frames": frames, **of_scenes([_shortened(one, frames) for one in found], test.y, sorted(distances))}
            for frames in lengths
        ],
    }


def of_scenes(found: Sequence[Scene], labels: Labels, distances: Sequence[int]) -> dict[str, Any]:
    """What reuse does to these scenes at each distance; `labels` (N,): the true classes of the pictures.

    Shares are of all hard samples. `flicker`: hard samples that the cloud half answers otherwise than the one before
    them in their scene; of a pair. `from_first`: samples that it answers otherwise than the first of their scene.
    """
    samples = sum(len(scene.classes) for scene in found)
    pairs = [(a, b) for scene in found for a, b in zip(scene.classes, scene.classes[1:], strict=False)]
    later = [(scene.classes[0], one) for scene in found for one in scene.classes[1:]]
    own_right = sum(one == labels[scene.picture] for scene in found for one in scene.classes)
    return {
        "scenes": len(found),
        "samples": samples,
        "flicker": _differing(pairs),
        "from_first": _differing(later),
        "accuracy_cloud": own_right / samples if samples else None,
        "sweep": [_at(found, labels, distance, samples) for distance in distances] if samples else [],
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """The calibrated distances and the flicker as a Markdown table."""
    lines = [
        "| network | frames a scene | hard samples | distance | escalations saved | answers changed "
        "| accuracy, cloud's own | with reuse | the cloud's flicker | other than the first frame's |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for one in results:
        for told in one["lengths"]:
            at = next((row for row in told["sweep"] if row["distance_bits"] == one["distance_bits"]), None)
            cells = [
                f"`{one['bundle']}`",
                str(told["frames"]),
                f"{told['samples']:,}",
                "-" if at is None else f"{at['distance_bits']} of {one['bits']:,} bits",
                _percent(at and at["saved_share"]),
                _percent(at and at["changed_share"]),
                _percent(told["accuracy_cloud"]),
                _percent(at and at["accuracy"]),
                _percent(told["flicker"]),
                _percent(told["from_first"]),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """One panel a network: answers changed against escalations saved, over the distances; SVG, PNG or PDF by suffix."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "dewpoint"  # the same numbers give the same file
    figure, axes = pyplot.subplots(
        1,
        len(results),
        figsize=(4.6 * len(results), 3.8),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, one, colour in zip(axes[0], results, _COLOURS, strict=False):
        for told, line in zip(one["lengths"], _LINES, strict=False):
            saved, changed = ([100 * row[name] for row in told["sweep"]] for name in ("saved_share", "changed_share"))
            axis.plot(saved, changed, line, color=colour, linewidth=1.4, label=f"{told['frames']} frames a scene")
            for row in told["sweep"]:
                if row["distance_bits"] == one["distance_bits"]:
                    axis.plot(100 * row["saved_share"], 100 * row["changed_share"], "D", color=colour, markersize=7)
        calibrated = one["lengths"][0]
        axis.axhline(100 * (calibrated["flicker"] or 0.0), color="#7f7f7f", linewidth=0.9, linestyle="-.")
        axis.axhline(100 * ALPHA, color="black", linewidth=0.7, linestyle=":")
        axis.plot([], [], "D", color=colour, label=f"calibrated: {one['distance_bits']} bits")
        axis.plot([], [], "-.", color="#7f7f7f", label="the cloud's own flicker, frame to frame")
        axis.plot([], [], ":", color="black", label=f"bound of the calibration, {ALPHA:.0%}")
        axis.set_title(f"{one['bundle']}: near-duplicates of test pictures that rise", fontsize=9)
        axis.set_xlabel("escalations saved, %", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, frameon=False, loc="upper left")
    axes[0][0].set_ylabel("answers changed, % of hard samples", fontsize=8)
    axes[0][0].set_xlim(0, 100)
    axes[0][0].set_ylim(bottom=0)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def _shortened(scene: Scene, frames: int) -> Scene:
    """Its first so many frames."""
    kept = sum(frame < frames for frame in scene.frames)
    return Scene(scene.picture, scene.frames[:kept], scene.features[:kept], scene.classes[:kept])


def _at(found: Sequence[Scene], labels: Labels, distance: int, samples: int) -> dict[str, Any]:
    replay = replayed(found, distance)
    right = sum(
        given == labels[scene.picture]
        for scene, classes in zip(found, replay.classes, strict=True)
        for given in classes
    )
    return {
        "distance_bits": distance,
        "saved_share": sum(replay.reused) / samples,
        "changed_share": sum(replay.changed) / samples,
        "accuracy": right / samples,
    }


def _differing(pairs: Sequence[tuple[int, int]]) -> float | None:
    return sum(a != b for a, b in pairs) / len(pairs) if pairs else None


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", help="shipped names or .dew files; cifar10 and cifar100 without any")
    parser.add_argument("--scenes", type=int, default=SCENES_MAX, help="scenes of each network, at most")
    parser.add_argument("--quick", action="store_true", help=f"digits without any, and {_QUICK_SCENES} scenes")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw them: SVG, PNG or PDF")
    chosen = parser.parse_args()
    names = chosen.bundles or (["digits"] if chosen.quick else ["cifar10", "cifar100"])
    scenes = _QUICK_SCENES if chosen.quick else chosen.scenes
    results = [of_bundle(bundle_file.load(bundle_file.resolve(name), cloud=True), scenes=scenes) for name in names]
    sys.stdout.write(table(results) + "\n")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    if chosen.picture is not None:
        draw(results, chosen.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
