"""NumPy's matrix products on one thread.

OpenBLAS spreads even small products over all cores and spins while it waits. Beside other work on the machine that
makes one sample 20 times slower, and the engine spreads samples over threads itself.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import numpy as np

#: What the function is called in NumPy's wheels (64-bit and 32-bit integers), and in a plain OpenBLAS.
_SETTERS = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads")


@functools.cache
def use_one_thread() -> bool:
    """Sets NumPy's OpenBLAS to one thread, for this process; False where NumPy brings none (then nothing changes)."""
    package = Path(np.__file__).parent
    found = [*package.parent.glob("numpy.libs/*openblas*"), *package.glob(".dylibs/*openblas*")]
    for path in found:
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in _SETTERS:
            setter = getattr(library, name, None)
            if setter is not None:
                setter(ctypes.c_int(1))
                return True
    return False
