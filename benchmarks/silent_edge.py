"""An edge worker that counts nothing: `python -m services.edge` with metrics that do nothing at all.

What `benchmarks.overhead` compares a worker with; it is of no other use.
"""

from __future__ import annotations

from typing import Any, Self

from prometheus_client import CollectorRegistry

from services.edge import process
from services.edge.__main__ import app


class _Nothing:
    """Stands for any counter, gauge or histogram, for one of its series, and for what is done with them."""

    def __call__(self, *values: object, **names: object) -> None: ...

    def labels(self, *values: str, **names: str) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # whoever would go below a histogram's surface finds nothing there
            raise AttributeError(name)
        return self._ignore

    def _ignore(self, *values: object, **names: object) -> None: ...


class SilentMetrics:
    """In place of `EdgeMetrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._nothing = _Nothing()

    def __getattr__(self, name: str) -> _Nothing:
        return self._nothing


if __name__ == "__main__":
    process.EdgeMetrics = SilentMetrics  # type: ignore[assignment,misc]
    app(prog_name="python -m benchmarks.silent_edge")
