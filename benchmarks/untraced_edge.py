"""`python -m services.edge` with every call of traces cut out of its source: what `benchmarks.traces` compares with."""

from __future__ import annotations

import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType
from typing import Any, Final

#: By module: what is replaced by what, each of them once or more.
CUTS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "services.edge.pipeline": (
        ("        decided.spans.decoded(fresh)\n", ""),
        ("        decided.spans.inferred(fresh, result)\n", ""),
        ("        decided.spans.committed()\n", ""),
        ("            traceparent=decided.spans.traceparent(one.key),\n", ""),
        ('observe(self._latency_s["edge"], one.arrival.age_s(), decided.spans.trace_id(one.key))',
         'self._latency_s["edge"].observe(one.arrival.age_s())'),
        ('observe(self._latency_s["provisional"], one.arrival.age_s(), decided.spans.trace_id(one.key))',
         'self._latency_s["provisional"].observe(one.arrival.age_s())'),
        ("Decided(arrivals, self._traces.batch())", "Decided(arrivals, None)"),
    ),
    "services.edge.publish.finals": (
        ("        spans = self._traces.finals((row.escalation, label) for row, label in labels)\n", ""),
        ("        spans.finalised(changed)\n", ""),
        ("observe(self._latency_s, max(0.0, now - row.received_at), spans.trace_id(row.key))",
         "self._latency_s.observe(max(0.0, now - row.received_at))"),
    ),
    "services.edge.publish.outbox": (("self._traces.of_label(key)", "()"),),
    "services.edge.escalate.sender": (("        self._traces.escalated(escalations, since)\n", ""),),
}  # fmt: skip


class _Cut(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """The module's code without the calls; ends where one of them is not there any more."""
        source = self.get_source(fullname) or ""
        for old, new in CUTS[fullname]:
            if old not in source:
                sys.exit(f"{fullname} has no {old.strip()!r} any more; mend benchmarks/untraced_edge.py")
            source = source.replace(old, new)
        return compile(source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Of the modules that are cut."""
        if fullname not in CUTS:
            return None
        sys.meta_path.remove(self)
        try:
            found = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if found is None or found.origin is None:
            return None
        loader: Loader = _Cut(fullname, found.origin)
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


if __name__ == "__main__":
    sys.meta_path.insert(0, _Finder())
    from services.edge.__main__ import app

    app(prog_name="untraced edge")
