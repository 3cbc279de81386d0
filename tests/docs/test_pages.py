"""The pages are current, linked and reachable."""

from __future__ import annotations

import subprocess
import sys

import pytest

from services.metrics import CloudMetrics, EdgeMetrics
from services.settings import load
from tests.docs.pages import AT_THE_ROOT, DOCS, PAGES, ROOT, anchors, blocks, links, page_name
from tools.queries import QUERIES

each_page = pytest.mark.parametrize("page", [*AT_THE_ROOT, *PAGES], ids=page_name)


def test_generated_pages_are_as_the_code_has_them():
    command = [sys.executable, "-m", "tools.generate", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_no_example_query_is_left_over_from_a_metric_that_is_gone():
    page = (DOCS / "reference" / "metrics.md").read_text()
    for metric in QUERIES:
        assert f"| `{metric}` |" in page


def test_every_metric_says_what_it_means_in_a_sentence():
    for process in (EdgeMetrics(), CloudMetrics()):
        for family in process.registry.collect():
            if family.name.startswith("dewpoint_"):
                assert family.documentation[0].isupper(), family.name
                assert family.documentation.endswith("."), family.name


@each_page
def test_links_lead_somewhere(page):
    for target in links(page):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_index_names_every_page():
    indices = sorted(DOCS.rglob("README.md"))
    named = {(index.parent / target.partition("#")[0]).resolve() for index in indices for target in links(index)}
    assert set(PAGES) - {DOCS / "README.md"} <= named


@each_page
def test_settings_that_are_shown_can_be_loaded(page, tmp_path):
    for block in blocks(page):
        if block.language == "toml":
            path = tmp_path / "example.toml"
            path.write_text(block.text)
            load(path)  # raises SettingsError where it is wrong
