"""What is in a bundle, as tables for a person: layers, bits, bytes, operations, energy, exits and the cut."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hybrid_model import energy
from hybrid_model.bundle import Bundle, Layer, Manifest
from services.cli.views import calibration_view, energy_view, reuse_view


def tables(bundle: Bundle, radio: energy.Radio = energy.WIFI) -> RenderableType:
    """Everything that `dewpoint inspect` shows of a bundle that was loaded with its cloud tensors."""
    manifest = bundle.manifest
    shown: list[RenderableType] = [_overview(bundle), _layers(manifest), Text(""), _exits(manifest), Text("")]
    shown.append(energy_view.render(manifest, radio))
    if manifest.calibration is not None:
        shown.append(calibration_view.view(manifest))
    else:
        shown.append(Text(reuse_view.sentence(manifest)))
    return Group(*shown)


def figures(bundle: Bundle, radio: energy.Radio = energy.WIFI) -> dict[str, Any]:
    """The same as plain data. Energies are joules per sample, estimates; `energy_j` is in the view `mac`."""
    manifest = bundle.manifest
    stages = energy.stage_energy_j(manifest.layers)
    return {
        "name": manifest.name,
        "network_id": manifest.network_id,
        "input": manifest.input.model_dump(mode="json"),
        "classes": list(manifest.classes),
        "cut": manifest.cut.model_dump(mode="json"),
        "exits": [one.model_dump(mode="json") for one in manifest.exits],
        "layers": [
            {
                **layer.model_dump(mode="json"),
                "weight_bytes": _weight_bytes(layer),
                "energy_j": energy.layer_energy_j(layer),
                "memory_energy_j": _memory_j(layer),
            }
            for layer in manifest.layers
        ],
        "bytes": {"file": bundle.path.stat().st_size, "edge": _bytes(bundle.edge), "cloud": _bytes(bundle.cloud)},
        "energy_j": {
            "edge_stages": list(stages.edge),
            "cloud": stages.cloud,
            "twin": energy.twin_energy_j(manifest.layers),
        },
        "energy": energy_view.figures(manifest, radio),
        "calibration": None if manifest.calibration is None else manifest.calibration.model_dump(mode="json"),
        **reuse_view.figures(manifest),
        "twin": None if manifest.twin is None else manifest.twin.model_dump(mode="json"),
        "provenance": manifest.provenance,
    }


def _overview(bundle: Bundle) -> Table:
    manifest = bundle.manifest
    table = Table(show_header=False, title=f"{manifest.name}  ({bundle.path})", title_justify="left")
    shape = " x ".join(str(size) for size in manifest.input.shape)
    provenance = manifest.provenance
    table.add_row("network id", manifest.network_id)
    table.add_row("input", f"{manifest.input.kind}, {shape} {manifest.input.dtype}")
    table.add_row("classes", _shortened(list(manifest.classes)))
    bits = "1 bit" if manifest.cut.bits == 1 else f"{manifest.cut.bits} bits"
    cut_shape = " x ".join(str(size) for size in manifest.cut.shape)
    table.add_row("cut", f"{cut_shape} at {bits}: {manifest.cut.bytes} bytes")
    sizes = f"{bundle.path.stat().st_size:,} (edge {_bytes(bundle.edge):,}, cloud {_bytes(bundle.cloud):,})"
    table.add_row("bytes", sizes)
    trained = ", ".join(
        f"{key} {provenance[key]}" for key in ("dataset", "epochs", "seed", "created") if key in provenance
    )
    table.add_row("trained", trained or "-")
    return table


def _layers(manifest: Manifest) -> Table:
    title = "Layers (bits: weights/activations; uJ of MACs and of memory: estimates)"
    table = Table(title=title, title_justify="left", show_footer=True, box=None, padding=(0, 1), pad_edge=False)
    layers = manifest.layers
    memory = [joules for layer in layers if (joules := _memory_j(layer)) is not None]
    all_j = sum(energy.layer_energy_j(layer) for layer in layers)
    table.add_column("layer", footer="all", overflow="fold")
    table.add_column("stage")
    table.add_column("bits", justify="right", no_wrap=True)
    for heading, footer in (
        ("MACs", _short_count(sum(layer.macs for layer in layers))),
        ("weights", _short_count(sum(layer.params for layer in layers))),
        ("bytes", f"{sum(_weight_bytes(layer) for layer in layers):,}"),
        ("MAC uJ", energy_view.microjoules(all_j)),
        ("mem. uJ", energy_view.microjoules(sum(memory)) if len(memory) == len(layers) else "-"),
    ):
        table.add_column(heading, footer=footer, justify="right", no_wrap=True)
    for layer in layers:
        joules = _memory_j(layer)
        table.add_row(
            layer.name,
            str(layer.stage),
            f"{layer.weight_bits}/{layer.activation_bits}",
            _short_count(layer.macs),
            _short_count(layer.params),
            f"{_weight_bytes(layer):,}",
            energy_view.microjoules(energy.layer_energy_j(layer)),
            "-" if joules is None else energy_view.microjoules(joules),
        )
    return table


def _exits(manifest: Manifest) -> Table:
    table = Table(title="Where a sample may end", title_justify="left", box=None, padding=(0, 1), pad_edge=False)
    table.add_column("path", no_wrap=True)
    table.add_column("leaves if")
    for one in manifest.exits:
        relation = "<" if one.score == "entropy" else ">"
        table.add_row(one.name, f"{one.score} {relation} {one.threshold:.4g} at T = {one.temperature:.3g}")
        if one.guard is not None:
            table.add_row("", f"and its squared distance from the domain <= {one.guard.limit:.4g}")
    table.add_row("cloud", f"otherwise; confidence at T = {manifest.cloud_temperature:.3g}")
    return table


def _memory_j(layer: Layer) -> float | None:
    if not energy.has_traffic([layer]):
        return None
    return energy.layer_energy_j(layer, energy.FULL) - energy.layer_energy_j(layer)


def _weight_bytes(layer: Layer) -> int:
    return (layer.params * layer.weight_bits + 7) // 8


def _bytes(tensors: Any) -> int:
    return sum(int(tensor.nbytes) for tensor in tensors.values())


def _short_count(count: int) -> str:
    """9437184 -> 9.44 M; the exact number stands in the JSON."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 1000 * size else f"{count / size:,.0f} {unit}"
    return str(count)


def _shortened(names: list[str], most: int = 10) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)})"
