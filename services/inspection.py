"""What is in a bundle, as tables for a person: layers, bits, bytes, operations, energy, exits and the cut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from hybrid_model import energy
from hybrid_model.bundle import Bundle

if TYPE_CHECKING:
    from hybrid_model.evaluation import Evaluation


def tables(bundle: Bundle) -> RenderableType:
    """Everything that `dewpoint inspect` shows of a bundle that was loaded with its cloud tensors."""
    return Group(_overview(bundle), _layers(bundle), _paths(bundle))


def figures(bundle: Bundle) -> dict[str, Any]:
    """The same as plain data. Energies are joules per sample by the `mac` view, an estimate."""
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
                "weight_bytes": _weight_bytes(layer.params, layer.weight_bits),
                "energy_j": energy.layer_energy_j(layer),
            }
            for layer in manifest.layers
        ],
        "bytes": {"file": bundle.path.stat().st_size, "edge": _bytes(bundle.edge), "cloud": _bytes(bundle.cloud)},
        "energy_j": {
            "edge_stages": list(stages.edge),
            "cloud": stages.cloud,
            "twin": energy.twin_energy_j(manifest.layers),
        },
        "provenance": manifest.provenance,
    }


def evaluation_table(found: Evaluation) -> Table:
    """What `dewpoint evaluate` shows of its figures."""
    table = Table(show_header=False, title=f"{found.bundle} on {found.dataset}", title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim")
    table.add_row("samples", f"{found.samples:,}", "")
    for number, share in enumerate(found.exit_share):
        table.add_row(f"left at exit {number}", f"{share:.1%}", "")
    table.add_row("left on the edge", f"{found.edge_share:.1%}", "")
    table.add_row("accuracy", f"{found.accuracy.hybrid:.2%}", "as the pipeline answers")
    table.add_row("  edge alone", f"{found.accuracy.edge:.2%}", "deepest exit")
    table.add_row("  cloud alone", f"{found.accuracy.cloud:.2%}", "all escalated")
    table.add_row("energy, MACs", f"{found.energy_reduction_mac:.2f} x", "less than its full-precision twin (estimate)")
    if found.energy_reduction_mac_standard is not None:
        table.add_row("", f"{found.energy_reduction_mac_standard:.2f} x", "less than ResNet-32 (estimate)")
    table.add_row("features", f"{found.feature_bytes_mean:,.0f} B", "of a sample that rises")
    table.add_row("kernel", found.kernel, "")
    return table


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


def _layers(bundle: Bundle) -> Table:
    table = Table(title="Layers (bits: weights/activations)", title_justify="left", show_footer=True)
    layers = bundle.manifest.layers
    macs, params = sum(layer.macs for layer in layers), sum(layer.params for layer in layers)
    weight_bytes = sum(_weight_bytes(layer.params, layer.weight_bits) for layer in layers)
    joules = sum(energy.layer_energy_j(layer) for layer in layers)
    table.add_column("layer", footer="all", no_wrap=True)
    table.add_column("stage")
    table.add_column("bits", justify="right")
    table.add_column("MACs", justify="right", footer=f"{macs:,}")
    table.add_column("params", justify="right", footer=f"{params:,}")
    table.add_column("bytes", justify="right", footer=f"{weight_bytes:,}")
    table.add_column("uJ", justify="right", footer=f"{joules * 1e6:,.3f}")
    for layer in layers:
        table.add_row(
            layer.name,
            str(layer.stage),
            f"{layer.weight_bits}/{layer.activation_bits}",
            f"{layer.macs:,}",
            f"{layer.params:,}",
            f"{_weight_bytes(layer.params, layer.weight_bits):,}",
            f"{energy.layer_energy_j(layer) * 1e6:,.3f}",
        )
    return table


def _paths(bundle: Bundle) -> Table:
    manifest = bundle.manifest
    twin_j = energy.twin_energy_j(manifest.layers)
    table = Table(title="Where a sample may end (MACs alone, an estimate)", title_justify="left")
    for heading in ("path", "leaves if", "energy", "below its twin"):
        table.add_column(heading, justify="left" if heading in ("path", "leaves if") else "right")
    for name, rule, joules in _ends(bundle):
        table.add_row(name, rule, _joules(joules), f"{twin_j / joules:.2f} x" if joules else "-")
    table.add_row("full-precision twin", "", _joules(twin_j), "")
    return table


def _ends(bundle: Bundle) -> Iterator[tuple[str, str, float]]:
    layers = bundle.manifest.layers
    for number, one in enumerate(bundle.manifest.exits):
        relation = "<" if one.score == "entropy" else ">"
        rule = f"{one.score} {relation} {one.threshold:.4g} at T = {one.temperature:.3g}"
        yield one.name, rule, energy.path_energy_j(layers, number)
    yield "cloud", "otherwise", energy.path_energy_j(layers, "cloud")


def _weight_bytes(params: int, bits: int) -> int:
    return (params * bits + 7) // 8


def _bytes(tensors: Any) -> int:
    return sum(int(tensor.nbytes) for tensor in tensors.values())


def _joules(joules: float) -> str:
    return f"{joules * 1e6:,.3f} uJ"


def _shortened(names: list[str], most: int = 10) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)})"
