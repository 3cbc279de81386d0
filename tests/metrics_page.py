"""What a worker tells on its page of metrics."""

from __future__ import annotations

import http.client
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

_TIMEOUT_S = 2.0


class MetricsPage:
    """One look at a worker's metrics."""

    def __init__(self, samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]) -> None:
        self._samples = samples

    @classmethod
    def fetch(cls, port: int) -> MetricsPage | None:
        """Ask a worker of this machine; None where it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        families = text_string_to_metric_families(text)
        return cls({(one.name, frozenset(one.labels.items())): one.value for f in families for one in f.samples})

    def value(self, name: str, **labels: str) -> float:
        """A sample by its name without `dewpoint_`; 0 where it was never moved."""
        return self._samples.get((f"dewpoint_{name}", frozenset(labels.items())), 0.0)

    def total(self, name: str, **labels: str) -> float:
        """The sum of all samples of a name that have these labels, and perhaps others."""
        wanted = frozenset(labels.items())
        return sum(
            value for (found, those), value in self._samples.items() if found == f"dewpoint_{name}" and wanted <= those
        )
