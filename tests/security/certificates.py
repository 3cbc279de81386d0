"""Certificates made for one test run: two CAs that know nothing of each other, and what the tests have them sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, PEM."""

    cert: Path
    key: Path


class Authority:
    """A CA. Its certificate lies in `ca_file`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._ca, self._count = folder, trustme.CA(), 0
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def sign(self, *names: str, common_name: str | None = None, expired: bool = False) -> Pair:
        """A certificate for names and addresses; `expired` an hour ago."""
        now = datetime.now(UTC)
        times: dict[str, Any] = {"not_before": now - timedelta(days=2)}
        if expired:
            times["not_after"] = now - timedelta(hours=1)
        signed = self._ca.issue_cert(*names, common_name=common_name, **times)
        self._count += 1
        pair = Pair(self._folder / f"{self._count}.pem", self._folder / f"{self._count}.key")
        signed.cert_chain_pems[0].write_to_path(str(pair.cert))
        signed.private_key_pem.write_to_path(str(pair.key))
        pair.key.chmod(0o600)
        return pair
