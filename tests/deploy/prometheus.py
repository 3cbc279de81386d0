"""A real Prometheus with the deployed configuration. Only where it finds its targets, and how often, are changed."""

from __future__ import annotations

import json
import math
import shutil
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from services.servers import Server, ServerMissingError
from tests.deploy.conftest import DEPLOY

TIMEOUT_S = 10.0


class QueryRefusedError(Exception):
    """Prometheus cannot parse or run a query; the message is its own."""


class Prometheus(Server):
    """Scrapes `targets` (ports on this machine, by the job of the deployed configuration) every second."""

    name = "prometheus"

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[int]]) -> None:
        super().__init__(folder)
        self._targets = targets

    @classmethod
    def find(cls) -> Path:
        found = shutil.which("prometheus")
        if found is None:
            raise ServerMissingError("prometheus is not installed: sudo apt-get install prometheus")
        return Path(found)

    def _command(self) -> list[str]:
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(DEPLOY / "prometheus" / name) for name in config["rule_files"]]
        for job in config["scrape_configs"]:
            del job["dns_sd_configs"]
            job["static_configs"] = [{"targets": [f"{self.host}:{port}" for port in self._targets[job["job_name"]]]}]
        path = self.folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        return [
            str(self.executable),
            f"--config.file={path}",
            f"--storage.tsdb.path={self._data_folder}",
            f"--web.listen-address={self.address}",
            "--enable-feature=exemplar-storage",
        ]

    def _probe(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
        return b" 200 " in connection.recv(64)

    def values(self, query: str) -> list[float]:
        """The value now of every series that the query returns; those that are no number are left out."""
        found = self._get("query", query=query)
        samples = [found["result"]] if found["resultType"] == "scalar" else [one["value"] for one in found["result"]]
        numbers = [float(value) for _, value in samples]
        return [number for number in numbers if math.isfinite(number)]

    def label_values(self, label: str, series: str) -> list[str]:
        """The values of a label over the series that a selector names."""
        found: list[str] = self._get(f"label/{label}/values", **{"match[]": series})
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its health, its last error, and an alerting rule's alerts."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def exemplars(self, query: str) -> list[dict[str, str]]:
        """The labels of every exemplar of the last minute that belongs to a series of the query."""
        now = time.time()
        found = self._get("query_exemplars", query=query, start=f"{now - 60:.3f}", end=f"{now + 60:.3f}")
        return [exemplar["labels"] for series in found for exemplar in series["exemplars"]]

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise QueryRefusedError(json.load(refusal)["error"]) from None
