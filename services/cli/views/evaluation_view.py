"""What `dewpoint evaluate` found, as a table for a person."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from hybrid_model.evaluation import Evaluation
from hybrid_model.intervals import Interval

Row = tuple[str, str, str]
_FORMATS = {
    "png": "PNG",
    "jpeg_95": "JPEG, quality 95",
    "jpeg_75": "JPEG, quality 75",
    "raw": "raw",
    "float32": "float32",
    "int16": "16-bit integers",
}


def evaluation_table(found: Evaluation) -> Table:
    """All figures; accuracies with their 95 % intervals, what could not be known left out."""
    title = f"{found.bundle} on {found.dataset}"
    table = Table(show_header=False, title=title, title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    for rows in (_shares, _accuracies, _errors, _confidences, _energies, _bytes):
        for row in rows(found):
            table.add_row(*row)
    table.add_row("kernel", found.kernel, "")
    return table


def _shares(found: Evaluation) -> Iterator[Row]:
    yield "samples", f"{found.samples:,}", ""
    for number, share in enumerate(found.exit_share):
        yield f"left at exit {number}", f"{share:.1%}", ""
    yield "left on the edge", f"{found.edge_share:.1%}", ""
    told = found.guard
    if told.clean_share_lost is not None and told.in_domain_share is not None:
        yield "held back by guards", f"{told.clean_share_lost:.1%}", f"{told.in_domain_share:.1%} in the domain"


def _accuracies(found: Evaluation) -> Iterator[Row]:
    told, interval = found.accuracy, found.accuracy_interval
    yield "accuracy", f"{told.hybrid:.2%}", f"{_span(interval['hybrid'])} as the pipeline answers"
    if found.accuracy_strict is not None:
        samples = f"{found.samples_strict:,} with true pixels"
        yield "  strict", f"{found.accuracy_strict:.2%}", f"{_span(interval['strict'])} {samples}"
    yield "  edge alone", f"{told.edge:.2%}", f"{_span(interval['edge'])} deepest exit"
    yield "  cloud alone", f"{told.cloud:.2%}", f"{_span(interval['cloud'])} all escalated"
    if told.full_precision_twin is not None:
        twin = f"{_span(interval['full_precision_twin'])} no exits, no cut, 32 bits"
        yield "  twin", f"{told.full_precision_twin:.2%}", twin
    if told.full_precision_taught_twin is not None:
        taught = f"{_span(interval['full_precision_taught_twin'])} the same, taught by the teacher"
        yield "  taught twin", f"{told.full_precision_taught_twin:.2%}", taught
    for name, over, of in (
        ("over twin", found.accuracy_over_twin, found.accuracy_over_twin_interval),
        ("over taught twin", found.accuracy_over_taught_twin, found.accuracy_over_taught_twin_interval),
    ):
        if over is not None and of is not None:
            yield f"  {name}", f"{100 * over:+.2f}", f"points, {100 * of[0]:+.2f} to {100 * of[1]:+.2f} paired"


def _errors(found: Evaluation) -> Iterator[Row]:
    bound = found.exit_error_bound
    if bound.observed is None:
        return
    promise = "no bound holds at this working point"
    if bound.alpha is not None and bound.delta is not None:
        promise = f"at most {bound.alpha:.2%} promised, at {1 - bound.delta:.0%}"
    yield "errors at exits", f"{bound.observed:.2%}", f"worst exit; {promise}"


def _confidences(found: Evaluation) -> Iterator[Row]:
    error = found.calibration_error
    for name, value in (("edge", error.edge), ("escalated", error.escalated)):
        if value is not None:
            label = "calibration error" if name == "edge" else ""
            yield label, f"{value:.3f}", f"of confidences, labels of the {'edge' if name == 'edge' else 'cloud'}"


def _energies(found: Evaluation) -> Iterator[Row]:
    yield "energy, MACs", f"{found.energy_reduction_mac:.2f} x", "below its full-precision twin (estimate)"
    if found.energy_reduction_mac_standard is not None:
        yield "", f"{found.energy_reduction_mac_standard:.2f} x", "below ResNet-32"
    sent = f"sent {found.sample_bytes_mean:,.0f} B by {found.radio}"
    for name, cloud, sensor in (
        ("the twin", found.energy_reduction_full, found.energy_reduction_full_at_sensor),
        ("ResNet-32", found.energy_reduction_full_standard, found.energy_reduction_full_standard_at_sensor),
    ):
        if cloud is not None and sensor is not None:
            label = "energy, full" if name == "the twin" else ""
            yield label, f"{cloud:.2f} x", f"below {name} in the cloud, {sent}"
            yield "", f"{sensor:.2f} x", f"below {name} at the sensor, nothing sent"


def _bytes(found: Evaluation) -> Iterator[Row]:
    yield "features", f"{found.feature_bytes_mean:,.0f} B", "of a sample that rises"
    if found.hard_sample_bytes:
        for name, label in _FORMATS.items():
            if name in found.hard_sample_bytes:
                yield "", f"{found.hard_sample_bytes[name]:,.0f} B", f"the same samples, {label}"


def _span(interval: Interval | None) -> str:
    return "" if interval is None else f"[{interval[0]:.2%}, {interval[1]:.2%}]"
