"""How sure labels are and how often they are right: bins for docs/results, and a picture of them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid_model.evaluation import Answers, error_by_chance, expected_calibration_error, reliability

_COLOURS = {"edge": "#1f77b4", "escalated": "#ff7f0e"}
_FEWEST = 10
Labels = NDArray[np.int64]


def figures(said: Answers, labels: Labels) -> dict[str, Any]:
    """Of the final labels that each half gave: bins, expected calibration error, and what of it chance alone makes."""
    left = said.exit_index >= 0
    right = said.hybrid_class == labels
    confidences = {"edge": said.edge_confidence[left], "escalated": said.cloud_confidence[~left]}
    rows = {"edge": left, "escalated": ~left}
    return {
        who: {
            "samples": len(confidence),
            "error": expected_calibration_error(confidence, right[rows[who]]),
            "by_chance": error_by_chance(confidence),
            "bins": [asdict(one) for one in reliability(confidence, right[rows[who]])],
        }
        for who, confidence in confidences.items()
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """One panel a bundle: the share of right labels against their confidence; a dot's area is its number of samples."""
    from matplotlib import pyplot

    picture, axes = pyplot.subplots(
        1, len(rows), figsize=(2.6 * len(rows), 2.9), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, row in zip(axes[0], rows, strict=True):
        axis.plot([0, 100], [0, 100], color="#7f7f7f", linewidth=0.8, linestyle="--")
        for who, colour in _COLOURS.items():
            told = row["reliability"][who]
            bins = [one for one in told["bins"] if one["samples"] >= _FEWEST]
            x, y = ([100 * one[name] for one in bins] for name in ("confidence", "accuracy"))
            axis.plot(x, y, color=colour, linewidth=0.8)
            sizes = [4 + 150 * one["samples"] / max(told["samples"], 1) for one in bins]
            axis.scatter(x, y, s=sizes, color=colour, alpha=0.7, label=who, linewidths=0)
        axis.set_title(row["name"], fontsize=9)
        axis.set_xlabel("confidence, %", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("right, %", fontsize=8)
    axes[0][0].legend(fontsize=8, frameon=False, loc="upper left")
    picture.savefig(path, metadata={"Date": None})
    pyplot.close(picture)
