"""The figures of docs/reference/results.md: bundles on whole test splits, one JSON each; a picture for each data set.

python -m benchmarks.results cifar10 har              # shipped bundles
python -m benchmarks.results runs/cifar10-paper.dew   # any bundle; its data set stands in its provenance
python -m benchmarks.results cifar10 --corruptions    # on corrupted pictures; --samples N: of the first N
python -m benchmarks.results --draw                   # only the pictures, from the files that are there
python -m tools.generate                               # afterwards: the tables of docs/reference/results.md

Every look at a test split is one line in these files: thresholds and models were chosen before, on other samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import reliability
from hybrid_model import bundle as bundle_file
from hybrid_model import data
from hybrid_model.bundle import Bundle
from hybrid_model.evaluation import answers_on, curve, evaluate, evaluate_corruptions
from tools.results_tables import CORRUPTED

FOLDER = Path(__file__).parents[1] / "docs" / "results"
_CURVE_FIELDS = ("edge_share", "accuracy", "accuracy_interval", "passed", "working")
_COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd")


def figures(loaded: Bundle) -> dict[str, Any]:
    """Everything that docs/reference/results.md says of a bundle, from one pass over its test split."""
    told = loaded.manifest.provenance
    dataset = data.load(str(told["dataset"]))
    said = answers_on(loaded, dataset, with_scores=True)
    points = curve(loaded, dataset, said).to_json()["points"]
    recipe: Any = told["recipe"]
    return {
        "name": loaded.manifest.name,
        "network_id": loaded.manifest.network_id,
        "seed": told["seed"],
        "epochs": told["epochs"],
        "epochs_planned": recipe["schedule"]["epochs"],
        "train_seconds": told["train_seconds"],
        "precision": told["precision"],
        "machine": told["machine"],
        "evaluation": evaluate(loaded, dataset, said=said).to_json(),
        "reliability": reliability.figures(said, dataset.test.y),
        "curve": [
            {name: point[name] for name in _CURVE_FIELDS} | {"mac": point["energy_reduction"]["mac"]}
            for point in points
        ],
    }


def corrupted_figures(loaded: Bundle, samples: int | None) -> dict[str, Any]:
    """What docs/reference/results.md says of a bundle on corrupted pictures of its test split."""
    told = loaded.manifest.provenance
    report = evaluate_corruptions(loaded, data.load(str(told["dataset"])), samples=samples)
    return {
        "bundle": loaded.manifest.name,
        "network_id": loaded.manifest.network_id,
        "seed": told["seed"],
        "dataset": report.dataset,
        **report.to_json(),
    }


def stored(folder: Path) -> list[dict[str, Any]]:
    """The figures that were written, by name and seed."""
    found = [json.loads(path.read_text()) for path in folder.glob("*.json") if not path.name.endswith(CORRUPTED)]
    return sorted(found, key=lambda one: (one["evaluation"]["dataset"], one["name"].endswith("-paper"), one["seed"]))


def draw(dataset_name: str, rows: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against edge share: every bundle's calibrated path, its working point, and its twin as a line."""
    from matplotlib import pyplot

    picture, axis = pyplot.subplots(figsize=(7.0, 4.4), layout="constrained")
    for colour, row in zip(_COLOURS, rows, strict=False):
        shares = [100 * point["edge_share"] for point in row["curve"]]
        axis.plot(
            shares, [100 * point["accuracy"] for point in row["curve"]], color=colour, marker=".", label=_name(row)
        )
        if row["seed"] == rows[0]["seed"]:  # those of more seeds would cover each other
            low, high = ([100 * point["accuracy_interval"][end] for point in row["curve"]] for end in (0, 1))
            axis.fill_between(shares, low, high, color=colour, alpha=0.12, linewidth=0)
        told = row["evaluation"]
        axis.plot(100 * told["edge_share"], 100 * told["accuracy"]["hybrid"], "D", color=colour, markersize=7)
        twin = told["accuracy"]["full_precision_twin"]
        if twin is not None:
            axis.axhline(100 * twin, color=colour, linestyle="--", linewidth=1)
    axis.plot([], [], "D", color="#7f7f7f", label="working point")
    axis.plot([], [], "--", color="#7f7f7f", label="full-precision twin")
    axis.set_xlabel("samples that the edge answers, %")
    axis.set_ylabel("accuracy, %")
    axis.set_title(f"{dataset_name}: the calibrated paths on the test split, with 95 % intervals", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False, loc="lower left")
    picture.savefig(path, metadata={"Date": None})
    pyplot.close(picture)


def _name(row: dict[str, Any]) -> str:
    return f"{row['name']}, seed {row['seed']}"


def _draw_all(folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "dewpoint"  # the same numbers give the same file
    rows = stored(folder)
    for dataset_name in sorted({row["evaluation"]["dataset"] for row in rows}):
        path = folder / f"{dataset_name}.svg"
        draw(dataset_name, [row for row in rows if row["evaluation"]["dataset"] == dataset_name], path)
        sys.stdout.write(f"{path}\n")
    sure = [row for row in rows if "reliability" in row and row["seed"] == 0]
    if sure:
        reliability.draw(sure, folder / "reliability.svg")
        sys.stdout.write(f"{folder / 'reliability.svg'}\n")


def main() -> int:
    """Evaluate what is named, write its file, draw all pictures."""
    parser = argparse.ArgumentParser(description="Figures and pictures of docs/reference/results.md.")
    parser.add_argument("bundles", nargs="*", help="names of shipped bundles, or .dew files")
    parser.add_argument("--corruptions", action="store_true", help="on corrupted pictures, and nothing else")
    parser.add_argument("--samples", type=int, help="with --corruptions: the first so many of the test split")
    parser.add_argument("--draw", action="store_true", help="only draw the pictures")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files lie; docs/results if unset")
    chosen = parser.parse_args()
    if not chosen.bundles and not chosen.draw:
        parser.error("name bundles, or --draw")
    chosen.folder.mkdir(exist_ok=True)
    for name in chosen.bundles:
        loaded = bundle_file.load(bundle_file.resolve(name), cloud=True)
        found = corrupted_figures(loaded, chosen.samples) if chosen.corruptions else figures(loaded)
        ending = CORRUPTED if chosen.corruptions else ".json"
        path = chosen.folder / f"{loaded.manifest.name}-s{found['seed']}{ending}"
        path.write_text(json.dumps(found, indent=1) + "\n")
        sys.stdout.write(f"{path}\n")
    _draw_all(chosen.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
