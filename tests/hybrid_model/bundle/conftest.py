from __future__ import annotations

from pathlib import Path

import pytest

from hybrid_model import bundle as bundle_file
from tests.hybrid_model.small_bundle import small_network


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole, valid bundle; not to be written to."""
    path = tmp_path_factory.mktemp("bundle") / "small.dew"
    bundle_file.save(path, *small_network())
    return path
