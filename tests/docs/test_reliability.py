"""docs/explanation/reliability.md names tests that exist, and every kind of fault that strikes."""

from __future__ import annotations

import re

import pytest

from tests.chaos.faults import WEIGHTS
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "explanation" / "reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=[f"{path}::{name}" for path, name in NAMED])
def test_a_test_that_proves_a_promise_exists(path: str, name: str) -> None:
    source = (ROOT / path).read_text()
    assert re.search(rf"^(async )?def {name}\(", source, flags=re.M), f"{path} has no {name}"


def test_every_promise_has_its_tests() -> None:
    table = PAGE.partition("| promise | tests |")[2].partition("\n\n")[0]
    rows = table.strip().splitlines()[1:]
    assert len(rows) > 20
    for row in rows:
        assert "`tests/" in row, row


def test_the_page_names_every_kind_of_fault() -> None:
    for kind in WEIGHTS:
        assert f"`{kind}`" in PAGE, kind
