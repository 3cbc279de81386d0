"""The driver under atheris: it runs a decoder in a process of its own and tells what it found."""

from __future__ import annotations

import pytest

pytest.importorskip("atheris", reason="atheris is made for Linux on x86-64 alone")

from tests.fuzz.driver import run


def test_a_run_counts_its_inputs_and_finds_nothing_wrong() -> None:
    found = run(1000, names=["features"])
    assert found["inputs"] >= 1000
    assert (found["crashes"], found["hangs"], found["errors"]) == (0, 0, 0), found
    assert found["rss_kb_per_10000_inputs"] is not None
