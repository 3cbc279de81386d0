"""Memory, file descriptors and threads of every process, over the soak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.soak.meter import QUANTITIES, Reading

_TITLES = {"rss_mb": "memory, MiB", "fds": "file descriptors", "threads": "threads"}


def draw(readings: Mapping[str, Sequence[Reading]], path: Path) -> None:
    """A panel for each quantity, a line for each process."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "dewpoint"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, figsize=(7.5, 7.0), sharex=True, layout="constrained")
    for axis, quantity in zip(axes, QUANTITIES, strict=True):
        for name, found in readings.items():
            minutes = [one.seconds / 60 for one in found]
            axis.plot(minutes, [getattr(one, quantity) for one in found], linewidth=1, label=name)
        axis.set_ylabel(_TITLES[quantity])
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(fontsize=8, frameon=False, ncols=3)
    axes[-1].set_xlabel("minutes")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
