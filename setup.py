"""The C kernels of the edge engine. Everything else of the build stands in pyproject.toml.

The extension is optional: without a compiler the install succeeds and the NumPy reference serves.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("hybrid_model/runtime/native")
#: For builds with a sanitizer or another optimization.
MORE_FLAGS = os.environ.get("DEWPOINT_CFLAGS", "").split()

setup(
    ext_modules=[
        Extension(
            "hybrid_model.runtime._native",
            sources=sorted(str(path) for path in NATIVE.glob("*.c")),
            depends=sorted(str(path) for path in NATIVE.glob("*.h")),
            include_dirs=[str(NATIVE)],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            # Results are the same bits everywhere: no fused multiply-add.
            extra_compile_args=["-std=c11", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-g0", *MORE_FLAGS],
            extra_link_args=MORE_FLAGS,
            libraries=["m"],
            py_limited_api=True,
            optional=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
