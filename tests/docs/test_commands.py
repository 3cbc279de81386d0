"""Commands on the pages work: blocks of `sh` are run, in order, in an empty folder. Blocks of `console` are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, page_name

TIMEOUT_S = 1200


def commands(page: Path) -> str:
    return "\n".join(block.text for block in blocks(page) if block.language == "sh")


@pytest.mark.long
@pytest.mark.timeout(TIMEOUT_S + 30)
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_name)
def test_the_commands_of_a_page_work(page, tmp_path):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands(page)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "REPOSITORY": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
