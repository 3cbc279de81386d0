"""Settings files for the workers of a demonstration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hybrid_model.data import Dataset
from services.servers import Servers

SITE = "demo"
EDGE_WORKER = "edge-1"
INPUTS_KEPT = 500


def edge_file(folder: Path, servers: Servers, *, bundle: Path, dataset: Dataset, metrics_port: int) -> Path:
    """Write the edge worker's settings; its spool lies in `folder` too."""
    edge = {
        **_takes(bundle, dataset),
        "worker": EDGE_WORKER,
        "spool": str(folder / "spool"),
        "inputs_kept": INPUTS_KEPT,
        "control": {"allow_uncalibrated": True},  # whoever looks on may try every point
    }
    return write(folder / "edge.toml", {**_common(servers, metrics_port), "edge": edge})


def cloud_file(folder: Path, servers: Servers, *, name: str, bundle: Path, metrics_port: int, lease_s: float) -> Path:
    """Write a cloud worker's settings. One torch thread each: the workers share one machine."""
    cloud = {"bundles": [str(bundle)], "worker": name, "threads": 1, "lease_s": lease_s}
    return write(folder / f"{name}.toml", {**_common(servers, metrics_port), "cloud": cloud})


def console_file(
    folder: Path, servers: Servers, *, bundle: Path, dataset: Dataset, port: int, metrics_ports: Iterable[int]
) -> Path:
    """Write the settings of the console, which asks the workers at these ports of this machine."""
    console = {"port": port, "workers": [f"http://127.0.0.1:{one}" for one in metrics_ports]}
    sections = {**_common(servers, 0), "edge": _takes(bundle, dataset), "console": console}
    return write(folder / "console.toml", sections)


def _takes(bundle: Path, dataset: Dataset) -> dict[str, Any]:
    """The network, and what comes in for it."""
    takes: dict[str, Any] = {"topic": "dewpoint/{site}/in/{device}", "kind": "sample"}
    if dataset.kind == "sensor":
        takes |= {"kind": "sensor", "window": {"length": int(dataset.test.x.shape[2]), "hop": dataset.hop}}
    return {"bundle": str(bundle), "inputs": [takes]}


def _common(servers: Servers, metrics_port: int) -> dict[str, Any]:
    return {
        "site": {"name": SITE},
        "mqtt": {"host": servers.mqtt.host, "port": servers.mqtt.port},
        "redis": {"host": servers.redis.host, "port": servers.redis.port},
        "metrics": {"host": "127.0.0.1", "port": metrics_port},
    }


def write(path: Path, sections: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write a settings file of these sections."""
    path.write_text(_text(sections))
    return path


def add(path: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Add sections to a settings file."""
    with path.open("a") as file:
        file.write(_text(sections))


def _text(sections: Mapping[str, Mapping[str, Any]]) -> str:
    lines: list[str] = []
    for name, section in sections.items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in section.items()), ""]
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    """A value as TOML: strings, numbers, and inline lists and tables of them."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value)
