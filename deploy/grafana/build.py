"""Writes the dashboards' JSON from these modules, or with --check says which is stale.

python -m deploy.grafana.build
python -m deploy.grafana.build --check
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.grafana.audit import audit
from deploy.grafana.cloud import cloud
from deploy.grafana.devices import devices
from deploy.grafana.overview import overview

__all__ = ["FOLDER", "main", "stale_files"]

FOLDER = Path(__file__).parent / "dashboards"


def stale_files() -> dict[Path, str | None]:
    """Files that are not as they should be, with what they should hold; None: there should be no such file."""
    boards = (overview(), devices(), cloud(), audit())
    wanted: dict[Path, str | None] = dict.fromkeys(FOLDER.glob("*.json"))
    wanted |= {FOLDER / f"{board.name}.json": board.text() for board in boards}
    return {path: text for path, text in wanted.items() if (path.read_text() if path.exists() else None) != text}


def main() -> int:
    """Write or check the files. Returns the exit status: 1 if --check finds one stale."""
    parser = argparse.ArgumentParser(description="Writes Grafana's dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a file is stale")
    only_check = parser.parse_args().check
    stale = stale_files()
    for path, text in stale.items():
        if not only_check and text is None:
            path.unlink()
        elif not only_check and text is not None:
            path.write_text(text)
        sys.stdout.write(f"{path.name}: {'stale' if only_check else 'removed' if text is None else 'written'}\n")
    return 1 if only_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
