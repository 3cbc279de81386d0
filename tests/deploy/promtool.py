"""Prometheus' own checker."""

from __future__ import annotations

import os
import shutil

import pytest


def promtool() -> str:
    """Its path. Where it is missing the test fails with CI=true, else is skipped."""
    found = shutil.which("promtool")
    if found is None:
        missing = "promtool is not installed: sudo apt-get install prometheus"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found
