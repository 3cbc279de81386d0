"""The page for Python programs: its code runs in order, and prints what the page says."""

from __future__ import annotations

import contextlib
import io

from tests.docs.pages import DOCS, blocks


def test_the_code_of_the_page_prints_what_the_page_shows():
    shown = blocks(DOCS / "tutorials" / "python.md")
    code = "".join(block.text for block in shown if block.language == "python")
    expected = "".join(block.text for block in shown if block.language == "text")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "python.md", "exec"), {})
    assert code.count("hybrid_model.") >= 4
    assert printed.getvalue() == expected
