"""What an installation takes on disk: a distribution with all that it requires, by the files that pip recorded."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

_ROOT = Path(__file__).parents[2]


def footprint(wanted: tuple[str, ...]) -> dict[str, Any]:
    """`{packages, bytes, missing}` of requirements such as `dewpoint[cloud]`; Python itself does not count."""
    found: dict[str, int] = {}
    missing: list[str] = []
    waiting, seen = [Requirement(each) for each in wanted], set()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            name = requirement.name.lower().replace("_", "-")
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            try:
                distribution = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                missing.append(name)
                continue
            found.setdefault(name, _own_bytes() if name == "dewpoint" else _bytes(distribution))
            for text in distribution.requires or []:
                inner = Requirement(text)
                if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                    waiting.append(inner)
    return {"packages": len(found), "bytes": sum(found.values()), "missing": sorted(set(missing))}


def _bytes(distribution: metadata.Distribution) -> int:
    """Bytes of a distribution's files, without what Python compiles itself."""
    total = 0
    for file in distribution.files or []:
        path = Path(str(file.locate()))
        if path.suffix != ".pyc" and path.is_file():
            total += path.stat().st_size
    return total


def _own_bytes() -> int:
    """Of ours, which may be installed from a checkout: what the wheel holds, without the C sources."""
    files = [path for folder in ("hybrid_model", "services") for path in (_ROOT / folder).rglob("*")]
    kept = [path for path in files if path.is_file() and path.suffix not in (".pyc", ".c", ".h")]
    return sum(path.stat().st_size for path in kept)


def text(found: dict[str, Any]) -> str:
    """Megabytes, and what is not installed here and therefore not counted."""
    megabytes = f"{found['bytes'] / 1e6:.0f}"
    return f"{megabytes} without {', '.join(found['missing'])}" if found["missing"] else megabytes
