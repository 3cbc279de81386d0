"""The machine's own xor+popcount peak, by a C loop that is compiled here."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

_SOURCE = Path(__file__).with_name("peak.c")
_ROUNDS = 200_000


@functools.cache
def _library() -> Any | None:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="dewpoint-peak-"))
    made = subprocess.run(
        [compiler, "-O3", "-shared", "-fPIC", "-o", str(folder / "peak.so"), str(_SOURCE)], check=False
    )
    library = ctypes.CDLL(str(folder / "peak.so")) if made.returncode == 0 else None
    shutil.rmtree(folder, ignore_errors=True)
    return library


def peak_gops(kernel: str) -> float | None:
    """Billions of one-bit multiply-accumulates a second, by the loop for `kernel`; None without a compiler."""
    library = _library()
    if library is None or not hasattr(library, f"peak_{kernel}"):
        return None
    loop = getattr(library, f"peak_{kernel}")
    loop.restype, loop.argtypes = ctypes.c_double, [ctypes.c_long]
    return float(loop(_ROUNDS)) * 1e-9
