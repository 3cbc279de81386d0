"""What it takes to read replies of a network, in the journal: kept while a row waits for it."""

from __future__ import annotations

from collections.abc import Iterable

from services.edge.journal.database import Database
from services.edge.journal.records import Network

__all__ = ["KnownNetworks"]


class KnownNetworks:
    """The journal's networks. Each method raises StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(self, networks: Iterable[Network]) -> None:
        """Note these networks; forget the others that no row waits for."""
        with self._database.transaction() as db:
            db.execute(
                "DELETE FROM networks WHERE network NOT IN (SELECT network FROM samples WHERE state = 'waiting')"
            )
            db.executemany(
                "INSERT OR REPLACE INTO networks VALUES (?, ?, ?, ?)",
                [(each.network, each.bundle, "\x1f".join(each.classes), each.cloud_path_energy_j) for each in networks],
            )

    def all(self) -> dict[str, Network]:
        """The networks that were remembered, by network id."""
        with self._database.reading() as db:
            rows = db.execute("SELECT network, bundle, classes, cloud_path_energy_j FROM networks").fetchall()
        return {row[0]: Network(row[0], row[1], tuple(row[2].split("\x1f")), row[3]) for row in rows}
