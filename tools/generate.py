"""Writes the generated half of settings, metrics and results in docs/reference, from the code and what was measured.

python -m tools.generate            # writes what is stale
python -m tools.generate --check    # writes nothing; exit status 1 if a page is stale
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from services.metrics import CloudMetrics, EdgeMetrics
from services.settings import Settings
from tools.queries import QUERIES
from tools.results_tables import results_tables

PAGES = Path(__file__).parents[1] / "docs" / "reference"
MARK = "<!-- Written by tools/generate.py from here on. -->\n"
NESTED = "__"

Schema = dict[str, Any]


def settings_tables() -> str:
    """A table for every section of the settings: name, type, default, meaning."""
    schema = Settings.model_json_schema()
    parts: list[str] = []
    for section, property_ in schema["properties"].items():
        parts += _section(schema, [section], _resolve(schema, property_))
    return "\n".join(parts)


def _section(schema: Schema, path: list[str], section: Schema) -> Iterator[str]:
    in_list = path[-1].endswith("]")
    yield f"## {'.'.join(path)}\n"
    yield f"{section['description']}\n"
    if not in_list and not any(part.endswith("]") for part in path):
        yield f"Environment: `DEWPOINT_{NESTED.join(path).upper()}{NESTED}` and the setting in capitals.\n"
    yield "| setting | type | default | meaning |"
    yield "|---|---|---|---|"
    below: list[tuple[list[str], Schema]] = []
    for name, field in section["properties"].items():
        resolved = _resolve(schema, _only(field))
        items = _resolve(schema, resolved.get("items", {}))
        if "properties" in resolved:
            below.append(([*path, name], resolved))
            kind, default = "section", "unset" if "anyOf" in field else "below"
        elif "properties" in items:
            below.append(([*path, f"{name}[]"], items))
            kind, default = "list of sections", "one, with its defaults"
        else:
            kind, default = _kind(schema, resolved), _value(resolved.get("default", _default_of(path, name)))
        yield f"| `{name}` | {kind} | {default} | {_cell(field.get('description', resolved.get('description', '')))} |"
    yield ""
    for deeper, inner in below:
        yield from _section(schema, deeper, inner)


def _default_of(path: list[str], name: str) -> Any:
    """A default that a factory makes, which a JSON schema does not show."""
    section: Any = Settings.model_fields[path[0]].annotation
    return section.model_fields[name].get_default(call_default_factory=True) if len(path) == 1 else None


def _only(field: Schema) -> Schema:
    """A field that is one thing or unset, as that thing."""
    real = [one for one in field.get("anyOf", []) if one.get("type") != "null"]
    return {**real[0], "description": field.get("description", "")} if len(real) == 1 and "$ref" in real[0] else field


def _resolve(schema: Schema, field: Schema) -> Schema:
    """The field with what it refers to."""
    reference = field.get("$ref")
    return {**schema["$defs"][reference.rpartition("/")[2]], **field} if reference else field


def _kind(schema: Schema, field: Schema) -> str:
    if "anyOf" in field:
        real = [_kind(schema, _resolve(schema, one)) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(real)
    if "enum" in field:
        return ", ".join(_value(one) for one in field["enum"])
    kind = {"string": "text", "number": "number", "integer": "integer", "boolean": "true, false"}.get(field["type"])
    if field.get("format") == "path":
        return "path"
    if field["type"] == "array":
        return f"list of {_kind(schema, _resolve(schema, field['items']))}s"
    if field.get("pattern"):
        return f"text `{field['pattern']}`"
    return f"{kind or field['type']}{_bounds(field)}"


def _bounds(field: Schema) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return "".join(f" {sign} {field[key]:,.15g}" for key, sign in signs.items() if key in field)


def _value(value: Any) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def metrics_tables() -> str:
    """A table for every process: metric, kind, labels, meaning, an example query."""
    return "\n".join([*_metrics("Edge workers", EdgeMetrics()), *_metrics("Cloud workers", CloudMetrics())])


def _metrics(title: str, process: EdgeMetrics | CloudMetrics) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| metric | kind | labels | meaning | example |"
    yield "|---|---|---|---|---|"
    for collector in vars(process).values():
        if isinstance(collector, MetricWrapperBase):
            name, kind = metric_name(collector), collector._type
            labels = ", ".join(f"`{label}`" for label in collector._labelnames) or "–"
            if name not in QUERIES:
                raise SystemExit(f"{name} has no example query: add one to tools/queries.py")
            meaning, query = _cell(collector._documentation), _cell(QUERIES[name])
            yield f"| `{name}` | {kind} | {labels} | {meaning} | `{query}` |"
    yield ""


def metric_name(collector: MetricWrapperBase) -> str:
    """The name as Prometheus shows it; a histogram's without `_bucket`, `_sum` and `_count`."""
    ending = {"counter": "_total", "info": "_info"}.get(str(collector._type), "")
    return f"{collector._name}{ending}"


GENERATED: dict[str, Callable[[], str]] = {
    "settings.md": settings_tables,
    "metrics.md": metrics_tables,
    "results.md": results_tables,
}


def page_with(path: Path, generated: str) -> str:
    """The page at `path` with everything below the mark replaced. Raises ValueError where it has no mark."""
    written = path.read_text()
    above, mark, _ = written.partition(MARK)
    if not mark:
        raise ValueError(f"{path} has no line {MARK.strip()!r}")
    return above + MARK + "\n" + generated.rstrip("\n") + "\n"


def stale_pages() -> dict[Path, str]:
    """Pages that the code has overtaken, with what they should hold."""
    wanted = {PAGES / name: page_with(PAGES / name, generate()) for name, generate in GENERATED.items()}
    return {path: text for path, text in wanted.items() if path.read_text() != text}


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description="Writes the generated half of the pages.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a page is stale")
    only_check = parser.parse_args().check
    stale = stale_pages()
    for path, text in stale.items():
        if not only_check:
            path.write_text(text)
        sys.stdout.write(f"{path.name}: {'stale' if only_check else 'written'}\n")
    return 1 if only_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
