"""What it takes to read replies of a network, in the journal: kept while a row waits for it."""

from __future__ import annotations

from services.edge.journal.database import Database
from services.edge.journal.records import Network

__all__ = ["Networks"]


class Networks:
    """The journal's networks. Each method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(self, network: Network) -> None:
        """Note this network; forget those that no row waits for."""
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM networks WHERE network NOT IN (SELECT network FROM samples WHERE state = 'waiting')"
            )
            db.execute(
                "INSERT OR REPLACE INTO networks VALUES (?, ?, ?, ?)",
                (network.network, network.bundle, "\x1f".join(network.classes), network.cloud_path_energy_j),
            )

    def all(self) -> dict[str, Network]:
        """The networks that were remembered, by network id."""
        with self._database.reading() as db:
            rows = db.execute("SELECT network, bundle, classes, cloud_path_energy_j FROM networks").fetchall()
        return {row[0]: Network(row[0], row[1], tuple(row[2].split("\x1f")), row[3]) for row in rows}
