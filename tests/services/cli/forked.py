"""Commands as processes of their own, without waiting each time for the same imports: they are forks of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

#: What the commands import, before anything is forked.
_SERVER = """
import gc, importlib, json, os, sys, traceback

for name in ("torch", "sklearn.datasets", "matplotlib", "optuna", "services.cli", "services.demo", "services.settings",
             "services.edge.process", "services.cloud.process", "services.sources.dataset", "hybrid_model.training",
             "hybrid_model.exploration", "hybrid_model.evaluation", "hybrid_model.calibration"):
    importlib.import_module(name)

gc.freeze()  # what the children share they shall not copy only to look at it

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["dewpoint", *asked["arguments"]]
        status = 0
        try:
            importlib.import_module("services.cli").main()
        except SystemExit as ended:
            status = ended.code or 0
        except BaseException:
            status = 1
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # an orderly end of all that was imported takes most of a second
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Ended(NamedTuple):
    """A command that has ended: its status and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class ForkedCommands:
    """Use it as a `with` block; `run` one command after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, *arguments: str, folder: Path, environment: Mapping[str, str]) -> Ended:
        """`dewpoint ARGUMENTS` in `folder`."""
        written = [self._folder / name for name in ("stdout", "stderr")]
        asked = {
            "arguments": arguments,
            "folder": str(folder),
            "environment": dict(environment),
            "stdout": str(written[0]),
            "stderr": str(written[1]),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        return Ended(status, *(path.read_text() for path in written))

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._server:
            assert self._server.stdin is not None
            self._server.stdin.close()
