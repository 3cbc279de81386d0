"""Benchmarks of one process run, in a form of seconds: whether they work, not what they measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_cost_of_inputs_is_measured_also_beside_another_checkout(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.inputs", "--quick", "--beside", str(ROOT)]
    subprocess.run([*command, "--json", str(tmp_path / "out.json")], cwd=ROOT, check=True, timeout=120)
    found = json.loads((tmp_path / "out.json").read_text())
    assert set(found["us_a_message"]) == {"own", "names", "nested", "expression", "png", "jpeg", "array"}
    assert all(0 < us < 1e5 for us in found["us_a_message"].values())
    assert set(found["over_own"]) == {"names", "nested", "expression"}
    assert set(found["over_beside"]) == {"own", "png", "jpeg", "array"}
