"""The C kernels once more, built with AddressSanitizer and UndefinedBehaviorSanitizer, in a process of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.early

ROOT = Path(__file__).parents[3]
#: Line numbers alone of what a debugger could want: they are in the reports, and the build takes a third less.
FLAGS = "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -DDEWPOINT_POISON"
CHECKED = ("test_native_kernels.py", "test_native_plan.py")


def _library(compiler: str, name: str) -> str | None:
    """Where the compiler keeps a sanitizer's runtime; it answers with the bare name where it has none."""
    found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=False).stdout
    return str(Path(found.strip()).resolve()) if "/" in found else None


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the sources with a sanitized extension in it, and the libraries to load before all others."""
    compiler = shutil.which("gcc")
    libraries = [_library(compiler, name) for name in ("libasan.so", "libubsan.so")] if compiler else []
    if not libraries or None in libraries:
        pytest.skip("gcc with libasan and libubsan is not installed")
    copy = tmp_path_factory.mktemp("sanitized")
    ignored = shutil.ignore_patterns("__pycache__", "*.so")
    for folder in ("hybrid_model", "tests/hybrid_model"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
    for name in (
        "setup.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "tests/__init__.py",
        "tests/hypothesis_profile.py",
    ):
        shutil.copy(ROOT / name, copy / name)
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    environment = os.environ | {"DEWPOINT_CFLAGS": FLAGS, "CC": str(compiler)}
    made = subprocess.run(build, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if not list((copy / "hybrid_model/runtime").glob("_native*.so")):
        pytest.skip(f"the compiler here builds nothing with sanitizers: {made.stderr[-500:]}")
    return copy, " ".join(str(library) for library in libraries)


@pytest.mark.timeout(300)
def test_no_kernel_reads_or_writes_where_it_may_not(sanitized: tuple[Path, str]) -> None:
    copy, libraries = sanitized
    environment = os.environ | {
        "LD_PRELOAD": libraries,
        "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter's own
        "PYTHONPATH": str(copy),
        "DEWPOINT_TEST_EXAMPLES": "12",
    }
    tests = [str(copy / "tests/hybrid_model/runtime" / name) for name in CHECKED]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "tests.hypothesis_profile"]
    command += ["--timeout=250", *tests]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert " passed" in done.stdout
